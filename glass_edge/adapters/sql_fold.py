"""What the events of a station come to: the rows of the tables that people query.

Promises: the rows are a function of the events, taken in order, and of the roll that was there before them; no database
is touched. Kinds of a later schema change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from glass_edge.adapters.sink import PermanentError
from glass_edge.events.client import Received
from glass_edge.events.payloads import (
    CoverageGap,
    DefectPayload,
    EngineActivated,
    RollEnd,
    RollStart,
    Status,
    StopAck,
    StopRequest,
)
from glass_edge.events.schema import DEFECT_KINDS, Event, Kind

Row: TypeAlias = dict[str, Any]

_DEFECT_FIELDS = {
    *("defect_id", "shape", "along_mm", "across_mm", "width_mm", "length_mm", "area_mm2", "peak_score", "mean_score"),
    *("oriented_length_mm", "oriented_width_mm", "direction_deg", "contrast", "is_hole", "is_running", "is_cut_mark"),
    *("parts", "merged_into", "crop_file"),
}
_START_FIELDS = {"first_line", "mm_per_px", "mm_per_line"}
_END_FIELDS = {
    *("woven_m", "inspected_m", "missed_m", "defects", "cloth_width_mm", "cloth_width_least_mm"),
    *("cloth_width_greatest_mm", "grading_table", "points", "points_per_100_m2", "points_per_100_yd2"),
    "is_first_quality",
}
_GAP_FIELDS = {"first_line", "end_line", "along_mm", "length_m", "reason", "detail"}
_STOP_FIELDS = {"request_id", "cause", "reason", "defect_id", "along_mm", "across_mm", "period_mm"}
_NO_START: Row = dict.fromkeys(("started_utc", *sorted(_START_FIELDS)))
_NO_END: Row = dict.fromkeys(("ended_utc", "end_seq", *sorted(_END_FIELDS), "grade_reasons", "grade_remarks"))
NO_ACK: Row = dict.fromkeys(("ack_seq", "ack_utc", "accepted", "ack_source", "ack_detail"))
"""The columns of a stop request that waits."""
_LARGEST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class RollPlace:
    """The newest roll of an epoch: the event it begins with, its name and style, and whether it is being woven."""

    first_seq: int
    roll_id: str
    style: str | None
    is_open: bool


class Fold:
    """Folds events of one station and epoch, in order.

    Args:
        roll: the newest roll before the first of them; None when there is none.

    Attributes:
        roll: the newest roll now.
        rolls: rows of rolls that began, by `first_seq`.
        ends: what ended rolls that were there before, by `first_seq`.
        closed: rolls that are no longer open.
        defects: rows of defects, by roll and number.
        gaps, stops: rows of them.
        acks: answers to stop requests that were there before.
    """

    def __init__(self, roll: RollPlace | None) -> None:
        self.roll = roll
        self.rolls: dict[int, Row] = {}
        self.ends: dict[int, Row] = {}
        self.closed: set[int] = set()
        self.defects: dict[tuple[int, int], Row] = {}
        self.gaps: list[Row] = []
        self.stops: list[Row] = []
        self.acks: list[Row] = []

    def take(self, event: Event) -> None:
        """The next event.

        Raises:
            PermanentError: a number of it is beyond 64 bits.
        """
        roll = self._roll_of(event)
        payload = event.payload
        place = {"station": event.station, "epoch": event.epoch}
        on_roll = {"roll_first_seq": None if roll is None else roll.first_seq, "roll_id": _clean(event.roll_id)}
        told = {"seq": event.seq, "stamp_utc": event.stamp_utc}
        if isinstance(payload, DefectPayload) and roll is not None:
            self._defect(event, payload, place | on_roll, is_open=roll.is_open)
        elif isinstance(payload, RollEnd) and roll is not None:
            self._end(event, payload, roll)
        elif isinstance(payload, CoverageGap):
            self.gaps.append(_storable(place | told | on_roll | payload.model_dump(include=_GAP_FIELDS)))
        elif isinstance(payload, StopRequest):
            fields = payload.model_dump(include=_STOP_FIELDS)
            self.stops.append(_storable(place | told | on_roll | NO_ACK | fields))
        elif isinstance(payload, StopAck):
            self._answer(_storable(place | ack_row(event, payload)))

    def close(self) -> None:
        """The station went on elsewhere: the newest roll is no longer open."""
        if self.roll is None or not self.roll.is_open:
            return
        self.closed.add(self.roll.first_seq)
        if self.roll.first_seq in self.rolls:
            self.rolls[self.roll.first_seq]["is_open"] = False
        for (first_seq, _), row in self.defects.items():
            if first_seq == self.roll.first_seq:
                row["is_open"] = False
        self.roll = replace(self.roll, is_open=False)

    def _roll_of(self, event: Event) -> RollPlace | None:
        """The roll an event belongs to, which begins with it when it is of no roll that is there."""
        if event.roll_id is None:
            return None
        name = str(_clean(event.roll_id))
        if self.roll is not None and self.roll.roll_id == name and event.kind != Kind.ROLL_START:
            return self.roll
        self.close()
        self.roll = RollPlace(event.seq, name, _clean(event.style), is_open=True)
        start = _NO_START
        if isinstance(event.payload, RollStart):
            start = {"started_utc": event.stamp_utc} | event.payload.model_dump(include=_START_FIELDS)
        self.rolls[event.seq] = _storable(
            {
                "station": event.station,
                "epoch": event.epoch,
                "first_seq": event.seq,
                "roll_id": name,
                "style": event.style,
                "is_simulated": event.is_simulated,
                "is_open": True,
                "is_complete": False,
                **start,
                **_NO_END,
            }
        )
        return self.roll

    def _end(self, event: Event, payload: RollEnd, roll: RollPlace) -> None:
        row = _storable(
            {
                "ended_utc": event.stamp_utc,
                "end_seq": event.seq,
                "grade_reasons": "\n".join(payload.grade_reasons) or None,
                "grade_remarks": "\n".join(payload.grade_remarks) or None,
                **payload.model_dump(include=_END_FIELDS),
            }
        )
        if roll.first_seq in self.rolls:
            self.rolls[roll.first_seq] |= row
        else:
            self.ends[roll.first_seq] = row
        self.close()

    def _defect(self, event: Event, payload: DefectPayload, place: Row, *, is_open: bool) -> None:
        key = (place["roll_first_seq"], payload.defect_id)
        before = self.defects.get(key)
        row = {
            **place,
            "style": event.style,
            "found_seq": event.seq if before is None else before["found_seq"],
            "found_utc": event.stamp_utc if before is None else before["found_utc"],
            "last_seq": event.seq,
            "is_open": is_open and event.kind != Kind.DEFECT_END,
            **payload.model_dump(include=_DEFECT_FIELDS),
        }
        self.defects[key] = _storable(row)

    def _answer(self, ack: Row) -> None:
        """The first answer to the newest request of that name."""
        for stop in reversed(self.stops):
            if stop["request_id"] == ack["request_id"]:
                if stop["ack_seq"] is None:
                    stop.update((name, ack[name]) for name in NO_ACK)
                return
        self.acks.append(ack)


def ack_row(event: Event, ack: StopAck) -> Row:
    """The columns that an answer fills, and the request it names."""
    return {
        "request_id": _clean(ack.request_id),
        "ack_seq": event.seq,
        "ack_utc": event.stamp_utc,
        "accepted": ack.accepted,
        "ack_source": _clean(ack.source),
        "ack_detail": _clean(ack.detail),
    }


def event_row(received: Received) -> Row:
    """The row of the table of events.

    Raises:
        PermanentError: a number of it is beyond 64 bits.
    """
    event = received.event
    return _storable(
        {
            "station": event.station,
            "epoch": event.epoch,
            "seq": event.seq,
            "kind": event.kind,
            "stamp_utc": event.stamp_utc,
            "roll_id": event.roll_id,
            "style": event.style,
            "is_simulated": event.is_simulated,
            "is_partial": event.is_partial,
            "document": received.document,
        }
    )


def state_before(station: str, epoch: str) -> Row:
    """The state of a station of whose epoch no event was taken."""
    fields = ("stamp_utc", "is_simulated", "roll_first_seq", "roll_id", "style", "status_utc", "state", "fault_code")
    more = ("message", "roll_m", "web_m_per_min", "is_bypassed", "engine_style", "engine_version")
    numbers = {"seq": 0, "status_seq": 0, "engine_seq": 0, "is_roll_open": False}
    return {"station": station, "epoch": epoch, **numbers, **dict.fromkeys((*fields, *more))}


def state_after(state: Row, event: Event) -> Row:
    """The state once `event` is known, whichever came before; but for the roll, which `Fold` tells."""
    payload, changes = event.payload, {}
    if event.seq > state["seq"]:
        changes = {"seq": event.seq, "stamp_utc": event.stamp_utc, "is_simulated": event.is_simulated}
    if isinstance(payload, Status) and event.seq > state["status_seq"]:
        fields = {"state", "fault_code", "message", "roll_m", "web_m_per_min", "is_bypassed"}
        changes |= {"status_seq": event.seq, "status_utc": event.stamp_utc, **payload.model_dump(include=fields)}
    if isinstance(payload, EngineActivated) and event.seq > state["engine_seq"]:
        changes |= {"engine_seq": event.seq, "engine_style": payload.style, "engine_version": payload.version}
    return state | _storable(changes)


def plan(received: Received) -> str:
    """What `SqlSink` would do with an event."""
    event = received.event
    tables = {
        Kind.ROLL_START: "rolls",
        Kind.ROLL_END: "rolls",
        **dict.fromkeys(DEFECT_KINDS, "defects"),
        Kind.COVERAGE_GAP: "gaps",
        Kind.STOP_REQUEST: "stops",
        Kind.STOP_ACK: "stops",
    }
    table = tables.get(Kind(event.kind)) if event.kind in list(Kind) else None
    return "would write it to events" + ("" if table is None else f", {table}") + " and station_state"


def _clean(text: str | None) -> str | None:
    """Text as a database can keep it: PostgreSQL knows no NUL."""
    return None if text is None else text.replace("\0", "\ufffd")


def _storable(row: Row) -> Row:
    for name, value in row.items():
        if isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
            raise PermanentError(f"{name} = {value} is beyond 64 bits, no database can keep it")
    return {
        name: _clean(value) if isinstance(value, str) and name != "document" else value for name, value in row.items()
    }
