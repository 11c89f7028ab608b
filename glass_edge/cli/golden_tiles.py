"""Tiles on which engines are judged.

Promises: real cloth, and the same cloth with painted damage, so that cells with and without alarm are judged; the same
cloth gives the same tiles.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.cli.good_strips import GoodStrip
from glass_edge.config.recipe_tile import RecipeTileSettings
from glass_edge.errors import InputError

REAL_TILES = 6
DAMAGED_TILES = 3
_DARK, _BRIGHT = 16, 240


def tiles_of(strips: Sequence[GoodStrip], tile: RecipeTileSettings, most: int = REAL_TILES) -> NDArray[np.uint8]:
    """Tiles side by side over the cloth of `strips`, evenly chosen; uint8 (n, height, width, channels), n <= most.

    Raises:
        InputError: no strip is as large as a tile.
    """
    places = []
    for index, strip in enumerate(strips):
        lines, width = strip.pixels.shape[:2]
        left = max(0, min(strip.cloth.left_px, width - tile.width_px))
        columns = range(left, min(max(strip.cloth.right_px, left + tile.width_px), width) - tile.width_px + 1)
        rows = range(0, lines - tile.height_px + 1)
        places += [(index, row, column) for row in rows[:: tile.height_px] for column in columns[:: tile.width_px]]
    if not places:
        raise InputError(
            f"no good image holds a tile of {tile.height_px} x {tile.width_px} px (height x width); give larger images"
        )
    count = min(most, len(places))
    tiles = []
    for number in np.arange(count) * len(places) // count:
        index, row, column = places[number]
        part = strips[index].pixels[row : row + tile.height_px, column : column + tile.width_px]
        tiles.append(part[:, :, None] if part.ndim == 2 else part)
    return np.ascontiguousarray(np.stack(tiles))


def thinned(tiles: NDArray[np.uint8], most: int = REAL_TILES) -> NDArray[np.uint8]:
    """At most `most` of `tiles`, evenly chosen."""
    count = min(most, len(tiles))
    return tiles[np.arange(count) * len(tiles) // count]


def with_damage(tiles: NDArray[np.uint8], seed: int, count: int = DAMAGED_TILES) -> NDArray[np.uint8]:
    """`tiles` and behind them `count` copies with damage painted on: broken picks and ends, specks, holes."""
    rng = np.random.default_rng([seed, len(tiles)])
    return np.concatenate([tiles, np.stack([_damage(tiles[k % len(tiles)], rng) for k in range(count)])])


def _damage(tile: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """A copy with one line along, one across and four discs of 3 to 15 px; dark on bright cloth and else bright."""
    height, width = tile.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    row, column = int(rng.integers(height // 4, 3 * height // 4)), int(rng.integers(width // 4, 3 * width // 4))
    cv2.line(mask, (width // 4, row), (width - 1, row), 255, int(rng.integers(1, 4)))
    cv2.line(mask, (column, 0), (column, height // 2), 255, int(rng.integers(1, 4)))
    for _ in range(4):
        centre = (int(rng.integers(width // 8, 7 * width // 8)), int(rng.integers(height // 8, 7 * height // 8)))
        cv2.circle(mask, centre, int(rng.integers(1, 8)), 255, -1)
    paint = np.uint8(_DARK if tile.mean() > 128 else _BRIGHT)
    return np.where(mask[:, :, None] > 0, paint, tile)
