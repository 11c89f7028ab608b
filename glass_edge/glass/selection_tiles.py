"""Good cloth set apart to choose an epoch, and the tiles made of it.

Promises: three kinds of good strips that share no image: those trained on, those that choose the epoch, those that give
the threshold. A threshold from cloth that chose the epoch would be too low, for the epoch was taken because that very
cloth scored low; and a threshold asks for whole strips, so whole strips are divided and not the tiles of one. Half of
the held-out strips (rounded down) choose; where only one is held out, one more is taken from those trained on.
Tiles are a pure function of the strips, the recipe's seed and its tile, with a stream of chance of their own. They keep
away from the selvedge zone, which has a threshold of its own and would hide the body behind its higher scores (cloth
too narrow for that is used as it is).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from glass_edge.config.recipe import Recipe
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.glass.crops import CropSampler, cover
from glass_edge.glass.data import ClothStrip, GoodData, Pixels, TileShape
from glass_edge.glass.las import MaskSource
from glass_edge.glass.selection_defects import draw_defect
from glass_edge.glass.trainer_features import tile_shape

SELECTION_STREAM = 0x5E1
_SOURCES = (MaskSource.CLOTH, MaskSource.PERLIN)


@dataclass(frozen=True, slots=True)
class HeldOutTiles:
    """What an epoch is judged by.

    Attributes:
        good: uint8 (n, height, width, channels), side by side on the cloth.
        synthetic: uint8 (m, height, width, channels), tiles at random places with synthetic defects.
        masks: bool (m, rows, columns) of their score cells inside the halo, True on the defects.
    """

    good: Pixels
    synthetic: Pixels
    masks: NDArray[np.bool_]


def split_for_selection(data: GoodData, seed: int) -> tuple[GoodData, tuple[ClothStrip, ...]]:
    """Set strips apart that choose the epoch.

    Args:
        data: as loaded.
        seed: of the recipe; with the number of strips it says which.

    Returns:
        The data without them, and them.

    Raises:
        InputError: fewer than three good images.
    """
    if len(data.train) + len(data.holdout) < 3 or not data.holdout:
        raise InputError(
            f"{data.folder}: training.select = 'synthetic' needs three good images (to train, to choose the epoch, and "
            f"for the threshold), here are {len(data.train) + len(data.holdout)}; give more, or select = 'last'"
        )
    rng = np.random.default_rng([seed, SELECTION_STREAM])
    if len(data.holdout) == 1:
        taken = data.train[rng.integers(len(data.train))]
        return replace(data, train=tuple(one for one in data.train if one is not taken)), (taken,)
    order = set(rng.permutation(len(data.holdout))[: len(data.holdout) // 2].tolist())
    rest, chosen = (
        tuple(strip for index, strip in enumerate(data.holdout) if (index in order) is wanted)
        for wanted in (False, True)
    )
    return replace(data, holdout=rest), chosen


def held_out_tiles(recipe: Recipe, strips: Sequence[ClothStrip]) -> HeldOutTiles:
    """The tiles of `strips` that judge an epoch: at most `training.select_tiles` of each kind.

    Raises:
        InputError: no strip, or one that holds no tile.
    """
    tile, stride, count = tile_shape(recipe), recipe.score_stride_px, recipe.training.select_tiles
    bodies = [_body(strip, tile, recipe.inspection.selvedge_zone_px) for strip in strips]
    sampler = CropSampler(bodies, tile, selvedge_share=0, seed=recipe.seed)
    grid = (tile.height_px // stride, tile.width_px // stride)
    drawn = []
    for index in range(count):
        crop = sampler.draw_crop(SELECTION_STREAM, 0, index, None)
        drawn.append(
            draw_defect(
                crop.rng,
                crop.pixels,
                grid,
                halo_cells=tile.halo_px // stride,
                source=_SOURCES[index % len(_SOURCES)],
                foreground=crop.foreground,
                image_name=crop.name,
            )
        )
    good = np.stack(list(cover(bodies, tile, count)))
    return HeldOutTiles(good, np.stack([one for one, _ in drawn]), np.stack([mask for _, mask in drawn]))


def _body(strip: ClothStrip, tile: TileShape, zone_px: int) -> ClothStrip:
    """The strip without its selvedge zones, if that holds a tile."""
    span = strip.span
    left = span.left_px + (zone_px if span.left_px > 0 else 0)
    right = span.right_px - (zone_px if span.right_px < strip.width_px else 0)
    if right - left < tile.width_px or not tile.columns(ClothSpan(left, right), strip.width_px):
        return strip
    return replace(strip, span=ClothSpan(left, right))
