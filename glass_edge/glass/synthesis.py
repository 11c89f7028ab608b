"""Training batches: good tiles and the same tiles with synthetic defects.

Promises: a batch is a function of (seed, stream, epoch, step) and the strips; every synthetic tile has a marked cell
inside its halo; synthetic tiles are rounded to uint8 as a camera's are; a grey tile stays grey.

Fusing pixels and normalising afterwards equals fusing normalised pixels (the fusion's weights sum to 1), but for the
rounding.
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.config.recipe import Recipe
from glass_edge.errors import InputError
from glass_edge.glass.cloth_fill import ClothFillConfig, fill_cloth
from glass_edge.glass.crops import CropSampler
from glass_edge.glass.data import Pixels
from glass_edge.glass.las import LasConfig, LasMask, MaskSource, draw_las_mask
from glass_edge.glass.textures import FolderTextures, ProceduralTextures, TextureSource, draw_texture

_MOST_DRAWS = 200


@dataclass(frozen=True, slots=True)
class TrainingBatch:
    """Tiles of one step.

    Attributes:
        good: uint8 (n, height, width, channels).
        synthetic: the same tiles with synthetic defects, or None when LAS is off.
        mask: bool (n, rows, columns) of the score cells inside the halo, True where the defects are; None likewise.
    """

    good: Pixels
    synthetic: Pixels | None
    mask: NDArray[np.bool_] | None


class Synthesiser:
    """Draws the batches a recipe describes."""

    def __init__(self, recipe: Recipe, sampler: CropSampler) -> None:
        """Set up; raises InputError when the texture folder cannot be used."""
        settings, tile = recipe.las, recipe.tile
        folder = settings.textures_folder
        self._sampler = sampler
        self._batch = recipe.training.batch
        self._enabled = settings.enabled
        self._config = LasConfig(source=MaskSource(settings.source), cloth_share=settings.cloth_share)
        self._fill = ClothFillConfig()
        self._textures: TextureSource = ProceduralTextures() if folder is None else FolderTextures(folder)
        self._grey = recipe.texture_is_grey
        stride = recipe.score_stride_px
        self._grid = (tile.height_px // stride, tile.width_px // stride)
        self._halo = tile.halo_px // stride

    def batch(self, stream: int, epoch: int, step: int, size: int | None = None) -> TrainingBatch:
        """The tiles of one step; `size` tiles instead of the recipe's batch."""
        count = self._batch if size is None else size
        good, synthetic, masks = [], [], []
        for index in range(step * count, (step + 1) * count):
            rng = self._sampler.generator(stream, epoch, index)
            tile = self._sampler.draw(rng)
            good.append(tile)
            if self._enabled:
                drawn, mask = self.spoil(tile, rng)
                synthetic.append(drawn)
                masks.append(mask)
        if not self._enabled:
            return TrainingBatch(np.stack(good), None, None)
        return TrainingBatch(np.stack(good), np.stack(synthetic), np.stack(masks))

    def batches(self, stream: int, epoch: int, steps: int) -> Generator[TrainingBatch, None, None]:
        """`steps` batches, each drawn in another thread while the one before is used."""
        with ThreadPoolExecutor(1, thread_name_prefix="synthesis") as pool:
            waiting: Future[TrainingBatch] = pool.submit(self.batch, stream, epoch, 0)
            for step in range(1, steps + 1):
                current = waiting.result()
                if step < steps:
                    waiting = pool.submit(self.batch, stream, epoch, step)
                yield current

    def spoil(self, tile: Pixels, rng: np.random.Generator) -> tuple[Pixels, NDArray[np.bool_]]:
        """A tile with a synthetic defect, and bool (rows, columns) of its cells inside the halo.

        Raises:
            InputError: no defect fell inside the halo.
        """
        height, width = tile.shape[:2]
        mask, inside = self._mask_inside(rng, height, width)
        if mask.is_cloth:
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

    def _mask_inside(self, rng: np.random.Generator, height: int, width: int) -> tuple[LasMask, NDArray[np.bool_]]:
        for _ in range(_MOST_DRAWS):
            mask = draw_las_mask(rng, (height, width), self._grid, self._config)
            inside = inner(mask.grid, self._halo)
            if inside.any():
                return mask, inside
        raise InputError(
            f"no synthetic defect fell inside the halo of a tile of {width} x {height} px in {_MOST_DRAWS} draws; "
            "choose a larger tile or a smaller halo"
        )


def inner(grid: NDArray[np.bool_], halo_cells: int) -> NDArray[np.bool_]:
    """The cells of a grid (rows, columns) that are at least `halo_cells` from its border."""
    rows, columns = grid.shape
    return grid[halo_cells : rows - halo_cells, halo_cells : columns - halo_cells]
