"""How good a model is on a labelled test folder.

Promises: the threshold is given, labels choose nothing. Scores are smoothed logits of the strip path; an image's and a
tile's score is the largest of its cells. What stays in memory of an image of 1 Mpx: its cells (0.25 MB at stride 4,
0.06 MB at stride 8; twice where selvedges have a threshold of their own), 0.13 MB for the mask of a defect and 8 bytes
a defect pixel; the scores of good pixels are interpolated anew whenever they are counted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from glass_edge.glass.data_folder import GOOD
from glass_edge.glass.data_labelled import LabelledStrip
from glass_edge.glass.evaluation_figures import Figures, KindFigures
from glass_edge.glass.evaluation_image import ImageEvaluation, Scores, evaluate_image, pixel_map
from glass_edge.glass.metrics import ScoreCounts, auroc, labelled_counts
from glass_edge.glass.metrics_bootstrap import ImageSample, bootstrap_intervals
from glass_edge.glass.metrics_curves import Curve, found_curve, precision_recall_curve
from glass_edge.glass.metrics_froc import YARDSTICKS, FreeResponse, Yardstick, free_response
from glass_edge.glass.metrics_pixels import PixelPool, ScoredMask
from glass_edge.glass.metrics_pro import mvtec_pro, pro_curve, reference_pro


@dataclass(frozen=True, slots=True)
class Curves:
    """Curves of a test folder; empty where they are not defined.

    Attributes:
        roc, precision_recall: of 'image', 'tile' and 'pixel'.
        pro: overlap of regions over the false positive rate of pixels, MVTec's definition.
        free_response: regions found over false alarms; None without good images or without regions.
    """

    roc: dict[str, Curve]
    precision_recall: dict[str, Curve]
    pro: Curve
    free_response: FreeResponse | None


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
    _swept: tuple[int, FreeResponse | None] | None = None

    def add(self, image: LabelledStrip, scores: Scores, plain: Scores | None = None) -> ImageEvaluation:
        """Judge one image and add it.

        Args:
            image: with its mask.
            scores: what the threshold is compared with.
            plain: for the pixel figures, which judge the map and no threshold: the same without the offset of the
                selvedge zone; None: `scores`.
        """
        judged = evaluate_image(image, scores, self.threshold, plain=plain, min_area_px=self.min_area_px)
        self.images.append(judged)
        self._pixels.add(*pixel_map(judged.plain, image.mask), again=_again(judged.plain, image.mask))
        return judged

    def figures(self, *, intervals: bool = True) -> Figures:
        """Figures of the images added so far; `intervals`: the bootstrap's too (seconds for many images)."""
        good = [image for image in self.images if image.kind == GOOD]
        others = [image for image in self.images if image.kind != GOOD]
        images, tiles = self._image_counts(), self._tile_counts()
        swept = self.free_response()
        yardsticks = tuple(swept.at(wanted) for wanted in YARDSTICKS) if swept is not None else ()
        return Figures(
            image_auroc=_defined(images.auroc()),
            image_ap=_defined(images.average_precision()) if good else None,
            tile_auroc=_defined(tiles.auroc()),
            tile_ap=_defined(tiles.average_precision()),
            pixel_auroc=_defined(self._pixels.auroc()),
            pixel_ap=_defined(self._pixels.average_precision()),
            pixel_pro=_defined(mvtec_pro(self._pixels)),
            pixel_pro_reference=_defined(reference_pro(self._pixels, logits=True)),
            tiles=tiles.n_defect + tiles.n_good,
            tiles_with_defect=tiles.n_defect,
            kinds={kind: self._defects([kind], yardsticks) for kind in sorted({image.kind for image in others})},
            all_kinds=self._defects({image.kind for image in others}, yardsticks),
            good_strips=len(good),
            good_strips_alarmed=sum(image.counts.good_images_alarmed for image in good),
            good_share_alarmed=_share_alarmed(good, self.threshold),
            false_alarms_good=sum(image.counts.false_alarms for image in good),
            false_alarms_defect=sum(image.counts.false_alarms for image in others),
            yardsticks=yardsticks,
            intervals=bootstrap_intervals([_sample(image) for image in self.images]) if intervals else {},
        )

    def curves(self) -> Curves:
        """Curves of the images added so far."""
        counts = {"image": self._image_counts(), "tile": self._tile_counts(), "pixel": self._pixels.counts()}
        return Curves(
            roc={name: found_curve(one) for name, one in counts.items()},
            precision_recall={name: precision_recall_curve(one) for name, one in counts.items()},
            pro=pro_curve(self._pixels),
            free_response=self.free_response(),
        )

    def free_response(self) -> FreeResponse | None:
        """Regions found over false alarms; None without good images or without regions."""
        if self._swept is None or self._swept[0] != len(self.images):
            good = [image.judged for image in self.images if image.kind == GOOD]
            others = [image.judged for image in self.images if image.kind != GOOD]
            is_defined = bool(good) and any(image.near for image in others)
            swept = free_response(good, others, min_area_px=self.min_area_px) if is_defined else None
            self._swept = len(self.images), swept
        return self._swept[1]

    def _image_counts(self) -> ScoreCounts:
        scores = np.array([image.score for image in self.images], np.float32)
        return labelled_counts(scores, np.array([image.kind != GOOD for image in self.images], np.bool_))

    def _tile_counts(self) -> ScoreCounts:
        return labelled_counts(*_tiles(self.images))

    def _defects(self, kinds: Collection[str], yardsticks: Iterable[Yardstick]) -> KindFigures:
        others = [image for image in self.images if image.kind != GOOD]
        images = [image for image in others if image.kind in kinds]
        rest = [image for image in self.images if image.kind == GOOD]
        scores, labels = _tiles(images)
        all_scores, all_labels = _tiles(self.images)
        tiles = np.concatenate([scores[labels], all_scores[~all_labels]])
        regions = np.array([image.kind in kinds for image in others for _ in image.judged.near], np.bool_)
        return KindFigures(
            regions=sum(image.counts.regions for image in images),
            regions_found=sum(image.counts.regions_found for image in images),
            regions_not_scored=sum(image.regions_not_scored for image in images),
            strips=len(images),
            strips_found=sum(image.counts.defect_images_found for image in images),
            image_auroc=_defined(
                auroc([image.score for image in (*images, *rest)], [True] * len(images) + [False] * len(rest))
            ),
            tile_auroc=_defined(auroc(tiles, np.arange(len(tiles)) < np.count_nonzero(labels))),
            found_at=tuple(int(one.found[regions].sum()) for one in yardsticks),
        )


