"""What a weaver asks: how many defects are found at the threshold, and how often is the alarm false.

Promises: every labelled region is found or missed, every alarm region hits a defect or is false; nothing is weighed
by its area.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class RegionCounts:
    """Counts over a set of images at one threshold.

    Attributes:
        regions: labelled defect regions (8-connected).
        regions_found: those with at least one alarm pixel within the slack.
        defect_images: images with a labelled region.
        defect_images_found: those with at least one region found.
        false_alarms: alarm regions (8-connected) that touch no labelled region within the slack.
        good_images: images without a labelled region.
        good_images_alarmed: those with an alarm.
    """

    regions: int = 0
    regions_found: int = 0
    defect_images: int = 0
    defect_images_found: int = 0
    false_alarms: int = 0
    good_images: int = 0
    good_images_alarmed: int = 0

    @property
    def region_recall(self) -> float:
        """Share of regions found; NaN without regions."""
        return self.regions_found / self.regions if self.regions else float("nan")

    @property
    def false_alarms_per_image(self) -> float:
        """False alarm regions an image (all images); NaN without images."""
        images = self.defect_images + self.good_images
        return self.false_alarms / images if images else float("nan")


def count_regions(
    maps: Iterable[NDArray[np.floating]],
    masks: Iterable[NDArray[np.generic]],
    threshold: float,
    slack_px: int = 0,
) -> RegionCounts:
    """Count found defects and false alarms.

    Args:
        maps: (h, w) each; an alarm is a pixel at or above `threshold`.
        masks: (h, w) each, non-zero where defective; as many as maps.
        threshold: in the unit of the maps.
        slack_px: masks are widened by so many pixels before alarms are matched (masks of specks are tight, a score
            cell is not).
    """
    total = dict.fromkeys(RegionCounts.__dataclass_fields__, 0)
    kernel = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * slack_px + 1, 2 * slack_px + 1))
    for score_map, mask in zip(maps, masks, strict=True):
        if score_map.shape != mask.shape:
            raise ValueError(f"map {score_map.shape} and mask {mask.shape} must have one shape")
        alarm = (score_map >= threshold).astype(np.uint8)
        defect = (mask != 0).astype(np.uint8)
        n_regions, region_of = cv2.connectedComponents(defect, connectivity=8)
        n_alarms, alarm_of = cv2.connectedComponents(alarm, connectivity=8)
        # grow the alarm instead of each region: the same pairs touch, and regions near each other stay two
        near_alarm = cv2.dilate(alarm, kernel)
        found = np.unique(region_of[(near_alarm > 0) & (defect > 0)]).size
        hits = np.unique(alarm_of[(cv2.dilate(defect, kernel) > 0) & (alarm > 0)]).size
        total["regions"] += n_regions - 1
        total["regions_found"] += found
        total["false_alarms"] += n_alarms - 1 - hits
        if n_regions > 1:
            total["defect_images"] += 1
            total["defect_images_found"] += int(found > 0)
        else:
            total["good_images"] += 1
            total["good_images_alarmed"] += int(n_alarms > 1)
    return RegionCounts(**total)
