"""Training batches: good tiles and the same tiles with synthetic defects.

Promises: a batch is a function of (seed, stream, epoch, step) and the strips, whatever the number of workers; every
synthetic tile has a marked cell inside its halo; synthetic tiles are rounded to uint8 as a camera's are; a grey tile
stays grey; a varied tile (see `augmentation`) is the good one and carries the defect.

Fusing pixels and normalising afterwards equals fusing normalised pixels (the fusion's weights sum to 1), but for the
rounding.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.config.recipe import Recipe
from glass_edge.glass.cloth_fill import ClothFillConfig, fill_cloth
from glass_edge.glass.crops import CropSampler, Origin
from glass_edge.glass.data import Pixels
from glass_edge.glass.las import LasConfig, MaskSource, draw_las_mask, inner
from glass_edge.glass.textures import TexturePart, TextureSource, draw_texture, texture_source


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Tiles of one step.

    Attributes:
        good: uint8 (n, height, width, channels).
        synthetic: the same tiles with synthetic defects, or None when LAS is off.
        mask: bool (n, rows, columns) of the score cells inside the halo, True where the defects are; None likewise.
        origins: where each good tile lies; None for a tile that was varied.
    """

    good: Pixels
    synthetic: Pixels | None
    mask: NDArray[np.bool_] | None
    origins: tuple[Origin | None, ...]


class Synthesiser:
    """Draws the batches a recipe describes."""

    def __init__(
        self, recipe: Recipe, sampler: CropSampler, *, augmented: bool = True, textures: TexturePart = "all"
    ) -> None:
        """Set up.

        Args:
            recipe: what is drawn.
            sampler: gives the good tiles.
            augmented: vary them as the recipe says; False: leave them as they are.
            textures: part of the texture folder that is drawn from.

        Raises:
            InputError: the texture folder cannot be used.
        """
        settings, tile = recipe.las, recipe.tile
        self._sampler = sampler
        self._batch = recipe.training.batch
        self._workers = recipe.training.workers
        self._augment = recipe.augment if augmented else None
        self._enabled = settings.enabled
        self._config = LasConfig(source=MaskSource(settings.source), cloth_share=settings.cloth_share)
        self._fill = ClothFillConfig()
        self._textures: TextureSource = texture_source(settings.textures_folder, textures)
        self._grey = recipe.texture_is_grey
        stride = recipe.score_stride_px
        self._grid = (tile.height_px // stride, tile.width_px // stride)
        self._halo = tile.halo_px // stride

    def batch(self, stream: int, epoch: int, step: int, size: int | None = None) -> TrainingBatch:
        """The tiles of one step; `size` tiles instead of the recipe's batch."""
        count = self._batch if size is None else size
        crops = [
            self._sampler.draw_crop(stream, epoch, index, self._augment)
            for index in range(step * count, (step + 1) * count)
        ]
        good, origins = np.stack([crop.pixels for crop in crops]), tuple(crop.origin for crop in crops)
        if not self._enabled:
            return TrainingBatch(good, None, None, origins)
        spoilt = [self.spoil(crop.pixels, crop.rng, foreground=crop.foreground, name=crop.name) for crop in crops]
        return TrainingBatch(
            good, np.stack([tile for tile, _ in spoilt]), np.stack([cells for _, cells in spoilt]), origins
        )

    def batches(self, stream: int, epoch: int, steps: int) -> Generator[TrainingBatch, None, None]:
        """`steps` batches, drawn in `training.workers` other threads while the ones before are used."""
        pool = ThreadPoolExecutor(self._workers, thread_name_prefix="synthesis")
        waiting: deque[Future[TrainingBatch]] = deque()
        try:
            for step in range(steps + self._workers):
                if step < steps:
                    waiting.append(pool.submit(self.batch, stream, epoch, step))
                if step >= self._workers:
                    yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)

    def spoil(
        self,
        tile: Pixels,
        rng: np.random.Generator,
        *,
        foreground: NDArray[np.bool_] | None = None,
        name: str = "good tile",
    ) -> tuple[Pixels, NDArray[np.bool_]]:
        """A tile with a synthetic defect, and bool (rows, columns) of its cells inside the halo.

        Args:
            tile: uint8 (height, width, channels).
            rng: source of chance.
            foreground: bool (height, width), where the defect may lie; None: everywhere.
            name: of its image, for the complaint.

        Raises:
            InputError: no defect fell inside the halo, or on the foreground.
        """
        mask = draw_las_mask(
            rng,
            tile.shape[:2],
            self._grid,
            self._config,
            halo_cells=self._halo,
            foreground=foreground,
            image_name=name,
        )
        inside = inner(mask.grid, self._halo)
        if mask.opacity is None:
            return fill_cloth(rng, tile, mask.coverage, lambda: self._texture(rng, tile), self._fill), inside
        touched = np.flatnonzero(mask.coverage.any(axis=1)), np.flatnonzero(mask.coverage.any(axis=0))
        box = (slice(touched[0][0], touched[0][-1] + 1), slice(touched[1][0], touched[1][-1] + 1))
        texture = self._texture(rng, tile)[box]
        weight = ((1 - mask.opacity) * mask.coverage[box])[..., None]
        cloth = tile[box].astype(np.float32)
        spoilt = tile.copy()
        spoilt[box] = np.rint(cloth + weight * (texture - cloth))
        return spoilt, inside

    def _texture(self, rng: np.random.Generator, tile: Pixels) -> Pixels:
        height, width, channels = tile.shape
        return draw_texture(self._textures, rng, height, width, grey=self._grey)[..., :channels]
