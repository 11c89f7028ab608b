"""How well scores separate good cloth from defects: AUROC and average precision, of images, tiles or pixels.

Promises: exact for ties; good scores are only counted between the scores of the defects, so that they may come in any
number of parts and need not be kept; where a figure is not defined (one class only) it is NaN, never a guess. Labels
only measure here: no threshold and no epoch is chosen from them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class ScoreCounts:
    """Everything ROC and precision-recall need: one entry for each distinct score of a defect.

    Attributes:
        thresholds: distinct scores of defects, ascending.
        gained: int64, defects with just this score.
        above, at_or_above: int64, good ones above it, and at or above it.
        n_good: all good ones.
    """

    thresholds: Numbers
    gained: NDArray[np.int64]
    above: NDArray[np.int64]
    at_or_above: NDArray[np.int64]
    n_good: int

    @property
    def n_defect(self) -> int:
        """All defects."""
        return int(self.gained.sum())

    def auroc(self) -> float:
        """See `auroc`."""
        if not self.n_defect or not self.n_good:
            return float("nan")
        twice_beaten = int((self.gained * (2 * self.n_good - self.above - self.at_or_above)).sum())
        return twice_beaten / (2 * self.n_defect * self.n_good)

    def average_precision(self) -> float:
        """See `average_precision`."""
        if not self.n_defect:
            return float("nan")
        # thresholds that gain no defect add nothing to the sum
        found = np.cumsum(self.gained[::-1])[::-1]
        return float(np.sum(found / (found + self.at_or_above) * self.gained) / self.n_defect)


def count_scores(defects: Numbers, good: Iterable[Numbers]) -> ScoreCounts:
    """Count good scores between the scores of the defects.

    Args:
        defects: (n,), finite.
        good: (m,) each, in any number of parts; one part at a time is held.
    """
    thresholds, gained = np.unique(defects, return_counts=True)
    above, at_or_above = np.zeros(len(thresholds), np.int64), np.zeros(len(thresholds), np.int64)
    n_good = 0
    for part in good:
        ordered = np.sort(part, axis=None)
        n_good += ordered.size
        above += ordered.size - np.searchsorted(ordered, thresholds, side="right")
        at_or_above += ordered.size - np.searchsorted(ordered, thresholds, side="left")
    return ScoreCounts(thresholds, gained.astype(np.int64), above, at_or_above, n_good)


def labelled_counts(scores: ArrayLike, labels: ArrayLike) -> ScoreCounts:
    """`count_scores` of labelled scores: any shape, finite, float64; labels of the same shape, bool or 0/1.

    Raises:
        ValueError: other shapes, NaN or infinity, or labels that are not binary.
    """
    values, defect = checked(np.asarray(scores, np.float64), np.asarray(labels))
    return count_scores(values[defect], [values[~defect]])


def auroc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve: the chance that a defect scores above a good one, ties counting half.

    Args:
        scores: any shape, finite; higher is more anomalous.
        labels: same shape, bool or 0/1.

    Returns:
        0 to 1; NaN when only one class is there.

    Source:
        The Mann-Whitney form: Hanley, McNeil, "The meaning and use of the area under a ROC curve", Radiology 1982.
    """
    return labelled_counts(scores, labels).auroc()


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Step-wise average precision: the sum of precision times recall gained over all distinct thresholds.

    Args and returns as `auroc`; NaN when there is no defect.
    """
    return labelled_counts(scores, labels).average_precision()


def checked(scores: Numbers, labels: NDArray[np.generic]) -> tuple[Numbers, NDArray[np.bool_]]:
    """The scores and the labels as bool; raises ValueError as `labelled_counts`."""
    if scores.shape != labels.shape:
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} must have one shape (maps: height, width)")
    if not np.isfinite(scores).all():
        raise ValueError("scores hold NaN or infinity")
    defect: NDArray[np.bool_] = labels.astype(np.bool_)
    if not np.array_equal(defect, labels):
        raise ValueError("labels or masks hold other values than 0 and 1; binarise them first")
    return scores, defect
