"""A table of points: how much a defect counts, and how much a roll of first quality may have.

Promises: a table that can be made is consistent: every size has its points, and a larger defect never has fewer than a
smaller one that lies within it.

The four-point system is that of ASTM D5430; the ten-point system that of the Textile Distributors Institute (1955).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from glass_edge.fabric.fault import Fault

MM_PER_INCH = 25.4
MM_PER_YARD = 914.4
_NOISE_MM = 1e-6  # a size of whole pixels misses a limit by float rounding, never by this much


class LengthUnit(StrEnum):
    """The stretch of cloth whose points have a cap."""

    METRE = "metre"
    YARD = "yard"

    @property
    def mm(self) -> float:
        """Its length, mm."""
        return 1000.0 if self is LengthUnit.METRE else MM_PER_YARD


@dataclass(frozen=True, slots=True)
class Step:
    """A line of a table: sizes up to a limit, the limit included, have these points.

    Attributes:
        points: whole points, 0 or more.
        up_to_mm: the limit, mm; None when `up_to_width` gives it, or in the last step, which has none.
        up_to_width: the limit as a share of the cloth's width.
    """

    points: int
    up_to_mm: float | None = None
    up_to_width: float | None = None

    def limit_mm(self, width_mm: float) -> float:
        """The limit on cloth of this width, mm; infinite in the last step."""
        if self.up_to_width is not None:
            return self.up_to_width * width_mm
        return math.inf if self.up_to_mm is None else self.up_to_mm


def check_steps(steps: Sequence[Step]) -> None:
    """Refuse a list of steps that leaves a size without points or gives a larger one fewer.

    Raises:
        ValueError: says which step is wrong and what would be right.
    """
    if not steps or not math.isinf(steps[-1].limit_mm(1)):
        raise ValueError("the last step needs points alone, for every size above the others: { points = 4 }")
    before: dict[str, float] = {}
    for number, step in enumerate(steps, start=1):
        if step.up_to_mm is not None and step.up_to_width is not None:
            raise ValueError(f"step {number} has both up_to_mm and up_to_width; give one")
        if step.points < 0 or (number > 1 and step.points < steps[number - 2].points):
            raise ValueError(f"step {number} has {step.points} points; a larger defect needs as many as the one before")
        for key, value in (("up_to_mm", step.up_to_mm), ("up_to_width", step.up_to_width)):
            if value is not None:
                if not before.get(key, 0.0) < value < math.inf:
                    raise ValueError(f"step {number} has {key} = {value:g}; it must exceed {before.get(key, 0.0):g}")
                before[key] = value
        if number < len(steps) and math.isinf(step.limit_mm(1)):
            raise ValueError(f"step {number} needs up_to_mm or up_to_width; only the last step goes without")


def points_of(steps: Sequence[Step], size_mm: float, width_mm: float) -> int:
    """Points of a size on cloth `width_mm` wide: those of the first step whose limit it does not exceed."""
    return next(step.points for step in steps if size_mm <= step.limit_mm(width_mm) + _NOISE_MM)


@dataclass(frozen=True, slots=True)
class QualityLimits:
    """What a roll of first quality may have at most; None: no limit.

    Attributes:
        points_per_100_m2: points on 100 m2.
        points_per_100_yd2: points on 100 square yards.
        points_per_unit: points for each metre or yard inspected.
        continuous_units: consecutive metres or yards with a running defect.
        holes: holes that count.
        uninspected_m: metres that were not inspected.
    """

    points_per_100_m2: float | None = None
    points_per_100_yd2: float | None = None
    points_per_unit: float | None = None
    continuous_units: int | None = None
    holes: int | None = None
    uninspected_m: float | None = None


@dataclass(frozen=True, slots=True)
class GradingTable:
    """How defects are counted.

    Attributes:
        name: for people.
        unit: length whose points have a cap.
        size: points by the longest side; empty: not asked.
        warp: points by the length, along the roll; empty: not asked.
        weft: points by the width, across; empty: not asked. A defect has the highest of the three.
        hole: points of holes, by their longest side; empty: as other defects.
        running_above_mm: a defect longer than this along the roll is a running one.
        running_points: points of a running defect in each unit it touches.
        cap_points: most points of a unit.
        cap_width_mm: on wider cloth the cap grows in proportion to the width, rounded down; None: it never does.
        edge_exclusion_mm: a defect wholly within this distance of a selvedge does not count.
        area_excludes_edges: whether points per area are counted on the width without the excluded edges.
        limits: of first quality.
    """

    name: str
    unit: LengthUnit
    size: tuple[Step, ...]
    warp: tuple[Step, ...]
    weft: tuple[Step, ...]
    hole: tuple[Step, ...]
    running_above_mm: float
    running_points: int
    cap_points: int
    limits: QualityLimits
    cap_width_mm: float | None = None
    edge_exclusion_mm: float = 0.0
    area_excludes_edges: bool = False

    def __post_init__(self) -> None:
        if not self.size and not (self.warp and self.weft):
            raise ValueError("give the points as size, or as warp and weft")
        for steps in filter(None, (self.size, self.warp, self.weft, self.hole)):
            check_steps(steps)

    def size_points(self, fault: Fault, width_mm: float) -> int:
        """Points that the size of `fault` gives on cloth `width_mm` wide, before any cap."""
        if fault.is_hole and self.hole:
            return points_of(self.hole, fault.longest_mm, width_mm)
        asked = ((self.size, fault.longest_mm), (self.warp, fault.length_mm), (self.weft, fault.width_mm))
        return max(points_of(steps, size_mm, width_mm) for steps, size_mm in asked if steps)

    def is_running(self, fault: Fault) -> bool:
        """Whether `fault` counts in each unit that it touches."""
        return fault.is_running or fault.length_mm > self.running_above_mm + _NOISE_MM

    def is_in_edge(self, fault: Fault, width_mm: float) -> bool:
        """Whether `fault` lies wholly in an edge that does not count."""
        edge_mm = self.edge_exclusion_mm
        is_left, is_right = fault.right_mm <= edge_mm + _NOISE_MM, fault.across_mm >= width_mm - edge_mm - _NOISE_MM
        return edge_mm > 0 and (is_left or is_right)

    def cap(self, width_mm: float) -> int:
        """Most points of a unit on cloth `width_mm` wide."""
        if self.cap_width_mm is None or width_mm <= self.cap_width_mm:
            return self.cap_points
        return math.floor(self.cap_points * width_mm / self.cap_width_mm + 1e-9)

    def area_width_mm(self, width_mm: float) -> float:
        """Width on which points per area are counted, mm."""
        return width_mm - 2 * self.edge_exclusion_mm if self.area_excludes_edges else width_mm
