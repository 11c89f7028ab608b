"""Waiting until an engine that was asked for decides.

Promises: the wait ends when the station tells that the engine decides, or that it will not; what the station says is
said.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from glass_edge.events.curve_keys import ClientKeys

_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Place:
    """Where a wait begins to read.

    Attributes:
        endpoint: of the station's requests.
        keys: see `EventClient`.
        epoch: of its journal.
        from_seq: number of the first event.
    """

    endpoint: str
    keys: ClientKeys | None
    epoch: str
    from_seq: int


def wait_until_it_decides(place: Place, wanted: tuple[str, str], timeout_s: float) -> None:
    """Read events until one says so.

    Args:
        place: of the request.
        wanted: style and version.
        timeout_s: longest wait, s.

    Raises:
        GlassEdgeError: the station says that it will not, or nothing in time.
    """
    from glass_edge.errors import GlassEdgeError
    from glass_edge.events.parsing import parse_event
    from glass_edge.events.payloads import EngineActivated, Status
    from glass_edge.events.requester import request_replay
    from glass_edge.service.engine_keeper import FAILED_FAULT

    from_seq, until_s = place.from_seq, time.monotonic() + timeout_s
    while time.monotonic() < until_s:
        _, documents = request_replay(place.endpoint, from_seq, epoch=place.epoch, keys=place.keys)
        for event in map(parse_event, documents):
            from_seq = event.seq + 1
            payload = event.payload
            if isinstance(payload, EngineActivated) and (payload.style, payload.version) == wanted:
                return
            if isinstance(payload, Status) and payload.fault_code == FAILED_FAULT:
                raise GlassEdgeError(f"the station refused: {payload.message}")
        if not documents:
            time.sleep(_POLL_S)
    raise GlassEdgeError(
        f"{' '.join(wanted)} does not decide after {timeout_s:g} s; it may still, once cloth runs: the event"
        " engine.activated tells"
    )
