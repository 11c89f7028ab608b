"""How good a model is on a labelled test folder.

Promises: the threshold is given, labels choose nothing; figures that are not defined are None; pixels are pooled as
float32 arrays. Scores are smoothed logits of the strip path; an image's and a tile's score is the largest of its cells.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from glass_edge.glass.data_folder import GOOD
from glass_edge.glass.data_labelled import LabelledStrip
from glass_edge.glass.evaluation_image import (
    SLACK_PX,
    TILE_PX,
    TILE_STRIDE_PX,
    ImageEvaluation,
    Scores,
    evaluate_image,
    pixel_map,
)
from glass_edge.glass.metrics import PixelPool, auroc, average_precision
from glass_edge.glass.metrics_pro import mvtec_pro


@dataclass(frozen=True, slots=True)
class KindFigures:
    """Defects of one kind: regions (and how many of them were found, or lie where nothing is scored), strips."""

    regions: int
    regions_found: int
    regions_not_scored: int
    strips: int
    strips_found: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Figures of a test folder; None where they are not defined.

    Attributes:
        image_auroc, image_ap, tile_auroc, tile_ap, pixel_auroc, pixel_ap: of smoothed logits.
        pixel_pro: MVTec's per-region overlap up to a false positive rate of 0.3.
        tiles, tiles_with_defect: counts behind the tile figures.
        kinds: defects found at the threshold, by kind.
        good_strips, good_strips_alarmed: good test images, and those with any alarm.
        false_alarms_good: alarm regions on good test images.
        false_alarms_defect: alarm regions beside the defects of the others.
    """

    image_auroc: float | None
    image_ap: float | None
    tile_auroc: float | None
    tile_ap: float | None
    pixel_auroc: float | None
    pixel_ap: float | None
    pixel_pro: float | None
    tiles: int
    tiles_with_defect: int
    kinds: dict[str, KindFigures]
    good_strips: int
    good_strips_alarmed: int
    false_alarms_good: int
    false_alarms_defect: int

    @property
    def all_kinds(self) -> KindFigures:
        """Sum over the kinds."""
        return KindFigures(
            *(sum(getattr(one, name) for one in self.kinds.values()) for name in KindFigures.__dataclass_fields__)
        )

    @property
    def region_recall(self) -> float | None:
        """Share of all regions found."""
        total = self.all_kinds
        return total.regions_found / total.regions if total.regions else None

    @property
    def false_alarms_per_good_strip(self) -> float | None:
        """False alarm regions a good test strip."""
        return self.false_alarms_good / self.good_strips if self.good_strips else None

    def document(self) -> dict[str, Any]:
        """For JSON."""
        names = [name for name in Figures.__dataclass_fields__ if name != "kinds"]
        return {
            **{name: getattr(self, name) for name in names},
            "region_recall": self.region_recall,
            "false_alarms_per_good_strip": self.false_alarms_per_good_strip,
            "kinds": {kind: _plain(one) for kind, one in sorted(self.kinds.items())},
            "all_kinds": _plain(self.all_kinds),
            "definitions": {"tile_px": TILE_PX, "tile_stride_px": TILE_STRIDE_PX, "slack_px": SLACK_PX},
        }


@dataclass(slots=True)
class Evaluation:
    """Collects the images of a test folder.

    Attributes:
        threshold: on the smoothed logit.
        min_area_px: alarm regions smaller than this do not count.
        images: in the order they were added.
    """

    threshold: float
    min_area_px: int = 0
    images: list[ImageEvaluation] = field(default_factory=list)
    _pixels: PixelPool = field(default_factory=PixelPool)

    def add(self, image: LabelledStrip, scores: Scores, plain: Scores | None = None) -> ImageEvaluation:
        """Judge one image and add it.

        Args:
            image: with its mask.
            scores: what the threshold is compared with.
            plain: for the pixel figures, which judge the map and no threshold: the same without the offset of the
                selvedge zone; None: `scores`.
        """
        judged = evaluate_image(image, scores, self.threshold, min_area_px=self.min_area_px)
        self.images.append(judged)
        self._pixels.add(*pixel_map(scores if plain is None else plain, image.mask))
        return judged

    def figures(self) -> Figures:
        """Figures of the images added so far."""
        good = [image for image in self.images if image.kind == GOOD]
        others = [image for image in self.images if image.kind != GOOD]
        scores = np.array([image.score for image in self.images], np.float32)
        labels = np.array([image.kind != GOOD for image in self.images], np.bool_)
        tile_scores = np.concatenate([np.empty(0, np.float32), *(image.tiles.scores for image in self.images)])
        tile_labels = np.concatenate([np.empty(0, np.bool_), *(image.tiles.labels for image in self.images)])
        return Figures(
            image_auroc=_defined(auroc(scores, labels)),
            image_ap=_defined(average_precision(scores, labels)) if good else None,
            tile_auroc=_defined(auroc(tile_scores, tile_labels)),
            tile_ap=_defined(average_precision(tile_scores, tile_labels)),
            pixel_auroc=_defined(self._pixels.auroc()),
            pixel_ap=_defined(self._pixels.average_precision()),
            pixel_pro=_defined(mvtec_pro(self._pixels)),
            tiles=len(tile_labels),
            tiles_with_defect=int(np.count_nonzero(tile_labels)),
            kinds={
                kind: _of_kind([image for image in others if image.kind == kind])
                for kind in sorted({image.kind for image in others})
            },
            good_strips=len(good),
            good_strips_alarmed=sum(image.counts.good_images_alarmed for image in good),
            false_alarms_good=sum(image.counts.false_alarms for image in good),
            false_alarms_defect=sum(image.counts.false_alarms for image in others),
        )


def _of_kind(images: Sequence[ImageEvaluation]) -> KindFigures:
    return KindFigures(
        regions=sum(image.counts.regions for image in images),
        regions_found=sum(image.counts.regions_found for image in images),
        regions_not_scored=sum(image.regions_not_scored for image in images),
        strips=len(images),
        strips_found=sum(image.counts.defect_images_found for image in images),
    )


def _plain(kind: KindFigures) -> dict[str, int]:
    return {name: getattr(kind, name) for name in KindFigures.__dataclass_fields__}


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
