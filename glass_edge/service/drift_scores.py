"""How the good cloth of a roll scored: quantiles of its smoothed scores.

Promises: every cell that lies on the cloth counts once, except the alarmed ones and what lies within 32 px of them in
the same strip: a defect, however large, is no good cloth, and a running one would move the 99.9 % quantile of a whole
roll. Where that leaves out more than a tenth of the roll it is no matter of defects, and all cells count. Memory is
bounded; the error of a quantile is that of `calibration.quantile_histogram`.
"""

from __future__ import annotations

import cv2
import numpy as np

from glass_edge.calibration.quantile_histogram import QuantileHistogram
from glass_edge.inspection.score_strip import ScoreStrip

SHARES = (0.5, 0.99, 0.999)
_AROUND_PX = 32
_MOST_LEFT_OUT = 0.1


class GoodScores:
    """Scores of a roll by one engine.

    Args:
        threshold_logit: cells at or above it are alarmed.
    """

    def __init__(self, threshold_logit: float) -> None:
        self._threshold = threshold_logit
        self._good, self._left_out = QuantileHistogram(), QuantileHistogram()
        self.n_lines = 0
        """Camera lines they are of."""

    def add(self, strip: ScoreStrip) -> None:
        """Count the cells of a smoothed strip; those that are NaN lie beside the cloth."""
        self.n_lines += strip.n_lines
        is_alarmed = strip.logits >= self._threshold
        if not is_alarmed.any():
            self._good.add(strip.logits)
            return
        reach = -(-_AROUND_PX // strip.stride_px)
        size = 2 * reach + 1
        around = cv2.dilate(is_alarmed.astype(np.uint8), np.ones((size, size), np.uint8)) > 0
        self._good.add(strip.logits[~around])
        self._left_out.add(strip.logits[around])

    def quantiles(self) -> tuple[float | None, float | None, float | None]:
        """Median, 99 % and 99.9 % quantile, logits; None without a cell."""
        scores = self._good
        if self._left_out.count > _MOST_LEFT_OUT * (self._left_out.count + self._good.count):
            scores = QuantileHistogram()
            scores.merge(self._good)
            scores.merge(self._left_out)
        median, p99, p999 = (scores.quantile(share) for share in SHARES)
        return median, p99, p999
