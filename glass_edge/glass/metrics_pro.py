"""PRO: how much of each defect region is found, over the false positive rate.

Promises: `mvtec_pro` is the exact integral over all distinct thresholds; `reference_pro` repeats the published GLASS
program, quirks included, is optimistic, and must be reported only under its own name.

Source: Bergmann, Fauser, Sattlegger, Steger, "The MVTec Anomaly Detection Dataset", IJCV 2021, section 5.2.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.glass.metrics import PixelPool


def pro_curve(pool: PixelPool, fpr_limit: float = 1.0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The exact curve: per distinct threshold the false positive rate and the mean overlap of regions.

    Args:
        pool: the test images.
        fpr_limit: the curve is complete up to here and may end with the first point beyond.

    Returns:
        (fpr, pro), float64, both ascending from (0, 0); a pixel is positive when its score is at or above the
        threshold, regions are 8-connected and weigh the same whatever their size. Empty when there is no region or no
        good pixel.
    """
    negatives = np.concatenate([np.empty(0, np.float32), *pool.negatives])
    if not negatives.size or not pool.regions:
        return np.empty(0), np.empty(0)
    scores = np.concatenate(pool.regions)
    weights = np.concatenate([np.full(len(part), 1.0 / (len(part) * len(pool.regions))) for part in pool.regions])
    order = np.argsort(scores, kind="stable")
    scores, weights = scores[order], weights[order]
    found = np.concatenate([np.cumsum(weights[::-1])[::-1], [0.0]])
    found /= found[0]  # all regions whole is exactly 1
    negatives.sort()
    first = max(0, negatives.size - int(fpr_limit * negatives.size) - 2)
    lowest = negatives[first]
    high = negatives[first:] if first else negatives
    thresholds = np.unique(np.concatenate([high, scores[scores >= lowest] if first else scores]))[::-1]
    fpr = (negatives.size - np.searchsorted(negatives, thresholds, side="left")) / negatives.size
    pro = found[np.searchsorted(scores, thresholds, side="left")]
    return np.concatenate([[0.0], fpr]), np.concatenate([[0.0], pro])


def mvtec_pro(pool: PixelPool, fpr_limit: float = 0.3) -> float:
    """Area under the exact curve from FPR 0 to `fpr_limit`, the last segment interpolated, divided by `fpr_limit`.

    Args:
        pool: the test images.
        fpr_limit: above 0, at most 1.

    Returns:
        0 to 1; NaN without a region or without good pixels.
    """
    if not 0.0 < fpr_limit <= 1.0:
        raise ValueError(f"fpr_limit is {fpr_limit}; above 0 and at most 1 is needed")
    fpr, pro = pro_curve(pool, fpr_limit)
    if not fpr.size:
        return float("nan")
    inside = int(np.searchsorted(fpr, fpr_limit, side="right"))
    x, y = fpr[:inside], pro[:inside]
    if inside < fpr.size:
        x0, y0, x1, y1 = fpr[inside - 1], pro[inside - 1], fpr[inside], pro[inside]
        x = np.append(x, fpr_limit)
        y = np.append(y, y0 + (y1 - y0) * (fpr_limit - x0) / (x1 - x0))
    return _area(x, y) / fpr_limit


def reference_pro(maps: Sequence[NDArray[np.floating]], masks: Sequence[NDArray[np.generic]]) -> float:
    """PRO as the published GLASS program computes it.

    200 thresholds (201 if rounding adds one) from the smallest score (included) to the largest (excluded), positive
    strictly above; the positives are dilated 5 x 5 for the overlap but not for the false positive rate; points with
    FPR below 0.3 are kept and their FPR is rescaled to 0 .. 1.

    Args:
        maps: (h, w) each.
        masks: (h, w) each, bool or 0/1.

    Returns:
        NaN without a region, without good pixels, when all scores are equal, or when no threshold keeps the false
        positive rate below 0.3.
    """
    low, high = min(float(one.min()) for one in maps), max(float(one.max()) for one in maps)
    n_good = sum(int((one == 0).sum()) for one in masks)
    labelled = [cv2.connectedComponents((mask != 0).astype(np.uint8), connectivity=8) for mask in masks]
    n_regions = sum(count - 1 for count, _ in labelled)
    if low == high or not n_good or not n_regions:
        return float("nan")
    kernel = np.ones((5, 5), np.uint8)
    points = []
    for threshold in np.arange(low, high, (high - low) / 200):
        overlap, false_positives = 0.0, 0
        for score_map, (count, labels) in zip(maps, labelled, strict=True):
            positive = score_map > threshold
            false_positives += int(np.count_nonzero(positive & (labels == 0)))
            hit = cv2.dilate(positive.astype(np.uint8), kernel).astype(bool)
            sizes = np.bincount(labels.ravel(), minlength=count)[1:]
            overlap += float((np.bincount(labels[hit], minlength=count)[1:] / sizes).sum())
        points.append((false_positives / n_good, overlap / n_regions))
    kept = sorted(point for point in points if point[0] < 0.3)
    if not kept:
        return float("nan")
    fpr, pro = np.array(kept).T
    return _area((fpr - fpr.min()) / (fpr.max() - fpr.min() + 1e-10), pro)


def _area(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Trapezoid rule (NumPy renamed its own between the versions supported)."""
    return float(np.sum((y[1:] + y[:-1]) * np.diff(x)) / 2)
