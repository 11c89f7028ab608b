"""What is evaluated: a checkpoint, or a bundle on its engine.

Promises: both score on the line's own strip path; the threshold of a checkpoint comes from the good images that were
held out of training, that of a bundle is its own; test images have no part in either.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glass_edge.cli.cloth_finder import cloth_finder
from glass_edge.cli.good_strips import find_images, read_strips
from glass_edge.cli.good_threshold import good_threshold
from glass_edge.cli.torch_engine import TorchEngine
from glass_edge.config.engine import EngineSettings
from glass_edge.config.recipe_data import DataSettings
from glass_edge.engine.base import Engine
from glass_edge.engine.bundle import load_bundle
from glass_edge.engine.factory import open_engine
from glass_edge.engine.manifest import MANIFEST_NAME, ThresholdSpec
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.glass.checkpoint import CHECKPOINT_FOLDER, checkpoint_folder, load_checkpoint
from glass_edge.glass.data import OnBadImage, SpanFinder, TileShape
from glass_edge.glass.epoch_heads import load_epoch
from glass_edge.glass.trainer import use_threads
from glass_edge.glass.trainer_features import tile_shape
from glass_edge.inspection.one_shot import score_strip, smooth_strip
from glass_edge.inspection.parameters import selvedge_zone
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.selvedge_zone import lower_selvedges

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
    threshold: ThresholdSpec
    data: Path | None
    find_cloth: SpanFinder
    on_bad_image: OnBadImage
    min_area_px: int
    output: Path | None

    def score(self, lines: NDArray[np.uint8], cloth: ClothSpan) -> ScoreStrip:
        """Smoothed logits of an image, uint8 (lines, width[, 3])."""
        tile = self.tile
        strip = score_strip(self.engine, lines, cloth, halo_px=tile.halo_px, selvedge_margin_px=tile.selvedge_margin_px)
        return smooth_strip(strip, self.sigma_px)

    def to_threshold(self, smoothed: ScoreStrip, lines: NDArray[np.uint8], cloth: ClothSpan) -> ScoreStrip:
        """Smoothed logits of an image as the threshold judges them: lower in the selvedge zone."""
        return lower_selvedges(smoothed, cloth, lines.shape[1], selvedge_zone(self.threshold))


@contextmanager
def open_subject(
    path: Path, *, data: Path | None = None, threshold_images: Path | None = None, epoch: int | None = None
) -> Iterator[Subject]:
    """Open a run folder, a checkpoint folder or a bundle (a version or a style folder).

    Args:
        path: what to open.
        data: labelled images; also looked in for the held-out images when those of the training are gone.
        threshold_images: good images for a checkpoint's threshold instead of the held-out ones.
        epoch: one of the epochs kept in a run folder; None: the checkpoint.

    Raises:
        InputError: nothing there, or damaged; the held-out images of a checkpoint are missing.
    """
    if _is_bundle(path):
        with _open_bundle(path, data) as subject:
            yield subject
        return
    model, recipe, info = load_checkpoint(path)
    if epoch is not None:
        load_epoch(path, model, epoch)
    use_threads(recipe.training.threads)
    folder = checkpoint_folder(path)
    tile = tile_shape(recipe)
    with TorchEngine(model) as engine:
        strips = list(read_strips(find_images(recipe, info.holdout, None, threshold_images, or_in=data), recipe))
        yield Subject(
            path=path,
            style=recipe.style,
            method=recipe.method,
            engine=engine,
            tile=tile,
            sigma_px=recipe.inspection.smoothing_sigma_px,
            threshold=good_threshold(engine, recipe, strips).spec,
            data=data or recipe.data.folder,
            find_cloth=cloth_finder(recipe.data),
            on_bad_image=recipe.data.on_bad_image,
            min_area_px=recipe.inspection.min_area_px,
            output=folder.parent if folder.name == CHECKPOINT_FOLDER else None,
        )


@contextmanager
def _open_bundle(path: Path, data: Path | None) -> Iterator[Subject]:
    bundle = load_bundle(path)
    manifest = bundle.manifest
    tile = manifest.tile
    with open_engine(bundle, EngineSettings()) as engine:
        yield Subject(
            path=bundle.folder,
            style=manifest.style,
            method=manifest.method,
            engine=engine,
            tile=TileShape(tile.height_px, tile.width_px, tile.halo_px, tile.channels, _DEFAULTS.selvedge_margin_px),
            sigma_px=manifest.smoothing_sigma_px,
            threshold=manifest.threshold,
            data=data,
            find_cloth=cloth_finder(_DEFAULTS),
            on_bad_image=_DEFAULTS.on_bad_image,
            min_area_px=0,
            output=None,  # a bundle holds nothing that its manifest does not name
        )


def _is_bundle(path: Path) -> bool:
    return (path / MANIFEST_NAME).is_file() or any(path.glob(f"*/{MANIFEST_NAME}"))
