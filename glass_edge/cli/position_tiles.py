"""Tiles of good cloth at random places, for what a place in the tile adds to the scores.

Promises: every tile lies wholly on cloth; origins are any pixel, so that no weave keeps its phase; the same cloth and
seed give the same tiles. Cloth shorter or narrower than two tiles says nothing about that side of the tile.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from glass_edge.cli.good_strips import GoodStrip
from glass_edge.config.recipe_tile import RecipeTileSettings
from glass_edge.engine.base import Engine
from glass_edge.engine.manifest import PositionProfile
from glass_edge.engine.position_profile import LEAST_TILES, estimate_profile

TILES = 128


def random_tiles(
    strips: Sequence[GoodStrip], tile: RecipeTileSettings, seed: int, count: int = TILES
) -> list[NDArray[np.uint8]]:
    """Tiles uint8 (height, width, channels); none where no strip has cloth as large as a tile."""
    rng = np.random.default_rng([seed, count])
    rooms = []
    for strip in strips:
        down = len(strip.pixels) - tile.height_px
        across = strip.cloth.width_px - tile.width_px
        rooms.append(max(0, down + 1) * max(0, across + 1))
    if not sum(rooms):
        return []
    tiles = []
    for index in rng.choice(len(strips), size=count, p=np.array(rooms) / sum(rooms)):
        strip = strips[index]
        row = int(rng.integers(len(strip.pixels) - tile.height_px + 1))
        column = strip.cloth.left_px + int(rng.integers(strip.cloth.width_px - tile.width_px + 1))
        part = strip.pixels[row : row + tile.height_px, column : column + tile.width_px]
        tiles.append(np.ascontiguousarray(part[:, :, None] if part.ndim == 2 else part))
    return tiles


def measure_profile(
    engine: Engine, strips: Sequence[GoodStrip], tile: RecipeTileSettings, seed: int
) -> PositionProfile | None:
    """The profile of an engine that was entered; None where it cannot be told from chance."""
    large = [one for one in strips if len(one.pixels) >= tile.height_px and one.cloth.width_px >= tile.width_px]
    along = all(len(one.pixels) >= 2 * tile.height_px for one in large)
    across = all(one.cloth.width_px >= 2 * tile.width_px for one in large)
    area = sum(len(one.pixels) * one.cloth.width_px for one in large) / (tile.height_px * tile.width_px)
    if area < LEAST_TILES or not (along or across):
        return None
    tiles = random_tiles(large, tile, seed)
    logits = np.concatenate([engine.infer(np.ascontiguousarray(one[None])) for one in tiles])
    halo = -(-tile.halo_px // engine.score_stride_px)
    return estimate_profile(logits, halo, independent=area, along=along, across=across)
