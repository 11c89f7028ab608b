"""Equal spacing among defects at one place across: the mark of a roller, a damaged tooth of the reed drive, a template.

Promises: among positions that are uniformly random along the cloth, a period is reported with a probability of at most
`PeriodRule.false_alarm` each time one is looked for. A missed mark and defects between the marks do not hide a period.

The test is a contrario (Desolneux, Moisan and Morel, "Meaningful alignments", International Journal of Computer Vision
40, 2000): what is too regular for chance is taken as meant. The newest defect and each older one are tried as the ends
of a comb of k equal steps. Given its ends, the other n - 2 positions are uniform in the window W, and one tooth of
2 x tolerance is hit with probability q = 1 - (1 - 2 tolerance / W)^(n - 2). Hits of different teeth exclude rather than
favour each other, so h or more of the k - 1 inner teeth are hit with a probability of at most C(k - 1, h) q^h. That,
times the number of combs that are tried, bounds the probability that chance makes any of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEWEST = 32
"""Most positions looked at; a search stays within some milliseconds."""


@dataclass(frozen=True, slots=True)
class PeriodRule:
    """What counts as periodic.

    Attributes:
        defects: fewest defects on the comb, 3 or more.
        across_tolerance_mm: distance across of defects at the same place.
        along_tolerance_mm: distance of a defect from its tooth.
        min_period_mm, max_period_mm: periods that are looked for; a tooth must be narrower than the shortest.
        within_mm: cloth that is looked back over.
        min_share: share of the teeth, ends included, that must be hit.
        false_alarm: most probability of a report when positions are uniformly random.
    """

    defects: int
    across_tolerance_mm: float
    along_tolerance_mm: float
    min_period_mm: float
    max_period_mm: float
    within_mm: float
    min_share: float
    false_alarm: float

    def __post_init__(self) -> None:
        if self.defects < 3:
            raise ValueError(f"defects = {self.defects}: two have always a spacing; at least 3 are needed")
        if not 2 * self.along_tolerance_mm < self.min_period_mm < self.max_period_mm:
            raise ValueError(
                f"min_period_mm = {self.min_period_mm:g} must exceed twice along_tolerance_mm = "
                f"{self.along_tolerance_mm:g} and be below max_period_mm = {self.max_period_mm:g}"
            )
        if (self.defects - 1) * self.min_period_mm > self.within_mm:
            raise ValueError(
                f"{self.defects} defects with the shortest period do not fit into {self.within_mm:g} mm of cloth; "
                f"give at least {(self.defects - 1) * self.min_period_mm:g}"
            )


@dataclass(frozen=True, slots=True)
class Period:
    """A comb that was found.

    Attributes:
        period_mm: mean spacing, mm.
        teeth: places of the comb, both ends included.
        hits: those with a defect.
        chance: bound of the probability that random positions give this or a better comb.
    """

    period_mm: float
    teeth: int
    hits: int
    chance: float


def find_period(along_mm: Sequence[float], window_mm: float, rule: PeriodRule) -> Period | None:
    """The least accidental comb that ends at the last position, if chance hardly makes one.

    Args:
        along_mm: positions of defects at one place across, mm, ascending; all that there are in the window.
        window_mm: cloth before the last position in which defects could be, mm.
        rule: what counts.
    """
    positions = np.asarray(along_mm, dtype=np.float64)
    if len(positions) > NEWEST:
        window_mm = float(positions[-1] - positions[-NEWEST])
        positions = positions[-NEWEST:]
    n = len(positions)
    if n < rule.defects or window_mm <= 2 * rule.along_tolerance_mm:
        return None
    tooth_hit = -math.expm1((n - 2) * math.log1p(-2 * rule.along_tolerance_mm / window_mm))
    most_steps = math.floor(n / rule.min_share + 1e-9) - 1
    tried = (n - 1) * (most_steps - rule.defects + 2)
    best: Period | None = None
    for steps in range(rule.defects - 1, most_steps + 1):
        for period_mm, inner_hits in _combs(positions, steps, rule):
            hits = inner_hits + 2
            if hits < rule.defects or hits < rule.min_share * (steps + 1) - 1e-9:
                continue
            chance = tried * math.comb(steps - 1, inner_hits) * tooth_hit**inner_hits
            if chance <= rule.false_alarm and (best is None or chance < best.chance):
                best = Period(period_mm, steps + 1, hits, chance)
    return best


def _combs(positions: NDArray[np.float64], steps: int, rule: PeriodRule) -> list[tuple[float, int]]:
    """Period and number of inner teeth hit of each comb of `steps` steps from the last position to an older one."""
    periods = (positions[-1] - positions[:-1]) / steps
    periods = periods[(periods >= rule.min_period_mm) & (periods <= rule.max_period_mm)]
    teeth = positions[-1] - periods[:, None] * np.arange(1, steps)
    after = np.searchsorted(positions, teeth)  # never 0 nor n: inner teeth lie between two positions
    distance = np.minimum(positions[after] - teeth, teeth - positions[after - 1])
    hits = (distance <= rule.along_tolerance_mm).sum(axis=1)
    return [(float(period), int(hit)) for period, hit in zip(periods, hits, strict=True)]