def _again(scores: Scores, mask: NDArray[np.bool_]) -> Callable[[], ScoredMask]:
    shape = (mask.shape[0], mask.shape[1])
    packed = np.packbits(mask) if mask.any() else None

    def again() -> ScoredMask:
        if packed is None:
            return pixel_map(scores, np.zeros(shape, np.bool_))
        return pixel_map(scores, np.unpackbits(packed, count=shape[0] * shape[1]).reshape(shape).astype(np.bool_))

    return again


def _tiles(images: Iterable[ImageEvaluation]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    tiles = [image.tiles for image in images]
    scores = np.concatenate([np.empty(0, np.float32), *(one.scores for one in tiles)])
    return scores, np.concatenate([np.empty(0, np.bool_), *(one.labels for one in tiles)])


def _sample(image: ImageEvaluation) -> ImageSample:
    counts, tiles = image.counts, image.tiles
    return ImageSample(
        score=image.score,
        is_defective=image.kind != GOOD,
        tile_scores=tiles.scores,
        tile_labels=tiles.labels,
        regions=counts.regions,
        regions_found=counts.regions_found,
        false_alarms=counts.false_alarms,
    )


def _share_alarmed(images: Iterable[ImageEvaluation], threshold: float) -> float | None:
    logits = [image.scores.logits for image in images]
    cells = sum(one.size for one in logits)
    return sum(int(np.count_nonzero(one >= threshold)) for one in logits) / cells if cells else None


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
