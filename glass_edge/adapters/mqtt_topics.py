"""The topics of a station.

Promises: every event has one topic, a function of the event alone; names of rolls that differ have topics that differ,
and the name can be read back from the topic; no topic holds a wildcard or an empty level.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from glass_edge.events.payloads import DefectPayload
from glass_edge.events.schema import Event, Kind

_OF_ROLL = {Kind.ROLL_START: "start", Kind.ROLL_END: "end"}
_DEFECTS = (Kind.DEFECT_NEW, Kind.DEFECT_UPDATE, Kind.DEFECT_END)
_OTHERS = {Kind.COVERAGE_GAP: "gap", Kind.STOP_REQUEST: "stop", Kind.STOP_ACK: "stop"}


def roll_level(roll_id: str) -> str:
    """A roll's name as one level of a topic: each byte of its UTF-8 but A-Z a-z 0-9 - . _ ~ as %XX (RFC 3986, 2.1)."""
    return quote(roll_id, safe="")


@dataclass(frozen=True, slots=True)
class Topics:
    """Topics of one station.

    Attributes:
        base: what they begin with, `PREFIX/STATION`.
    """

    base: str

    @property
    def birth(self) -> str:
        """Retained: a session of the adapter began."""
        return f"{self.base}/birth"

    @property
    def death(self) -> str:
        """Retained: a session of the adapter ended; the last will."""
        return f"{self.base}/death"

    @property
    def state(self) -> str:
        """Retained: the station as it is."""
        return f"{self.base}/state"

    @property
    def rebirth(self) -> str:
        """Listened to: a message here asks for birth and state again."""
        return f"{self.base}/rebirth"

    def of_event(self, event: Event) -> str:
        """Topic of an event."""
        roll = f"{self.base}/roll/{roll_level(event.roll_id or '')}"
        if event.kind in _OF_ROLL:
            return f"{roll}/{_OF_ROLL[Kind(event.kind)]}"
        if event.kind in _DEFECTS and isinstance(event.payload, DefectPayload):
            return f"{roll}/defect/{event.payload.defect_id}"
        if event.kind in _OTHERS:
            return f"{self.base}/{_OTHERS[Kind(event.kind)]}"
        return f"{self.base}/event/{event.kind}"

    def filters(self) -> dict[str, str]:
        """What to subscribe to for each sort of message, as a birth tells it."""
        return {
            "birth": self.birth,
            "death": self.death,
            "state": self.state,
            "rebirth": self.rebirth,
            "roll_start": f"{self.base}/roll/+/start",
            "roll_end": f"{self.base}/roll/+/end",
            "defect": f"{self.base}/roll/+/defect/+",
            "gap": f"{self.base}/gap",
            "stop": f"{self.base}/stop",
            "event": f"{self.base}/event/+",
        }
