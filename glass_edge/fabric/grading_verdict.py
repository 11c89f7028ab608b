"""First quality or not, and why.

Promises: each limit that is exceeded is a reason of its own, with the figure and the limit; a figure equal to its limit
passes; a roll of which nothing was inspected never passes.
"""

from __future__ import annotations

from dataclasses import dataclass

from glass_edge.fabric.grading_table import LengthUnit, QualityLimits

_ROUNDING = 1e-9  # a quotient equal to the limit on paper may exceed it by float rounding


@dataclass(frozen=True, slots=True)
class RollFigures:
    """The figures of a roll that have limits; see `RollGrade`."""

    unit: LengthUnit
    woven_m: float
    inspected_m: float
    total_points: int
    holes: int
    continuous_units: int
    points_per_100_m2: float | None
    points_per_100_yd2: float | None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Reasons against first quality (none: it passes), and remarks."""

    reasons: tuple[str, ...]
    remarks: tuple[str, ...]


def judge(limits: QualityLimits, figures: RollFigures) -> Verdict:
    """Compare the figures of a roll with the limits of first quality."""
    unit = figures.unit.value
    uninspected_m = figures.woven_m - figures.inspected_m
    inspected_units = 1000 * figures.inspected_m / figures.unit.mm
    per_unit = figures.total_points / inspected_units if inspected_units else None
    rows: tuple[tuple[float | None, float | None, str], ...] = (
        (figures.points_per_100_m2, limits.points_per_100_m2, "points per 100 m2"),
        (figures.points_per_100_yd2, limits.points_per_100_yd2, "points per 100 yd2"),
        (per_unit, limits.points_per_unit, f"points per {unit}"),
        (figures.continuous_units, limits.continuous_units, f"consecutive {unit}s with a running defect"),
        (figures.holes, limits.holes, "holes"),
        (uninspected_m, limits.uninspected_m, "m not inspected"),
    )
    reasons = [
        f"{_text(value)} {words}; first quality allows {_text(limit)}"
        for value, limit, words in rows
        if value is not None and limit is not None and value > limit * (1 + _ROUNDING)
    ]
    if not figures.inspected_m:
        reasons.insert(0, "nothing was inspected")
    remarks = []
    if uninspected_m > 0:
        remarks.append(
            f"{uninspected_m:.3f} m of {figures.woven_m:.3f} m were not inspected; "
            f"the grade is that of the {figures.inspected_m:.3f} m that were"
        )
    return Verdict(tuple(reasons), tuple(remarks))


def _text(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.2f}".rstrip("0").rstrip(".")
