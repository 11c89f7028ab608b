"""What the events of a station come to: the rows of the tables that people query.

Promises: the rows are a function of the events, taken in order, and of the roll that was there before them; no database
is touched. Kinds of a later schema change nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from glass_edge.adapters.sql_values import NO_ACK, Row, ack_row, clean, storable
from glass_edge.events.payloads import (
    CoverageGap,
    DefectPayload,
    RollEnd,
    RollStart,
    StopAck,
    StopRequest,
)
from glass_edge.events.schema import Event, Kind

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
        on_roll = {"roll_first_seq": None if roll is None else roll.first_seq, "roll_id": clean(event.roll_id)}
        told = {"seq": event.seq, "stamp_utc": event.stamp_utc}
        if isinstance(payload, DefectPayload) and roll is not None:
            self._defect(event, payload, place | on_roll, is_open=roll.is_open)
        elif isinstance(payload, RollEnd) and roll is not None:
            self._end(event, payload, roll)
        elif isinstance(payload, CoverageGap):
            self.gaps.append(storable(place | told | on_roll | payload.model_dump(include=_GAP_FIELDS)))
        elif isinstance(payload, StopRequest):
            fields = payload.model_dump(include=_STOP_FIELDS)
            self.stops.append(storable(place | told | on_roll | NO_ACK | fields))
        elif isinstance(payload, StopAck):
            self._answer(storable(place | ack_row(event, payload)))

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
        name = str(clean(event.roll_id))
        if self.roll is not None and self.roll.roll_id == name and event.kind != Kind.ROLL_START:
            return self.roll
        self.close()
        self.roll = RollPlace(event.seq, name, clean(event.style), is_open=True)
        start = _NO_START
        if isinstance(event.payload, RollStart):
            start = {"started_utc": event.stamp_utc} | event.payload.model_dump(include=_START_FIELDS)
        self.rolls[event.seq] = storable(
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
        row = storable(
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
        self.defects[key] = storable(row)

    def _answer(self, ack: Row) -> None:
        """The first answer to the newest request of that name."""
        for stop in reversed(self.stops):
            if stop["request_id"] == ack["request_id"]:
                if stop["ack_seq"] is None:
                    stop.update((name, ack[name]) for name in NO_ACK)
                return
        self.acks.append(ack)
