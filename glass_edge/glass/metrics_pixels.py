"""Pixels of all test images, pooled for the pixel figures.

Promises: the scores of defect pixels are kept (8 bytes each); those of good pixels are made anew image by image
whenever they are counted, if whoever adds an image says how, so that memory does not grow with the pixels of the
folder. Figures are exact all the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.glass.metrics import ScoreCounts, checked, count_scores

_EIGHT = 8
_DILATION = np.ones((5, 5), np.uint8)
Map = NDArray[np.float32]
ScoredMask = tuple[Map, NDArray[np.bool_]]


class PixelPool:
    """Add every image, then ask.

    Attributes:
        regions: scores of the pixels of each 8-connected defect region, an array a region.
        dilated: for the same pixels the largest score within a square of 5 x 5 px.
        lowest, highest: of all scores.
    """

    def __init__(self) -> None:
        self.regions: list[Map] = []
        self.dilated: list[Map] = []
        self.lowest, self.highest = float("inf"), float("-inf")
        self._again: list[Callable[[], ScoredMask]] = []
        self._counts: ScoreCounts | None = None

    def add(
        self, score_map: NDArray[np.floating], mask: NDArray[np.generic], again: Callable[[], ScoredMask] | None = None
    ) -> None:
        """Add an image.

        Args:
            score_map: (h, w), finite; used as float32.
            mask: (h, w), bool or 0/1: 1 where the cloth is defective (binarise grey masks first).
            again: makes both anew when good pixels are counted; None: they are kept (5 bytes a pixel).

        Raises:
            ValueError: other shapes, NaN or infinity, or a mask that is not binary.
        """
        if score_map.ndim != 2:
            raise ValueError(f"a score map of shape {score_map.shape}: height and width must be its one shape")
        scores, defect = checked(score_map.astype(np.float32, copy=False), mask)
        kept: ScoredMask = (scores.astype(np.float32, copy=False), defect)
        self._again.append((lambda: kept) if again is None else again)
        self._counts = None
        self.lowest, self.highest = min(self.lowest, float(scores.min())), max(self.highest, float(scores.max()))
        if defect.any():
            count, labels = cv2.connectedComponents(defect.astype(np.uint8), connectivity=_EIGHT)
            at = labels[defect]
            order = np.argsort(at, kind="stable")
            ends = np.cumsum(np.bincount(at, minlength=count)[1:])
            self.regions.extend(np.split(kept[0][defect][order], ends[:-1]))
            self.dilated.extend(np.split(cv2.dilate(kept[0], _DILATION)[defect][order], ends[:-1]))

    def good_pixels(self) -> Iterator[Map]:
        """Scores of the good pixels, an array an image."""
        for again in self._again:
            scores, defect = again()
            yield scores[~defect]

    def counts(self) -> ScoreCounts:
        """Of all pixels; counted once."""
        if self._counts is None:
            self._counts = count_scores(np.concatenate([np.empty(0, np.float32), *self.regions]), self.good_pixels())
        return self._counts

    def auroc(self) -> float:
        """Pixel AUROC over all images; see `metrics.auroc`."""
        return self.counts().auroc()

    def average_precision(self) -> float:
        """Pixel average precision over all images; see `metrics.average_precision`."""
        return self.counts().average_precision()
