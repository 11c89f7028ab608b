"""PRO: how much of each defect region is found, over the false positive rate.

Promises: `mvtec_pro` is the exact integral over all distinct thresholds; `reference_pro` repeats the published GLASS
program, quirks included, is optimistic, and must be reported only under its own name.

Source: Bergmann, Fauser, Sattlegger, Steger, "The MVTec Anomaly Detection Dataset", IJCV 2021, section 5.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from glass_edge.glass.metrics_curves import NO_CURVE, Curve, found_curve
from glass_edge.glass.metrics_pixels import PixelPool

REFERENCE_PRO_NAME = "PRO, dilated, as the authors' program computes it"


def pro_curve(pool: PixelPool) -> Curve:
    """The corners of the exact curve: false positive rate (x) and mean overlap of regions (y).

    A pixel is positive when its score is at or above the threshold, regions are 8-connected and weigh the same whatever
    their size. Empty when there is no region or no good pixel.
    """
    counts = pool.counts()
    if not counts.n_good or not pool.regions:
        return NO_CURVE
    weights = np.zeros(len(counts.thresholds))
    for region in pool.regions:
        thresholds, pixels = np.unique(region, return_counts=True)
        weights[np.searchsorted(counts.thresholds, thresholds)] += pixels / len(region)
    return found_curve(counts, weights)


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
    curve = pro_curve(pool)
    if not len(curve):
        return float("nan")
    fpr, pro = curve.x, curve.y
    inside = int(np.searchsorted(fpr, fpr_limit, side="right"))
    x, y = fpr[:inside], pro[:inside]
    if inside < fpr.size:
        x0, y0, x1, y1 = fpr[inside - 1], pro[inside - 1], fpr[inside], pro[inside]
        x = np.append(x, fpr_limit)
        y = np.append(y, y0 + (y1 - y0) * (fpr_limit - x0) / (x1 - x0))
    return _area(x, y) / fpr_limit


def reference_pro(pool: PixelPool, *, logits: bool = False) -> float:
    """PRO as the published GLASS program computes it.

    200 thresholds (201 if rounding adds one) from the smallest score (included) to the largest (excluded), positive
    strictly above; the positives are dilated 5 x 5 for the overlap but not for the false positive rate; points with
    FPR below 0.3 are kept and their FPR is rescaled to 0 .. 1.

    Args:
        pool: the test images.
        logits: the pool holds logits; the thresholds are spread over their sigmoids, which are that program's scores.

    Returns:
        NaN without a region, without good pixels, when all scores are equal, or when no threshold keeps the false
        positive rate below 0.3.
    """
    if not pool.regions or pool.lowest == pool.highest:
        return float("nan")
    low, high = (expit(pool.lowest), expit(pool.highest)) if logits else (pool.lowest, pool.highest)
    if low == high:
        return float("nan")
    thresholds = np.arange(low, high, (high - low) / 200)
    if logits:
        with np.errstate(divide="ignore"):  # a sigmoid of 0 is a logit of -inf
            thresholds = logit(thresholds)
    false_positives, n_good = np.zeros(len(thresholds), np.int64), 0
    for good in pool.good_pixels():
        false_positives += _above(good, thresholds)
        n_good += good.size
    if not n_good:
        return float("nan")
    # a dilated pixel is positive when the largest score around it is
    overlaps = np.array([_above(region, thresholds) / len(region) for region in pool.dilated])
    fpr, pro = false_positives / n_good, overlaps.mean(axis=0)
    kept = np.flatnonzero(fpr < 0.3)[::-1]
    if not kept.size:
        return float("nan")
    fpr, pro = fpr[kept], pro[kept]
    return _area((fpr - fpr.min()) / (fpr.max() - fpr.min() + 1e-10), pro)


def _above(scores: NDArray[np.float32], thresholds: NDArray[np.float64]) -> NDArray[np.int64]:
    return scores.size - np.searchsorted(np.sort(scores), thresholds, side="right").astype(np.int64)


def _area(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Trapezoid rule (NumPy renamed its own between the versions supported)."""
    return float(np.sum((y[1:] + y[:-1]) * np.diff(x)) / 2)
