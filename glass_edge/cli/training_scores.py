"""What a trained model says of held-out good tiles and of synthetic defects.

Promises: the tiles are those of `glass.selection_tiles`; they are scored as the line scores cloth, and judged at the
threshold of held-out good cloth.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glass_edge.cli.evaluation_subject import Subject, open_subject
from glass_edge.cli.good_strips import find_images, read_strips
from glass_edge.engine.manifest import ThresholdSpec
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.glass.checkpoint import load_info
from glass_edge.glass.data import ClothStrip
from glass_edge.glass.data_folder import GOOD
from glass_edge.glass.data_labelled import LabelledStrip
from glass_edge.glass.evaluation import Evaluation
from glass_edge.glass.evaluation_image import ImageEvaluation
from glass_edge.glass.metrics import count_scores
from glass_edge.glass.selection_tiles import held_out_tiles

SYNTHETIC = "synthetic"
_QUANTILES = (0.5, 0.9, 0.99, 0.999, 1.0)
Logits = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class HeldOutScores:
    """Scores of the tiles, smoothed logits.

    Attributes:
        images: names of the good images the tiles are from.
        threshold: that of held-out good cloth.
        evaluation: of the tiles; the kind is 'good' or 'synthetic'.
        good_cells: of all cells of good tiles, (n,).
        synthetic_cells: of the marked cells of synthetic tiles, (m,).
        defect_peaks: largest logit of each synthetic defect, (k,).
        defect_weights: float64 (k,), the same for every tile, shared by its defects.
    """

    images: tuple[str, ...]
    threshold: ThresholdSpec
    evaluation: Evaluation
    good_cells: Logits
    synthetic_cells: Logits
    defect_peaks: Logits
    defect_weights: NDArray[np.float64]
    _tiles: dict[str, LabelledStrip]

    @property
    def good_peaks(self) -> Logits:
        """Largest logit of each good tile."""
        return np.array([image.score for image in self.evaluation.images if image.kind == GOOD], np.float32)

    @property
    def synthetic_tiles(self) -> int:
        """Their number."""
        return sum(image.kind == SYNTHETIC for image in self.evaluation.images)

    def select(self, names: Collection[str]) -> Iterable[LabelledStrip]:
        """Tiles by name, for `draw_sheet`."""
        return [self._tiles[name] for name in names]

    def document(self) -> dict[str, Any]:
        """For JSON."""
        figures = self.evaluation.figures(intervals=False)
        cells = count_scores(self.synthetic_cells, [self.good_cells])
        return {
            "images": list(self.images),
            "threshold": self.threshold.model_dump(mode="json"),
            "good_tiles": figures.good_strips,
            "good_tiles_alarmed": figures.good_strips_alarmed,
            "synthetic_tiles": figures.all_kinds.strips,
            "synthetic_defects": figures.all_kinds.regions,
            "synthetic_defects_found": figures.all_kinds.regions_found,
            "synthetic_tiles_found": figures.all_kinds.strips_found,
            "mean_share_found_in_a_tile": float(self.defect_weights[self.defect_peaks >= self.threshold.logit].sum())
            / max(self.synthetic_tiles, 1),
            "cell_auroc": cells.auroc() if cells.n_defect else None,
            "tile_auroc": figures.image_auroc,
            "good_cell_logits": _quantiles(self.good_cells),
            "synthetic_cell_logits": _quantiles(self.synthetic_cells),
        }


def score_held_out(run_folder: Path) -> HeldOutScores:
    """Score the tiles with the checkpoint of a run.

    Raises:
        InputError: no checkpoint, or its held-out images are gone.
    """
    recipe, info = load_info(run_folder)
    names = info.selection or info.holdout
    strips = [
        ClothStrip(strip.name, strip.pixels, strip.cloth)
        for strip in read_strips(find_images(recipe, names, None, None), recipe)
    ]
    tiles = held_out_tiles(recipe, strips)
    stride, halo = recipe.score_stride_px, recipe.tile.halo_px
    labelled = [
        *(_tile(f"good tile {index}", GOOD, tile, None, halo) for index, tile in enumerate(tiles.good, start=1)),
        *(
            _tile(f"synthetic tile {index}", SYNTHETIC, tile, mask.repeat(stride, axis=0).repeat(stride, axis=1), halo)
            for index, (tile, mask) in enumerate(zip(tiles.synthetic, tiles.masks, strict=True), start=1)
        ),
    ]
    with open_subject(run_folder) as subject:
        evaluation = Evaluation(subject.threshold.logit, subject.min_area_px)
        judged = [_judge(subject, evaluation, tile) for tile in labelled]
    synthetic = judged[len(tiles.good) :]
    # a synthetic defect is made of score cells, all of them scored, so none is without a largest logit
    peaks = [[image.judged.logits.ravel()[near].max() for near in image.judged.near] for image in synthetic]
    return HeldOutScores(
        images=tuple(names),
        threshold=subject.threshold,
        evaluation=evaluation,
        good_cells=np.concatenate([image.scores.logits.ravel() for image in judged[: len(tiles.good)]]),
        synthetic_cells=np.concatenate(
            [image.scores.logits[mask] for image, mask in zip(synthetic, tiles.masks, strict=True)]
        ),
        defect_peaks=np.array([peak for tile in peaks for peak in tile], np.float32),
        defect_weights=np.array([1 / len(tile) for tile in peaks for _ in tile], np.float64),
        _tiles={tile.strip.name: tile for tile in labelled},
    )


def _tile(
    name: str, kind: str, pixels: NDArray[np.uint8], inside: NDArray[np.bool_] | None, halo: int
) -> LabelledStrip:
    """A tile as an image of its own; `inside`: its mask inside the halo."""
    height, width, channels = pixels.shape
    mask = np.zeros((height, width), np.bool_)
    if inside is not None:
        mask[halo : height - halo, halo : width - halo] = inside
    grey_or_colour = pixels[:, :, 0] if channels == 1 else pixels
    return LabelledStrip(ClothStrip(name, grey_or_colour, ClothSpan(0, width)), kind, mask)


def _judge(subject: Subject, evaluation: Evaluation, tile: LabelledStrip) -> ImageEvaluation:
    return evaluation.add(tile, subject.score(tile.strip.pixels, tile.strip.span))


def _quantiles(values: Logits) -> dict[str, float]:
    if not values.size:
        return {}
    return {
        f"{share:g}": float(value) for share, value in zip(_QUANTILES, np.quantile(values, _QUANTILES), strict=True)
    }
