"""Share of defect regions found over false alarms a good strip, the threshold swept (free-response ROC).

Promises: an alarm is what the line would raise, a connected region of cells at or above the threshold; a region counts
as found where `metrics_regions` would count it; a lower threshold never shows fewer false alarms than a higher one (at
very low thresholds alarms grow together, and their plain number falls). The thresholds come from the test images: the
curve measures separation and sets no threshold.

Source: Bunch, Hamilton, Sanderson, Simmons, "A free-response approach to the measurement and characterization of
radiographic-observer performance", Journal of Applied Photographic Engineering, 1978.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

YARDSTICKS = (0.05, 1.0)
"""False alarms a good strip at which the share of regions found is told: one in 20 strips, one a strip."""
MOST_FALSE_ALARMS = 10.0
"""False alarms a good strip at which the sweep ends."""
_MOST_EACH = 200
_EACH_OF_THE_HIGHEST = 60
Map = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class JudgedMap:
    """Smoothed logits of an image, and where its defect regions are.

    Attributes:
        logits: float32 (rows, cells).
        heights_px, widths_px: int (rows,) and (cells,), lines and columns of the image that cells cover.
        near: for each region the flat indices of the cells with a pixel within the slack; empty: nothing is scored.
    """

    logits: Map
    heights_px: NDArray[np.intp]
    widths_px: NDArray[np.intp]
    near: tuple[NDArray[np.intp], ...] = ()


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What is found at a number of false alarms, for comparing models.

    Its threshold comes from good test strips: it is a yardstick, not a threshold to run with.

    Attributes:
        false_alarms_per_good_strip: allowed.
        false_alarms: allowed on all good strips, whole ones.
        threshold: the highest that finds as many; None: even the highest score of a region is not above the alarms.
        found: bool (regions,).
    """

    false_alarms_per_good_strip: float
    false_alarms: int
    threshold: float | None
    found: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class FreeResponse:
    """The curve, by falling threshold.

    Attributes:
        thresholds: float32 (n,); among them every score that finds a region (200 of them, evenly, if there are more).
        false_alarms: int64 (n,), on all good strips; never falling.
        found: bool (n, regions).
        good_strips: number of good strips, at least 1.
    """

    thresholds: Map
    false_alarms: NDArray[np.int64]
    found: NDArray[np.bool_]
    good_strips: int

    @property
    def false_alarms_per_good_strip(self) -> NDArray[np.float64]:
        """float64 (n,)."""
        return self.false_alarms / self.good_strips

    @property
    def region_recall(self) -> NDArray[np.float64]:
        """Share of regions found, float64 (n,)."""
        return np.asarray(self.found.mean(axis=1), np.float64)

    def at(self, false_alarms_per_good_strip: float) -> Yardstick:
        """What is found with so many false alarms at most."""
        allowed = int(false_alarms_per_good_strip * self.good_strips + 1e-9)
        n_found = np.where(self.false_alarms <= allowed, self.found.sum(axis=1), 0)
        best = int(n_found.argmax()) if len(n_found) else 0
        if not len(n_found) or not n_found[best]:
            nothing = np.zeros(self.found.shape[1], np.bool_)
            return Yardstick(false_alarms_per_good_strip, allowed, None, nothing)
        return Yardstick(false_alarms_per_good_strip, allowed, float(self.thresholds[best]), self.found[best])


def free_response(good: Sequence[JudgedMap], defective: Sequence[JudgedMap], *, min_area_px: int = 0) -> FreeResponse:
    """Sweep the threshold.

    Args:
        good: maps of good strips, at least one.
        defective: maps with their regions, at least one region.
        min_area_px: alarm regions smaller than this do not count.
    """
    scores = [float(image.logits.ravel()[near].max()) for image in defective for near in image.near if near.size]
    thresholds, counts, found, most = [], [], [], 0
    for threshold in _thresholds(good, scores):
        most = max(most, sum(len(_alarms(image, threshold, min_area_px)[1]) for image in good))
        thresholds.append(threshold)
        counts.append(most)
        found.append([hit for image in defective for hit in _hits(image, threshold, min_area_px)])
        if most > MOST_FALSE_ALARMS * len(good):
            break
    regions = sum(len(image.near) for image in defective)
    return FreeResponse(
        np.array(thresholds, np.float32),
        np.array(counts, np.int64),
        np.array(found, np.bool_).reshape(-1, regions),
        len(good),
    )


def _thresholds(good: Sequence[JudgedMap], scores: Sequence[float]) -> Map:
    """Scores of regions and of peaks on good cloth, falling: between them nothing changes, or alarms grow together."""
    most = int(2 * MOST_FALSE_ALARMS * len(good))
    peaks = [_peaks(image.logits, most) for image in good]
    highest = np.sort(np.concatenate(peaks))[::-1][:most]
    if len(highest) > _MOST_EACH:
        spread = np.geomspace(_EACH_OF_THE_HIGHEST, len(highest), _MOST_EACH - _EACH_OF_THE_HIGHEST) - 1
        highest = highest[np.unique(np.concatenate([np.arange(_EACH_OF_THE_HIGHEST), spread.astype(int)]))]
    regions = np.unique(np.array(scores, np.float32))
    if len(regions) > _MOST_EACH:
        regions = regions[np.linspace(0, len(regions) - 1, _MOST_EACH).astype(int)]
    return np.unique(np.concatenate([highest, regions]))[::-1]


def _peaks(logits: Map, most: int) -> Map:
    """The highest scores that no neighbour exceeds."""
    found = logits[logits >= cv2.dilate(logits, np.ones((3, 3), np.uint8))]
    return np.sort(found)[::-1][:most]


def _alarms(image: JudgedMap, threshold: float, min_area_px: int) -> tuple[NDArray[np.int32], NDArray[np.intp]]:
    """Label of each cell, and the labels of the alarm regions that count."""
    if image.logits.max() < threshold:
        return np.zeros(image.logits.shape, np.int32), np.empty(0, np.intp)
    count, labels = cv2.connectedComponents((image.logits >= threshold).astype(np.uint8), connectivity=8)
    if min_area_px <= 1:
        return np.asarray(labels, np.int32), np.arange(1, count)
    areas = np.bincount(labels.ravel(), np.outer(image.heights_px, image.widths_px).ravel(), count)
    return np.asarray(labels, np.int32), np.flatnonzero(areas[1:] >= min_area_px) + 1


def _hits(image: JudgedMap, threshold: float, min_area_px: int) -> list[bool]:
    if min_area_px <= 1 or not image.near:
        flat = image.logits.ravel()
        return [bool(near.size) and bool((flat[near] >= threshold).any()) for near in image.near]
    labels, counted = _alarms(image, threshold, min_area_px)
    flat_labels = labels.ravel()
    return [bool(np.isin(flat_labels[near], counted).any()) for near in image.near]
