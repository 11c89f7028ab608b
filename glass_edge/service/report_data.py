"""A roll's record with its grade: all that a report shows.

Promises: every figure of a report comes from here, so that picture, table and document agree; a defect is of one class;
the order of the worst is total: the same roll always shows the same defects first.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from glass_edge.calibration.alarm_rate import MOST_ALARMS, AlarmRate, alarm_rate
from glass_edge.config.grading import GradingFile
from glass_edge.errors import InputError
from glass_edge.events.payloads import CoverageGap, DefectPayload, GapReason
from glass_edge.fabric.defect import DefectShape
from glass_edge.fabric.fault import Fault
from glass_edge.fabric.grading import grade_roll
from glass_edge.fabric.grading_result import FaultPoints, RollGrade
from glass_edge.fabric.grading_table import GradingTable
from glass_edge.service.roll_record import DefectRecord, RollRecord, RollState


class DefectClass(StrEnum):
    """What a report calls a defect: a hole or a running defect before its geometric class."""

    HOLE = "hole"
    RUNNING = "running"
    WARP_LINE = "warp_line"
    WEFT_LINE = "weft_line"
    BLOCK = "block"
    POINT = "point"

    @property
    def words(self) -> str:
        """For people."""
        return self.value.replace("_", " ")


_CLASS_OF_SHAPE = {
    DefectShape.WARP_LINE: DefectClass.WARP_LINE,
    DefectShape.WEFT_LINE: DefectClass.WEFT_LINE,
    DefectShape.BLOCK: DefectClass.BLOCK,
    DefectShape.POINT: DefectClass.POINT,
}


@dataclass(frozen=True, slots=True)
class ReportedDefect:
    """A defect with its class, its points and its longest side, mm."""

    record: DefectRecord
    kind: DefectClass
    points: FaultPoints
    longest_mm: float

    @property
    def payload(self) -> DefectPayload:
        """What the journal says of it."""
        return self.record.payload


@dataclass(frozen=True, slots=True)
class ClassTotal:
    """Defects of a class: how many, their points, the longest, mm."""

    kind: DefectClass
    count: int
    points: int
    longest_mm: float


@dataclass(frozen=True, slots=True)
class GapTotal:
    """Cloth not inspected for one reason: stretches and metres."""

    reason: GapReason
    stretches: int
    length_m: float


@dataclass(frozen=True, slots=True)
class ReportData:
    """What a report shows.

    Attributes:
        record: the roll.
        table: how it was graded.
        grade: the grade.
        defects: all of the record, in the order of their places.
        found: those of their own: without what grew together with an older one.
    """

    record: RollRecord
    table: GradingTable
    grade: RollGrade
    defects: tuple[ReportedDefect, ...]
    found: tuple[ReportedDefect, ...]

    @property
    def width_mm(self) -> float:
        """Width the roll was graded with, mm."""
        return self.grade.width_mm

    @property
    def promised_per_100m(self) -> float | None:
        """False alarms in 100 m that the roll's engine promises at most; None where it, or one of several, does not."""
        promises = {engine.payload.promised_per_100m for engine in self.record.engines}
        return promises.pop() if len(promises) == 1 else None

    @property
    def alarm_rate(self) -> AlarmRate | None:
        """Rate of defects of the roll, real ones too; None where nothing was inspected."""
        if self.record.inspected_m <= 0 or len(self.found) > MOST_ALARMS:
            return None
        return alarm_rate(len(self.found), self.record.inspected_m)

    @property
    def alarms_told(self) -> str:
        """The same in a few words."""
        promised, rate = self.promised_per_100m, self.alarm_rate
        if rate is None:
            return "nothing inspected"
        seen = f"{rate.per_100m:.3g} defects in 100 m"
        if promised is None:
            return f"{seen}; no promise of false ones"
        return f"{seen}; false ones promised: at most {promised:.3g}"

    def worst(self) -> list[ReportedDefect]:
        """The defects of their own: most points by size first, then the longest, then the highest score."""
        return sorted(
            self.found,
            key=lambda one: (
                -one.points.points_by_size,
                -one.longest_mm,
                -one.payload.peak_logit,
                one.payload.defect_id,
            ),
        )

    def longest(self) -> list[ReportedDefect]:
        """The defects of their own, the longest first."""
        return sorted(self.found, key=lambda one: (-one.longest_mm, one.payload.defect_id))

    def by_class(self) -> list[ClassTotal]:
        """Totals of the classes that there are, in the order of `DefectClass`."""
        totals = []
        for kind in DefectClass:
            of_kind = [one for one in self.found if one.kind is kind]
            if of_kind:
                points = sum(one.points.points for one in of_kind)
                totals.append(ClassTotal(kind, len(of_kind), points, max(one.longest_mm for one in of_kind)))
        return totals

    def gaps_by_reason(self) -> list[GapTotal]:
        """What was not inspected, the most first."""
        return gap_totals(self.record.gaps)

    @property
    def title(self) -> str:
        """Name of the roll, for a heading."""
        again = f" ({self.record.place.occurrence}. of this name)" if self.record.place.occurrence > 1 else ""
        return f"Roll {one_line(self.record.place.roll_id)}{again}"

    @property
    def notes(self) -> list[str]:
        """What a reader must know before the figures."""
        state, place = self.record.place.state, self.record.place
        notes = []
        if state is RollState.OPEN:
            notes.append("Partial: the roll was open when this was written; the figures are those so far.")
        if state is RollState.CUT_OFF:
            notes.append("Partial: the station stopped before the roll ended; what came after is not known.")
        if place.occurrence > 1:
            before = place.occurrence - 1
            rolls = "roll of this name is" if before == 1 else f"{before} rolls of this name are"
            notes.append(f"{'An earlier ' if before == 1 else ''}{rolls} in the journal; this is the last.")
        return notes


