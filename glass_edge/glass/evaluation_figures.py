"""The figures of a test folder, as they are told and stored.

Promises: a figure that is not defined is None; what rests on thresholds from test images is named a yardstick.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from glass_edge.glass.evaluation_image import SLACK_PX, TILE_PX, TILE_STRIDE_PX
from glass_edge.glass.metrics_bootstrap import DRAWS, LEVEL, Interval
from glass_edge.glass.metrics_froc import Yardstick
from glass_edge.glass.metrics_pro import REFERENCE_PRO_NAME

YARDSTICK_NOTE = "threshold from test good strips: a yardstick, not a threshold to run with"


@dataclass(frozen=True, slots=True)
class KindFigures:
    """Defects of one kind (or of all).

    Attributes:
        regions, regions_found, regions_not_scored: labelled regions, those found, those where nothing is scored.
        strips, strips_found: images, those with a region found.
        image_auroc: of these images against the good ones.
        tile_auroc: of their tiles with a defect against all tiles without one.
        found_at: regions found at each yardstick.
    """

    regions: int
    regions_found: int
    regions_not_scored: int
    strips: int
    strips_found: int
    image_auroc: float | None = None
    tile_auroc: float | None = None
    found_at: tuple[int, ...] = ()

    @property
    def region_recall(self) -> float | None:
        """Share of the regions found."""
        return self.regions_found / self.regions if self.regions else None

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "found_at": list(self.found_at), "region_recall": self.region_recall}


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of a test folder; None where they are not defined.

    Attributes:
        image_auroc, image_ap, tile_auroc, tile_ap, pixel_auroc, pixel_ap: of smoothed logits.
        pixel_pro: MVTec's per-region overlap up to a false positive rate of 0.3.
        pixel_pro_reference: PRO, dilated, as the authors' program computes it, of sigmoids.
        tiles, tiles_with_defect: counts behind the tile figures.
        kinds: defects found at the threshold, by kind.
        all_kinds: of all kinds.
        good_strips, good_strips_alarmed: good test images, and those with any alarm.
        good_share_alarmed: share of the scored cells of good test images at or above the threshold (where all of a
            strip is one alarm, the number of alarms looks small).
        false_alarms_good: alarm regions on good test images.
        false_alarms_defect: alarm regions beside the defects of the others.
        yardsticks: what is found at given false alarms; none without good images or without regions.
        intervals: by name of the figure.
    """

    image_auroc: float | None
    image_ap: float | None
    tile_auroc: float | None
    tile_ap: float | None
    pixel_auroc: float | None
    pixel_ap: float | None
    pixel_pro: float | None
    pixel_pro_reference: float | None
    tiles: int
    tiles_with_defect: int
    kinds: dict[str, KindFigures]
    all_kinds: KindFigures
    good_strips: int
    good_strips_alarmed: int
    good_share_alarmed: float | None
    false_alarms_good: int
    false_alarms_defect: int
    yardsticks: tuple[Yardstick, ...] = ()
    intervals: dict[str, Interval] = field(default_factory=dict)

    @property
    def region_recall(self) -> float | None:
        """Share of all regions found."""
        return self.all_kinds.region_recall

    @property
    def false_alarms_per_good_strip(self) -> float | None:
        """False alarm regions a good test strip."""
        return self.false_alarms_good / self.good_strips if self.good_strips else None

    def recall_at(self, false_alarms_per_good_strip: float) -> float | None:
        """Share of regions found at a yardstick; None when it is not defined."""
        for one in self.yardsticks:
            if one.false_alarms_per_good_strip == false_alarms_per_good_strip:
                return float(one.found.mean())
        return None

    def document(self) -> dict[str, Any]:
        """For JSON."""
        other = ("kinds", "all_kinds", "yardsticks", "intervals")
        names = [name for name in Figures.__dataclass_fields__ if name not in other]
        return {
            **{name: getattr(self, name) for name in names},
            "region_recall": self.region_recall,
            "false_alarms_per_good_strip": self.false_alarms_per_good_strip,
            "kinds": {kind: one.document() for kind, one in sorted(self.kinds.items())},
            "all_kinds": self.all_kinds.document(),
            "yardsticks": [_yardstick(one) for one in self.yardsticks],
            "intervals": {name: [one.low, one.high] for name, one in self.intervals.items()},
            "definitions": {
                "tile_px": TILE_PX,
                "tile_stride_px": TILE_STRIDE_PX,
                "slack_px": SLACK_PX,
                "pixel_pro_reference": REFERENCE_PRO_NAME,
                "yardsticks": YARDSTICK_NOTE,
                "intervals": f"{LEVEL:.0%} of {DRAWS} draws of images, good and defective ones apart",
            },
        }


def _yardstick(one: Yardstick) -> dict[str, Any]:
    return {
        "false_alarms_per_good_strip": one.false_alarms_per_good_strip,
        "false_alarms": one.false_alarms,
        "threshold_logit": one.threshold,
        "regions_found": int(one.found.sum()),
        "region_recall": float(one.found.mean()),
    }
