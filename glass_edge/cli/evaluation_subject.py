"""What is evaluated: a checkpoint, or a bundle on its engine.

Promises: both score on the line's own strip path; the threshold of a checkpoint comes from the good images that were
held out of training, that of a bundle is its own; test images have no part in either.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.threshold import ThresholdEvidence, block_maxima, threshold_from_good
from glass_edge.cli.cloth_finder import cloth_finder
from glass_edge.cli.good_strips import GoodImages, GoodStrip, find_images, read_strips
from glass_edge.cli.torch_engine import TorchEngine
from glass_edge.config.engine import EngineSettings
from glass_edge.config.recipe import Recipe
from glass_edge.config.recipe_data import DataSettings
from glass_edge.engine.base import Engine
from glass_edge.engine.bundle import load_bundle
from glass_edge.engine.factory import open_engine
from glass_edge.engine.manifest import MANIFEST_NAME
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.glass.checkpoint import CHECKPOINT_FOLDER, checkpoint_folder, load_checkpoint
from glass_edge.glass.data import OnBadImage, SpanFinder, TileShape
from glass_edge.glass.trainer_features import tile_shape
from glass_edge.inspection.one_shot import score_strip, smooth_strip
from glass_edge.inspection.score_strip import ScoreStrip

_DEFAULTS = DataSettings(folder=Path())


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that scores strips.

    Attributes:
        path: as given.
        style, method: of the recipe.
        engine: entered.
        tile: shape of its tiles.
        sigma_px: smoothing.
        threshold: on the smoothed logit, with what it rests on.
        data: folder with the images it was trained on; None when it is not known (bundles).
        find_cloth: cloth of an image.
        on_bad_image: what to do with files that cannot be used.
        min_area_px: smallest alarm that counts.
        output: where files go unless told otherwise; None: nowhere.
    """

    path: Path
    style: str
    method: str
    engine: Engine
    tile: TileShape
    sigma_px: float
    threshold: ThresholdEvidence
    data: Path | None
    find_cloth: SpanFinder
    on_bad_image: OnBadImage
    min_area_px: int
    output: Path | None

    def score(self, lines: NDArray[np.uint8], cloth: ClothSpan) -> ScoreStrip:
        """Smoothed logits of an image, uint8 (lines, width[, 3])."""
        return _score(self.engine, lines, cloth, self.tile, self.sigma_px)


@contextmanager
def open_subject(path: Path, *, data: Path | None = None, threshold_images: Path | None = None) -> Iterator[Subject]:
    """Open a run folder, a checkpoint folder or a bundle (a version or a style folder).

    Args:
        path: what to open.
        data: labelled images; also looked in for the held-out images when those of the training are gone.
        threshold_images: good images for a checkpoint's threshold instead of the held-out ones.

    Raises:
        InputError: nothing there, or damaged; the held-out images of a checkpoint are missing.
    """
    if _is_bundle(path):
        with _open_bundle(path, data) as subject:
            yield subject
        return
    model, recipe, info = load_checkpoint(path)
    folder = checkpoint_folder(path)
    tile = tile_shape(recipe)
    with TorchEngine(model) as engine:
        strips = list(read_strips(_threshold_images(recipe, info.holdout, data, threshold_images), recipe))
        yield Subject(
            path=path,
            style=recipe.style,
            method=recipe.method,
            engine=engine,
            tile=tile,
            sigma_px=recipe.inspection.smoothing_sigma_px,
            threshold=good_threshold(engine, recipe, strips),
            data=data or recipe.data.folder,
            find_cloth=cloth_finder(recipe.data),
            on_bad_image=recipe.data.on_bad_image,
            min_area_px=recipe.inspection.min_area_px,
            output=folder.parent if folder.name == CHECKPOINT_FOLDER else None,
        )


def good_threshold(engine: Engine, recipe: Recipe, strips: Sequence[GoodStrip]) -> ThresholdEvidence:
    """The recipe's threshold from good strips that were not trained on."""
    settings, stride, tile = recipe.inspection, recipe.score_stride_px, tile_shape(recipe)
    rows, cells = (max(1, px // stride) for px in (settings.block_height_px, settings.block_width_px))
    maxima, lines = [], 0
    for strip in strips:
        try:
            scores = _score(engine, strip.pixels, strip.cloth, tile, settings.smoothing_sigma_px)
        except InputError as error:
            raise InputError(f"{strip.name}: {error}") from error
        lines += scores.n_lines
        maxima.append(block_maxima(scores.logits, rows, cells))
    return threshold_from_good(
        np.concatenate(maxima), settings.threshold_quantile, margin=settings.threshold_margin, good_cloth_lines=lines
    )


def _threshold_images(recipe: Recipe, holdout: tuple[str, ...], data: Path | None, given: Path | None) -> GoodImages:
    is_there = all((recipe.data.folder / name).is_file() for name in holdout)
    return find_images(recipe, holdout, None if is_there else data, given)


@contextmanager
def _open_bundle(path: Path, data: Path | None) -> Iterator[Subject]:
    bundle = load_bundle(path)
    manifest = bundle.manifest
    tile = manifest.tile
    threshold = manifest.threshold
    with open_engine(bundle, EngineSettings()) as engine:
        yield Subject(
            path=bundle.folder,
            style=manifest.style,
            method=manifest.method,
            engine=engine,
            tile=TileShape(tile.height_px, tile.width_px, tile.halo_px, tile.channels, _DEFAULTS.selvedge_margin_px),
            sigma_px=manifest.smoothing_sigma_px,
            threshold=ThresholdEvidence(
                threshold.logit, threshold.method, threshold.quantile, threshold.n_blocks, threshold.good_cloth_lines
            ),
            data=data,
            find_cloth=cloth_finder(_DEFAULTS),
            on_bad_image=_DEFAULTS.on_bad_image,
            min_area_px=0,
            output=None,  # a bundle holds nothing that its manifest does not name
        )


def _score(engine: Engine, lines: NDArray[np.uint8], cloth: ClothSpan, tile: TileShape, sigma_px: float) -> ScoreStrip:
    strip = score_strip(engine, lines, cloth, halo_px=tile.halo_px, selvedge_margin_px=tile.selvedge_margin_px)
    return smooth_strip(strip, sigma_px)


def _is_bundle(path: Path) -> bool:
    return (path / MANIFEST_NAME).is_file() or any(path.glob(f"*/{MANIFEST_NAME}"))
