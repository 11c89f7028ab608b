"""The events of a station as log lines.

Promises: an event is logged after it is durable, with its station, roll, style and number; what a person must look at
is a warning or an error; a defect that only grew is not logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

import structlog

from glass_edge.events.payloads import CoverageGap, GapReason, StationState, Status, StopRequest
from glass_edge.events.payloads_records import Challenge
from glass_edge.events.schema import Draft, Event, Kind
from glass_edge.events.text import printable, sentence

_log = structlog.get_logger(__name__)


class EventLog:
    """Emits drafts and logs the events they became.

    Args:
        emit: keeps and publishes a draft.
    """

    def __init__(self, emit: Callable[[Draft], Event]) -> None:
        self._emit = emit

    def __call__(self, draft: Draft) -> Event:
        """Emit, then log. Raises as `emit`."""
        event = self._emit(draft)
        if (level := _level(event)) is not None:
            _log.log(level, printable(f"{event.kind}: {sentence(event)}"), **_fields(event))
        return event


def _level(event: Event) -> int | None:
    """None: not logged."""
    payload, level = event.payload, logging.INFO
    if event.kind == Kind.DEFECT_UPDATE:
        return None
    if isinstance(payload, CoverageGap):
        level = logging.INFO if payload.reason is GapReason.SEGMENT_EDGE else logging.WARNING
    elif isinstance(payload, StopRequest) or (isinstance(payload, Challenge) and not payload.is_passed):
        level = logging.WARNING
    elif isinstance(payload, Status):
        if payload.fault_code is None and payload.web_m_per_min is not None:
            return None  # figures, which the metrics show
        if payload.fault_code is not None:
            level = logging.ERROR if payload.state is StationState.ERROR else logging.WARNING
    return level


def _fields(event: Event) -> dict[str, object]:
    known = {"station": event.station, "roll": event.roll_id, "style": event.style, "seq": event.seq}
    return {"kind": event.kind} | {key: value for key, value in known.items() if value is not None}
