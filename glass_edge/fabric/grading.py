"""The grade of a roll: points of its defects, points per area, first quality or not.

Promises: a grade depends on the set of defects alone, not on the order in which they came; no unit of length (metre or
yard) counts more than its cap; memory grows with the metres that have defects, not with the defects.

Which unit owns a defect: units are counted from the roll's first line, and each holds its first line and not the next
one's. A defect counts once, with its full size, in the unit in which it starts; a running defect counts in each unit it
touches. A defect that ends exactly where a unit begins does not touch that unit. The last unit may be shorter than the
others and has the same cap.

A roll with stretches that were not inspected is graded on the length that was, and says so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from glass_edge.errors import InputError
from glass_edge.fabric.fault import Fault
from glass_edge.fabric.grading_result import FaultPoints, GradedRoll, RollGrade, UnitPoints, WhyLess
from glass_edge.fabric.grading_table import MM_PER_INCH, MM_PER_YARD, GradingTable
from glass_edge.fabric.grading_verdict import RollFigures, judge

_NOISE_UNITS = 1e-9  # a product of whole lines and mm a line misses a border by float rounding, never by this much


def points_per_100_m2(points: float, length_m: float, width_mm: float) -> float:
    """Points on 100 m2 of a piece `length_m` long and `width_mm` wide (ASTM D5430)."""
    return points * 100_000 / (length_m * width_mm)


def points_per_100_yd2(points: float, length_yd: float, width_in: float) -> float:
    """Points on 100 square yards of a piece `length_yd` long and `width_in` wide (ASTM D5430)."""
    return points * 3600 / (length_yd * width_in)


class Grader:
    """Grades a roll while it is woven.

    Args:
        table: table of points.
        width_mm: width of the cloth, mm.

    Raises:
        InputError: the edges that do not count leave nothing of the width.
    """

    def __init__(self, table: GradingTable, width_mm: float) -> None:
        if not 0 < width_mm < math.inf:
            raise InputError(f"the width of the cloth is {width_mm} mm; give a width above 0")
        if 2 * table.edge_exclusion_mm >= width_mm:
            raise InputError(
                f"edge_exclusion_mm = {table.edge_exclusion_mm:g} on either side leaves nothing of cloth {width_mm:g}"
                f" mm wide; give less than {width_mm / 2:g}"
            )
        self._table = table
        self._width_mm = width_mm
        self._cap = table.cap(width_mm)
        self._before_cap: dict[int, int] = {}
        self._running: set[int] = set()
        self._total = self._defects = self._holes = 0

    @property
    def total_points(self) -> int:
        """Points so far."""
        return self._total

    def add(self, fault: Fault) -> FaultPoints:
        """Count a defect that has ended, once; returns what it added to the roll's points at this moment.

        Which of several defects in a full unit is called capped depends on the order in which they are added; the
        unit's points do not.
        """
        table = self._table
        first = max(math.floor(fault.along_mm / table.unit.mm + _NOISE_UNITS), 0)
        is_running = table.is_running(fault)
        end = max(math.ceil(fault.end_mm / table.unit.mm - _NOISE_UNITS), first + 1) if is_running else first + 1
        in_first = table.size_points(fault, self._width_mm)
        if is_running:
            in_first = max(in_first, table.running_points)
        by_size = in_first + (end - first - 1) * table.running_points
        if fault.merged_into is not None:
            return FaultPoints(fault.defect_id, 0, by_size, first, end, WhyLess.MERGED)
        if table.is_in_edge(fault, self._width_mm):
            return FaultPoints(fault.defect_id, 0, by_size, first, end, WhyLess.EDGE)
        added = sum(
            self._add_to(unit, in_first if unit == first else table.running_points) for unit in range(first, end)
        )
        if is_running:
            self._running.update(range(first, end))
        self._total += added
        self._defects += 1
        self._holes += fault.is_hole
        return FaultPoints(fault.defect_id, added, by_size, first, end, WhyLess.CAPPED if added < by_size else None)

    def grade(self, *, woven_m: float, inspected_m: float, width_mm: float | None = None) -> RollGrade:
        """The grade of what was added so far.

        Args:
            woven_m: length of the roll so far, m.
            inspected_m: what was inspected of it, m.
            width_mm: mean width of the cloth, for the points per area; None: the width that the roll began with.

        Raises:
            ValueError: the lengths are negative or more was inspected than woven.
        """
        if not 0 <= inspected_m <= woven_m < math.inf:
            raise ValueError(f"{inspected_m} m inspected of {woven_m} m woven is not possible")
        width_mm = self._width_mm if width_mm is None else width_mm
        area_width_mm = self._table.area_width_mm(width_mm)
        per_100_m2 = per_100_yd2 = None
        if inspected_m > 0:
            per_100_m2 = points_per_100_m2(self._total, inspected_m, area_width_mm)
            length_yd, width_in = 1000 * inspected_m / MM_PER_YARD, area_width_mm / MM_PER_INCH
            per_100_yd2 = points_per_100_yd2(self._total, length_yd, width_in)
        figures = RollFigures(
            unit=self._table.unit,
            woven_m=woven_m,
            inspected_m=inspected_m,
            total_points=self._total,
            holes=self._holes,
            continuous_units=_longest_row(self._running),
            points_per_100_m2=per_100_m2,
            points_per_100_yd2=per_100_yd2,
        )
        verdict = judge(self._table.limits, figures)
        return RollGrade(
            table=self._table.name,
            unit_mm=self._table.unit.mm,
            width_mm=width_mm,
            woven_m=woven_m,
            inspected_m=inspected_m,
            total_points=self._total,
            units=tuple(
                UnitPoints(unit, min(points, self._cap), points) for unit, points in sorted(self._before_cap.items())
            ),
            defects=self._defects,
            holes=self._holes,
            continuous_units=figures.continuous_units,
            points_per_100_m2=per_100_m2,
            points_per_100_yd2=per_100_yd2,
            is_first_quality=not verdict.reasons,
            reasons=verdict.reasons,
            remarks=verdict.remarks,
        )

    def _add_to(self, unit: int, points: int) -> int:
        """Add points to a unit; returns by how much its capped points grew."""
        if not points:
            return 0
        before = self._before_cap.get(unit, 0)
        self._before_cap[unit] = before + points
        return min(before + points, self._cap) - min(before, self._cap)


def grade_roll(
    table: GradingTable, faults: Iterable[Fault], *, width_mm: float, woven_m: float, inspected_m: float
) -> GradedRoll:
    """Grade a whole roll at once; in a full unit the defects that start last are the capped ones.

    Raises:
        InputError: the edges that do not count leave nothing of the width.
        ValueError: two faults have the same id, or the lengths are impossible.
    """
    ordered = sorted(faults, key=lambda fault: (fault.along_mm, fault.defect_id))
    if len({fault.defect_id for fault in ordered}) < len(ordered):
        raise ValueError("two faults have the same defect_id; give each defect once, as it ended")
    grader = Grader(table, width_mm)
    counted = tuple(grader.add(fault) for fault in ordered)
    return GradedRoll(grader.grade(woven_m=woven_m, inspected_m=inspected_m), counted)


def _longest_row(units: set[int]) -> int:
    longest = 0
    for unit in units:
        if unit - 1 not in units:
            end = unit
            while end in units:
                end += 1
            longest = max(longest, end - unit)
    return longest
