"""ROC, precision-recall and overlap curves as points for tables and pictures.

Promises: a curve holds the corners of the exact one and nothing in between, so its straight lines are the exact curve;
`thinned` keeps its ends and never strays by more than its stated step.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.glass.metrics import ScoreCounts

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of a curve by falling threshold.

    Attributes:
        thresholds: float64 (n,); what is at or above counts as anomalous. inf: nothing does, -inf: everything.
        x, y: float64 (n,).
    """

    thresholds: Points
    x: Points
    y: Points

    def __len__(self) -> int:
        return len(self.x)

    def thinned(self, most: int) -> Curve:
        """At most `most` of the points (2 or more), evenly spread along the curve, both ends among them.

        A point left out lies within the curve's length (at most 2) / (most - 1) of a kept one, along the curve.
        """
        if len(self) <= most:
            return self
        length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(self.x)) + np.abs(np.diff(self.y)))])
        kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], most)))
        kept[0], kept[-1] = 0, len(self) - 1
        return Curve(self.thresholds[kept], self.x[kept], self.y[kept])


NO_CURVE = Curve(np.empty(0), np.empty(0), np.empty(0))


def found_curve(counts: ScoreCounts, weights: Points | None = None) -> Curve:
    """Share of defects found over the share of good ones that are called anomalous.

    Args:
        counts: of scores.
        weights: float64, what finding the defects with each of `counts.thresholds` is worth; None: what they number,
            which makes this the ROC curve.

    Returns:
        From (0, 0) to (1, 1); empty when there is no defect or no good one.
    """
    if not counts.n_good or not counts.n_defect:
        return NO_CURVE
    worth = counts.gained.astype(np.float64) if weights is None else weights
    found = np.cumsum(worth[::-1])
    found /= found[-1]  # everything found is exactly 1
    before = np.concatenate([[0.0], found[:-1]])
    falling = counts.thresholds[::-1]
    # with every threshold the point just above it, up to which good ones alone were added, and the point at it
    thresholds = np.stack([np.nextafter(falling, np.inf), falling], axis=1).astype(np.float64).ravel()
    x = np.stack([counts.above[::-1], counts.at_or_above[::-1]], axis=1).ravel() / counts.n_good
    y = np.stack([before, found], axis=1).ravel()
    thresholds = np.concatenate([[np.inf], thresholds, [-np.inf]])
    x, y = np.concatenate([[0.0], x, [1.0]]), np.concatenate([[0.0], y, [1.0]])
    is_new = np.concatenate([[True], (np.diff(x) != 0) | (np.diff(y) != 0)])
    return Curve(thresholds[is_new], x[is_new], y[is_new])


def precision_recall_curve(counts: ScoreCounts) -> Curve:
    """Precision (y) over recall (x) at each distinct score of a defect; empty when there is no defect."""
    if not counts.n_defect:
        return NO_CURVE
    found = np.cumsum(counts.gained[::-1])
    return Curve(
        counts.thresholds[::-1].astype(np.float64), found / found[-1], found / (found + counts.at_or_above[::-1])
    )
