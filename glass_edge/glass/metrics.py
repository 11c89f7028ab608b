"""How well scores separate good cloth from defects: AUROC and average precision, of images and of pixels.

Promises: exact for ties; scores stay float32 arrays (four bytes a pixel), so thousands of maps fit in memory;
where a figure is not defined (one class only) it is NaN, never a guess. Labels only measure here: no threshold and no
epoch is chosen from them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

_EIGHT = 8


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
    positives, negatives = _split(scores, labels)
    return _auroc(positives, negatives)


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """Step-wise average precision: the sum of precision times recall gained over all distinct thresholds.

    Args and returns as `auroc`; NaN when there is no defect.
    """
    positives, negatives = _split(scores, labels)
    return _average_precision(positives, negatives)


@dataclass(slots=True)
class PixelPool:
    """Pixels of all test images, pooled for the pixel metrics; add every image, then ask.

    Attributes:
        negatives: scores of the good pixels, an array an image.
        regions: scores of the pixels of each 8-connected defect region, an array a region.
    """

    negatives: list[NDArray[np.float32]] = field(default_factory=list)
    regions: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, score_map: NDArray[np.floating], mask: NDArray[np.generic]) -> None:
        """Add an image.

        Args:
            score_map: (h, w), finite; kept as float32.
            mask: (h, w), bool or 0/1: 1 where the cloth is defective (binarise grey masks first).

        Raises:
            ValueError: other shapes, NaN or infinity, or a mask that is not binary.
        """
        scores, defect = _checked(score_map, mask)
        self.negatives.append(scores[~defect])
        count, labels = cv2.connectedComponents(defect.astype(np.uint8), connectivity=_EIGHT)
        if count > 1:
            at, values = labels[defect], scores[defect]
            order = np.argsort(at, kind="stable")
            ends = np.cumsum(np.bincount(at, minlength=count)[1:])
            self.regions.extend(np.split(values[order], ends[:-1]))

    def auroc(self) -> float:
        """Pixel AUROC over all images; see `auroc`."""
        return _auroc(_joined(self.regions), _joined(self.negatives))

    def average_precision(self) -> float:
        """Pixel average precision over all images; see `average_precision`."""
        return _average_precision(_joined(self.regions), _joined(self.negatives))


def _auroc(positives: NDArray[np.floating], negatives: NDArray[np.floating]) -> float:
    if not positives.size or not negatives.size:
        return float("nan")
    ordered = np.sort(negatives)
    below = np.searchsorted(ordered, positives, side="left").sum(dtype=np.int64)
    not_above = np.searchsorted(ordered, positives, side="right").sum(dtype=np.int64)
    return (int(below) + int(not_above)) / (2 * positives.size * negatives.size)


def _average_precision(positives: NDArray[np.floating], negatives: NDArray[np.floating]) -> float:
    if not positives.size:
        return float("nan")
    # thresholds that gain no defect add nothing to the sum, so the defects' own scores are all that is needed
    thresholds, gained = np.unique(positives, return_counts=True)
    true_positives = np.cumsum(gained[::-1])[::-1]
    false_positives = negatives.size - np.searchsorted(np.sort(negatives), thresholds, side="left")
    precision = true_positives / (true_positives + false_positives)
    return float(np.sum(precision * gained) / positives.size)


def _split(scores: ArrayLike, labels: ArrayLike) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    values, defect = _checked(np.asarray(scores), np.asarray(labels), exact=True)
    return values[defect], values[~defect]


def _checked(
    scores: NDArray[np.generic], labels: NDArray[np.generic], exact: bool = False
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    if scores.shape != labels.shape or (not exact and scores.ndim != 2):
        raise ValueError(f"scores {scores.shape} and labels {labels.shape} must have one shape (maps: height, width)")
    values: NDArray[np.floating] = scores.astype(np.float64 if exact else np.float32, copy=False)
    if not np.isfinite(values).all():
        raise ValueError("scores hold NaN or infinity")
    defect: NDArray[np.bool_] = labels.astype(np.bool_)
    if not np.array_equal(defect, labels):
        raise ValueError("labels or masks hold other values than 0 and 1; binarise them first")
    return values, defect


def _joined(parts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate(parts) if parts else np.empty(0, np.float32)
