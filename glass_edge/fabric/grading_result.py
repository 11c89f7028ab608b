"""What grading says of a defect, of a unit of length and of a roll.

Promises: the points of a roll are the sum of the points of its units, and of the points of its defects.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class WhyLess(StrEnum):
    """Why a defect counts less than its size gives."""

    CAPPED = "capped"
    """The units it lies in have all the points that they can have."""
    EDGE = "edge"
    """It lies wholly in an edge that does not count."""
    MERGED = "merged"
    """It grew together with an older defect, which counts for both."""


@dataclass(frozen=True, slots=True)
class FaultPoints:
    """What one defect counts.

    Attributes:
        defect_id: which.
        points: points it added.
        points_by_size: points it would have without cap, edges and merging, over all its units.
        first_unit: the unit that owns it, from 0.
        end_unit: the unit after the last in which it counts.
        why_less: why `points` is below `points_by_size`; None when it is not.
    """

    defect_id: int
    points: int
    points_by_size: int
    first_unit: int
    end_unit: int
    why_less: WhyLess | None = None


@dataclass(frozen=True, slots=True)
class UnitPoints:
    """A metre or yard that has points: its number from 0, its points, and what they were before the cap."""

    unit: int
    points: int
    points_before_cap: int


@dataclass(frozen=True, slots=True)
class RollGrade:
    """The grade of a roll, or of an open roll so far.

    Attributes:
        table: name of the table of points.
        unit_mm: length of a unit, mm.
        width_mm: width of the cloth, mm.
        woven_m, inspected_m: length of the roll and what was inspected of it, m.
        total_points: sum over the units.
        units: those that have points, in order.
        defects: defects that count (merged ones and those in the edges do not).
        holes: holes among them.
        continuous_units: longest row of units with a running defect.
        points_per_100_m2, points_per_100_yd2: None while nothing is inspected.
        is_first_quality: whether the roll passes; False while nothing is inspected.
        reasons: why it does not pass, a sentence each, with the figures.
        remarks: what a reader of the grade must know besides.
    """

    table: str
    unit_mm: float
    width_mm: float
    woven_m: float
    inspected_m: float
    total_points: int
    units: tuple[UnitPoints, ...]
    defects: int
    holes: int
    continuous_units: int
    points_per_100_m2: float | None
    points_per_100_yd2: float | None
    is_first_quality: bool
    reasons: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def uninspected_m(self) -> float:
        """Length that was not inspected, m."""
        return self.woven_m - self.inspected_m

    @property
    def is_complete(self) -> bool:
        """Whether the whole roll was inspected."""
        return self.inspected_m == self.woven_m


@dataclass(frozen=True, slots=True)
class GradedRoll:
    """A roll's grade with what each defect counted, in the order of their places (start along, then id)."""

    grade: RollGrade
    faults: tuple[FaultPoints, ...]
