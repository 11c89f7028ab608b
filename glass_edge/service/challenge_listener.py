"""What a station reports while a strip with known marks passes.

Promises: each defect of the roll is one place, where it was last told to be; one that grew together with another, or is
a cut mark, is none; a roll that changes meanwhile, events that are lost and cloth that was not inspected are told:
each could be what hid a mark.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from glass_edge.errors import GlassEdgeError
from glass_edge.events.client import EventClient, Received
from glass_edge.events.payloads import CoverageGap, DefectPayload, GapReason, RollStart
from glass_edge.events.schema import Event

_TURN_S = 0.2


class ChallengeListener:
    """Follows a station from now on.

    Args:
        client: open, from the latest event on.
    """

    def __init__(self, client: EventClient) -> None:
        self._client = client
        self._places: dict[int, tuple[float, float] | None] = {}
        self.missed_m = 0.0
        """Cloth that was not inspected meanwhile, m."""
        self.events = 0
        """Events heard."""

    def begin(self, timeout_s: float) -> None:
        """Wait until the station is heard and nothing before now is missing.

        Raises:
            GlassEdgeError: it is not heard within `timeout_s`. InputError: another station answers.
        """
        deadline_s = time.monotonic() + timeout_s
        while self._client.is_behind:
            self._take(self._client.receive(_TURN_S))
            if time.monotonic() > deadline_s:
                raise GlassEdgeError("the station is not heard; start it, or correct the endpoints")
        self._places.clear()
        self.missed_m, self.events = 0.0, 0

    def listen(self, is_over: Callable[[], bool], settle_s: float) -> list[tuple[float, float]]:
        """Places (along_mm, across_mm), middle of the box, of the defects until `is_over` and `settle_s` after.

        Raises:
            GlassEdgeError: the roll changed, or events were lost: the strip must pass again.
        """
        until_s: float | None = None
        while until_s is None or time.monotonic() < until_s:
            self._take(self._client.receive(_TURN_S))
            if until_s is None and is_over():
                until_s = time.monotonic() + settle_s
        while self._client.is_behind:
            self._take(self._client.receive(_TURN_S))
        return [place for place in self._places.values() if place is not None]

    def _take(self, item: object) -> None:
        if item is None:
            return
        if not isinstance(item, Received):
            raise GlassEdgeError("events of the station were lost while the strip passed; lead it past again")
        self.events += 1
        self._of(item.event)

    def _of(self, event: Event) -> None:
        payload = event.payload
        if isinstance(payload, RollStart) and self._places:
            raise GlassEdgeError(f"the roll {event.roll_id} began while the strip passed; lead it past again")
        if isinstance(payload, CoverageGap) and payload.reason is not GapReason.SEGMENT_EDGE:
            self.missed_m += payload.length_m
        if isinstance(payload, DefectPayload):
            is_none = payload.merged_into is not None or payload.is_cut_mark
            middle = payload.along_mm + payload.length_mm / 2, payload.across_mm + payload.width_mm / 2
            self._places[payload.defect_id] = None if is_none else middle