def report_data(record: RollRecord, grading: GradingFile, width_mm: float | None = None) -> ReportData:
    """Grade a roll.

    Args:
        record: the roll.
        grading: table of points; its limits for the roll's style count.
        width_mm: width of the cloth, mm; None: as the journal tells it.

    Raises:
        InputError: no width is known, or the edges that do not count leave nothing of it.
    """
    width_mm = record.told_width_mm if width_mm is None else width_mm
    if width_mm is None:
        raise InputError(
            f"the width of the cloth on roll '{record.place.roll_id}' is not in the journal; give it with --width-mm"
        )
    if not 0 < width_mm < math.inf:
        raise InputError(f"the width of the cloth is {width_mm:g} mm; give a width above 0")
    table = grading.table(record.place.style)
    woven_in = [one for one in record.defects if not one.payload.is_cut_mark]
    faults = {one.payload.defect_id: fault_of(one.payload) for one in woven_in}
    graded = grade_roll(
        table, faults.values(), width_mm=width_mm, woven_m=record.woven_m, inspected_m=record.inspected_m
    )
    records = {one.payload.defect_id: one for one in woven_in}
    defects = tuple(
        ReportedDefect(
            record=records[points.defect_id],
            kind=class_of(records[points.defect_id].payload, table),
            points=points,
            longest_mm=faults[points.defect_id].longest_mm,
        )
        for points in graded.faults
    )
    found = tuple(one for one in defects if one.payload.merged_into is None)
    return ReportData(record, table, graded.grade, defects, found)


def fault_of(payload: DefectPayload) -> Fault:
    """What grading needs of a defect as the journal tells it."""
    return Fault(
        defect_id=payload.defect_id,
        shape=payload.shape,
        across_mm=payload.across_mm,
        along_mm=payload.along_mm,
        width_mm=payload.width_mm,
        length_mm=payload.length_mm,
        is_hole=payload.is_hole,
        is_running=payload.is_running,
        merged_into=payload.merged_into,
        askew_mm=payload.oriented_length_mm,
    )


def class_of(payload: DefectPayload, table: GradingTable) -> DefectClass:
    """Hole, then running (as the station or the table says), then the geometric class."""
    if payload.is_hole:
        return DefectClass.HOLE
    if table.is_running(fault_of(payload)):
        return DefectClass.RUNNING
    return _CLASS_OF_SHAPE[payload.shape]


def gap_totals(gaps: Sequence[CoverageGap]) -> list[GapTotal]:
    """Stretches and metres of each reason, the most metres first."""
    totals = []
    for reason in dict.fromkeys(gap.reason for gap in gaps):
        of_reason = [gap for gap in gaps if gap.reason is reason]
        totals.append(GapTotal(reason, len(of_reason), sum(gap.length_m for gap in of_reason)))
    return sorted(totals, key=lambda total: (-total.length_m, total.reason))


def one_line(text: str) -> str:
    """`text` without what would break a line."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
