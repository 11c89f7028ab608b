"""How far figures would move with other test images: percentile bootstrap over images.

Promises: whole images are drawn (tiles, regions and alarms of one image go together, pixels of one image are not
independent), good and defective ones apart so that their numbers stay; the seed is fixed, so that the same images give
the same intervals.

Source: Efron, Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 8 and 13.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
LEVEL = 0.95
Weights = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Interval:
    """Bounds between which a figure lies in 95 of 100 draws of the test images."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class ImageSample:
    """What an image adds to the figures.

    Attributes:
        score: its largest logit.
        is_defective: whether it shows a defect.
        tile_scores, tile_labels: of its tiles.
        regions, regions_found: defect regions.
        false_alarms: alarms that touch no defect.
    """

    score: float
    is_defective: bool
    tile_scores: NDArray[np.floating]
    tile_labels: NDArray[np.bool_]
    regions: int
    regions_found: int
    false_alarms: int


class _Ranked:
    """Scores with labels, ranked once; figures for any number of copies of each."""

    def __init__(self, scores: NDArray[np.floating], labels: NDArray[np.bool_], owners: NDArray[np.intp]) -> None:
        order = np.argsort(-scores, kind="stable")
        self._owners, self._labels = owners[order], labels[order]
        self._first = np.flatnonzero(np.concatenate([[True], np.diff(scores[order]) != 0])) if scores.size else order

    def figures(self, copies: Weights) -> tuple[float, float]:
        """AUROC and average precision, NaN where they are not defined."""
        weights = copies[self._owners]
        if not weights.size:
            return float("nan"), float("nan")
        gained = np.add.reduceat(weights * self._labels, self._first)  # equal scores together
        good = np.add.reduceat(weights * ~self._labels, self._first)
        found, passed = np.cumsum(gained), np.cumsum(good)
        n_defect, n_good = int(found[-1]), int(passed[-1])
        if not n_defect:
            return float("nan"), float("nan")
        precision = found / np.maximum(found + passed, 1)
        ap = float((precision * gained).sum() / n_defect)
        if not n_good:
            return float("nan"), ap
        return float((gained * (2 * (n_good - passed) + good)).sum() / (2 * n_defect * n_good)), ap


def bootstrap_intervals(
    images: Sequence[ImageSample], *, draws: int = DRAWS, level: float = LEVEL, seed: int = 0
) -> dict[str, Interval]:
    """Intervals of image and tile AUROC and AP, region recall and false alarms a good strip.

    Args:
        images: of the test folder.
        draws: how often the images are drawn anew.
        level: share of draws inside.
        seed: of the draws.

    Returns:
        By name of the figure; a figure that needs a class that is not there is left out.
    """
    is_defective = np.array([image.is_defective for image in images], np.bool_)
    strata = [np.flatnonzero(~is_defective), np.flatnonzero(is_defective)]
    if not all(len(stratum) for stratum in strata):
        return {}
    sizes = [len(image.tile_scores) for image in images]
    ranked_images = _Ranked(np.array([image.score for image in images]), is_defective, np.arange(len(images)))
    ranked_tiles = _Ranked(
        np.concatenate([image.tile_scores for image in images]),
        np.concatenate([image.tile_labels for image in images]),
        np.repeat(np.arange(len(images)), sizes),
    )
    regions, found, alarms = (
        np.array([getattr(image, name) for image in images], np.int64)
        for name in ("regions", "regions_found", "false_alarms")
    )
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(draws):
        copies = np.zeros(len(images), np.int64)
        for stratum in strata:
            copies += np.bincount(rng.choice(stratum, len(stratum)), minlength=len(images))
        n_regions = int(copies @ regions)
        recall = int(copies @ found) / n_regions if n_regions else float("nan")
        per_good = int(copies[~is_defective] @ alarms[~is_defective]) / len(strata[0])
        rows.append((*ranked_images.figures(copies), *ranked_tiles.figures(copies), recall, per_good))
    names = ("image_auroc", "image_ap", "tile_auroc", "tile_ap", "region_recall", "false_alarms_per_good_strip")
    return {
        name: _interval(values, level)
        for name, values in zip(names, np.array(rows).T, strict=True)
        if np.isfinite(values).any()
    }


def _interval(values: NDArray[np.float64], level: float) -> Interval:
    low, high = np.nanquantile(values, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(low), float(high))
