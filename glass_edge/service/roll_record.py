"""What is known of one roll, put together from its events.

Promises: pure values, a function of the roll's events alone; each defect appears once, as its last event told it; a
roll without its `roll.end` has a record too, with the length that the events prove.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

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
from glass_edge.events.schema import Event, Kind


class RollState(StrEnum):
    """Whether the roll is complete."""

    COMPLETE = "complete"
    """Its `roll.end` is there."""
    OPEN = "open"
    """It is being woven."""
    CUT_OFF = "cut_off"
    """Its `roll.end` never came: the station stopped working before."""


@dataclass(frozen=True, slots=True)
class RollPlace:
    """A roll in a journal.

    Attributes:
        seq: number of its `roll.start`.
        roll_id, style: as told there.
        started_utc: when it began.
        ended_utc: when it ended; None without `roll.end`.
        state: complete, open or cut off.
        occurrence: 1, or 2 for the second roll of this name in the journal, and so on.
    """

    seq: int
    roll_id: str
    style: str
    started_utc: datetime
    ended_utc: datetime | None
    state: RollState
    occurrence: int


@dataclass(frozen=True, slots=True)
class DefectRecord:
    """A defect as last told, when it was first told, and whether its `defect.end` came."""

    payload: DefectPayload
    found_utc: datetime
    has_ended: bool


@dataclass(frozen=True, slots=True)
class StopRecord:
    """A request to stop, and its answer; None where none came."""

    request: StopRequest
    asked_utc: datetime
    ack: StopAck | None = None
    answered_utc: datetime | None = None


@dataclass(frozen=True, slots=True)
class EngineRecord:
    """An engine or threshold that decided on this roll, and since when."""

    payload: EngineActivated
    since_utc: datetime


@dataclass(frozen=True, slots=True)
class FaultRecord:
    """A fault that the station told while the roll ran: how often, and the last message."""

    code: str
    times: int
    message: str


@dataclass(frozen=True, slots=True)
class RollRecord:
    """One roll.

    Attributes:
        station, epoch: whose journal it is, and which.
        place: where it stands in the journal.
        is_simulated: whether it was a replay or a simulated camera.
        start: its beginning.
        end: its end; None while there is none.
        last_utc: time of its last event.
        told_m: metres of a roll without end, as far as its events tell.
        defects: in the order of their ids; those merged into others too.
        gaps: what was not inspected, in the order of the web.
        stops: requests to stop, in the order asked.
        engines: what decided, in order; several when it was changed.
        faults: in the order in which they first came.
        widths: live width of the cloth as (m from the roll's first line, mm).
    """

    station: str
    epoch: str
    place: RollPlace
    is_simulated: bool
    start: RollStart
    end: RollEnd | None
    last_utc: datetime
    told_m: float
    defects: tuple[DefectRecord, ...]
    gaps: tuple[CoverageGap, ...]
    stops: tuple[StopRecord, ...]
    engines: tuple[EngineRecord, ...]
    faults: tuple[FaultRecord, ...]
    widths: tuple[tuple[float, float], ...]

    @property
    def is_partial(self) -> bool:
        """Whether the figures are not final."""
        return self.end is None

    @property
    def missed_m(self) -> float:
        """Metres that were not inspected."""
        if self.end is not None:
            return self.end.missed_m
        return min(sum(gap.length_m for gap in self.gaps), self.told_m)

    @property
    def woven_m(self) -> float:
        """Metres woven."""
        return self.told_m if self.end is None else self.end.woven_m

    @property
    def inspected_m(self) -> float:
        """Metres inspected, never more than woven."""
        return min(self.end.inspected_m, self.woven_m) if self.end is not None else self.woven_m - self.missed_m

    @property
    def told_width_mm(self) -> float | None:
        """Width of the cloth: the roll's mean, or that of the live figures so far, or the columns it began with."""
        if self.end is not None and self.end.cloth_width_mm is not None:
            return self.end.cloth_width_mm
        if self.widths:
            return sum(width_mm for _, width_mm in self.widths) / len(self.widths)
        if self.start.left_px is None or self.start.right_px is None or self.start.right_px <= self.start.left_px:
            return None
        return (self.start.right_px - self.start.left_px) * self.start.mm_per_px


class RecordFold:
    """Folds the events of a roll, in order, into its record.

    Args:
        place: the roll.
        start: its `roll.start`.
        engine: the newest `engine.activated` before it; None where there is none.
    """

    def __init__(self, place: RollPlace, start: Event, engine: Event | None) -> None:
        assert isinstance(start.payload, RollStart)
        self._place = place
        self._start, self._start_payload = start, start.payload
        self._end: RollEnd | None = None
        self._last_utc = start.stamp_utc
        self._told_m = 0.0
        self._defects: dict[int, DefectRecord] = {}
        self._gaps: list[CoverageGap] = []
        self._stops: list[StopRecord] = []
        self._engines: list[EngineRecord] = []
        self._faults: dict[str, FaultRecord] = {}
        self._widths: list[tuple[float, float]] = []
        if engine is not None and isinstance(engine.payload, EngineActivated):
            self._engines.append(EngineRecord(engine.payload, engine.stamp_utc))

    def apply(self, event: Event) -> None:
        """Take the next event after the `roll.start`; after the `roll.end` only an answer to a stop still counts."""
        payload = event.payload
        if isinstance(payload, StopAck):
            self._answer(payload, event.stamp_utc)
        if self._end is not None:
            return
        self._last_utc = event.stamp_utc
        if isinstance(payload, DefectPayload):
            self._defect(payload, event)
        elif isinstance(payload, CoverageGap):
            self._gaps.append(payload)
            self._reach(payload.along_mm / 1000 + payload.length_m)
        elif isinstance(payload, Status):
            self._status(payload)
        elif isinstance(payload, RollEnd):
            self._end = payload
        elif isinstance(payload, StopRequest):
            self._stops.append(StopRecord(payload, event.stamp_utc))
        elif isinstance(payload, EngineActivated):
            self._engines.append(EngineRecord(payload, event.stamp_utc))

    def apply_all(self, events: Iterable[Event]) -> None:
        """Take several."""
        for event in events:
            self.apply(event)

    def record(self) -> RollRecord:
        """The roll as the events so far tell it."""
        return RollRecord(
            station=self._start.station,
            epoch=self._start.epoch,
            place=self._place,
            is_simulated=self._start.is_simulated,
            start=self._start_payload,
            end=self._end,
            last_utc=self._last_utc,
            told_m=self._told_m,
            defects=tuple(self._defects[number] for number in sorted(self._defects)),
            gaps=tuple(sorted(self._gaps, key=lambda gap: gap.first_line)),
            stops=tuple(self._stops),
            engines=tuple(self._engines),
            faults=tuple(self._faults.values()),
            widths=tuple(self._widths),
        )

    def _reach(self, along_m: float) -> None:
        self._told_m = max(self._told_m, along_m)

    def _defect(self, payload: DefectPayload, event: Event) -> None:
        before = self._defects.get(payload.defect_id)
        found_utc = event.stamp_utc if before is None else before.found_utc
        self._defects[payload.defect_id] = DefectRecord(payload, found_utc, event.kind == Kind.DEFECT_END)
        self._reach((payload.along_mm + payload.length_mm) / 1000)

    def _status(self, payload: Status) -> None:
        self._reach(payload.roll_m)
        if payload.cloth_width_mm is not None:
            self._widths.append((payload.roll_m, payload.cloth_width_mm))
        if payload.fault_code is not None:
            before = self._faults.get(payload.fault_code)
            times = 1 if before is None else before.times + 1
            self._faults[payload.fault_code] = FaultRecord(payload.fault_code, times, payload.message or "")

    def _answer(self, ack: StopAck, stamp: datetime) -> None:
        """The first answer to the newest request of that id."""
        for place in range(len(self._stops) - 1, -1, -1):
            stop = self._stops[place]
            if stop.request.request_id == ack.request_id:
                if stop.ack is None:
                    self._stops[place] = StopRecord(stop.request, stop.asked_utc, ack, stamp)
                return
