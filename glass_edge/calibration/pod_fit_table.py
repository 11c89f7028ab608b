"""What hits and misses say about the sizes that are found: a table, a curve and the sizes a50, a90, a90/95.

Promises: nothing is stated beyond the sizes that were planted ("> largest", "< smallest"), nor where the curve does not
fit the counts; intervals of the table are exact (Clopper and Pearson, "The use of confidence or fiducial limits
illustrated in the case of the binomial", Biometrika 26, 1934).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from glass_edge.calibration.binomial import clopper_pearson
from glass_edge.calibration.pod_fit import CONFIDENCE, HitCounts, PodFit, fit_pod


class Side(StrEnum):
    """Where a size lies."""

    WITHIN = "within"
    """Among the planted sizes."""
    BELOW = "below"
    """At the smallest planted size or below."""
    ABOVE = "above"
    """Above the largest planted size, or nowhere."""
    NOT_STATED = "not stated"
    """The curve does not fit the counts."""


@dataclass(frozen=True, slots=True)
class SizeReading:
    """A size, as far as the counts carry it.

    Attributes:
        side: whether it is known.
        mm: the size, or the end of the planted sizes beyond which it lies; None: not stated.
    """

    side: Side
    mm: float | None

    def __str__(self) -> str:
        """Like `1.27`, `< 0.5`, `> 16` (mm) or `not stated`."""
        if self.mm is None:
            return str(self.side)
        return {Side.BELOW: "< ", Side.ABOVE: "> "}.get(self.side, "") + f"{self.mm:.3g}"


@dataclass(frozen=True, slots=True)
class TableRow:
    """Defects of one size.

    Attributes:
        size_mm: their size.
        planted, found: how many.
        low, high: exact two-sided interval of the probability of detection.
        is_off_curve: the curve lies outside of the interval that all sizes together keep to.
    """

    size_mm: float
    planted: int
    found: int
    low: float
    high: float
    is_off_curve: bool


@dataclass(frozen=True, slots=True)
class PodCurve:
    """Everything about one kind of defect.

    Attributes:
        fit: the curve.
        rows: by size.
        a50, a90: sizes found with probability 0.5 and 0.9.
        a90_95: size from which on 0.9 is the lower 95 % bound.
    """

    fit: PodFit
    rows: tuple[TableRow, ...]
    a50: SizeReading
    a90: SizeReading
    a90_95: SizeReading

    @property
    def fits(self) -> bool:
        """Whether the curve fits the counts."""
        return not any(row.is_off_curve for row in self.rows)


def pod_curve(counts: HitCounts) -> PodCurve:
    """The curve of counts, with what it carries."""
    fit = fit_pod(counts)
    # a size is off the curve if an interval says so that holds for all sizes together (Bonferroni)
    together = 1 - (1 - CONFIDENCE) / len(counts.sizes_mm)
    rows = []
    for size_mm, planted, found in zip(counts.sizes_mm, counts.planted, counts.found, strict=True):
        low, high = clopper_pearson(int(found), int(planted), together)
        off = not low - 1e-9 <= float(fit.pod(size_mm)) <= high + 1e-9
        own = clopper_pearson(int(found), int(planted))
        rows.append(TableRow(float(size_mm), int(planted), int(found), *own, is_off_curve=off))
    smallest, largest = rows[0].size_mm, rows[-1].size_mm
    fits = not any(row.is_off_curve for row in rows)

    def reading(size_mm: float) -> SizeReading:
        if not fits:
            return SizeReading(Side.NOT_STATED, None)
        if size_mm > largest:
            return SizeReading(Side.ABOVE, largest)
        return SizeReading(Side.BELOW, smallest) if size_mm < smallest else SizeReading(Side.WITHIN, size_mm)

    return PodCurve(
        fit, tuple(rows), reading(fit.size_at(0.5)), reading(fit.size_at(0.9)), reading(fit.size_bound_at(0.9))
    )
