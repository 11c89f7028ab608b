"""Tiles cut from good strips: at random for training, side by side for statistics.

Promises: a tile is a function of (seed, stream, epoch, index) and the strips alone, so a resumed run sees the tiles an
uninterrupted one would have seen; all pixels are the camera's (no reflection, no resizing), and all show cloth, as in
the tiles whose scores count on the line. Tiles are varied only where that is asked for, see `augmentation`; which
places are drawn does not depend on it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from glass_edge.config.recipe_augment import AugmentSettings
from glass_edge.errors import InputError
from glass_edge.glass.augmentation import VariedTile, vary_tile
from glass_edge.glass.augmentation_geometry import TilePlace
from glass_edge.glass.data import ClothStrip, Pixels, TileShape

TRAINING_STREAM = 1
NORM_STREAM = 2
STATISTICS_STREAM = 3
Origin = tuple[int, int, int]
"""Number of the strip, first line and first column (image px) of a tile."""
_VARIATION = 0xA06  # apart from the other draws of a tile: switching it on moves neither crops nor defects
_MOST_PLACES = 200
_LEAST_FOREGROUND = 0.005
"""Share of a tile's inside that must be foreground, if there is one, for a defect to have room."""
_SELVEDGE_JITTER_PX = 16
"""Tiles of the line start on a grid of 16 px, so a selvedge lies anywhere within so much of a tile's border."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Allowed origins in one strip: rows [0, last_row], columns [first, last]; selvedges at 'first', 'last' or both."""

    last_row: int
    first: int
    last: int
    selvedges: tuple[bool, bool]

    @property
    def count(self) -> int:
        return (self.last_row + 1) * (self.last - self.first + 1)


@dataclass(frozen=True, slots=True)
class Crop:
    """A tile drawn for training.

    Attributes:
        pixels: uint8 (height, width, channels).
        foreground: bool (height, width), where a defect may lie; None: everywhere.
        name: of its image.
        origin: its place; None where it was varied and is not what the camera saw there.
        rng: the source of chance of this tile, where its place has been drawn.
    """

    pixels: Pixels
    foreground: NDArray[np.bool_] | None
    name: str
    origin: Origin | None
    rng: np.random.Generator


class CropSampler:
    """Random tiles; every origin is equally likely, but for the share drawn at a selvedge."""

    def __init__(self, strips: Sequence[ClothStrip], tile: TileShape, *, selvedge_share: float, seed: int) -> None:
        """Lay out where tiles may lie.

        Args:
            strips: good cloth.
            tile: shape of a tile.
            selvedge_share: share of the tiles that begin within 16 px of a selvedge, if there is any.
            seed: of the run.

        Raises:
            InputError: no strips, or a strip that holds no tile.
        """
        if not strips:
            raise InputError("no good image to train on; give more good images")
        self._strips = strips
        self._tile = tile
        self._share = selvedge_share
        self._seed = seed
        self._places = [_place(strip, tile) for strip in strips]
        counts = np.array([place.count for place in self._places], np.float64)
        self._cumulated = np.cumsum(counts) / counts.sum()
        self._with_selvedge = [index for index, place in enumerate(self._places) if any(place.selvedges)]

    @property
    def has_selvedges(self) -> bool:
        """Whether any strip shows a selvedge."""
        return bool(self._with_selvedge)

    def generator(self, stream: int, epoch: int, index: int) -> np.random.Generator:
        """The source of chance of one tile; what else is drawn for this tile comes from it too."""
        return np.random.default_rng([self._seed, stream, epoch, index])

    def draw(self, rng: np.random.Generator) -> Pixels:
        """One tile, uint8 (height, width, channels)."""
        index, row, column = self.origin(rng)
        return cut(self._strips[index], self._tile, row, column)

    def draw_crop(self, stream: int, epoch: int, index: int, augment: AugmentSettings | None) -> Crop:
        """One tile with room for a synthetic defect, varied as `augment` says.

        Without foregrounds and `augment` it is the tile that `draw` gives from `generator` of the same numbers.

        Args:
            stream: see `generator`.
            epoch: likewise.
            index: likewise.
            augment: what is varied; None: nothing.

        Raises:
            InputError: the foreground of an image leaves no room in any tile drawn.
        """
        rng = self.generator(stream, epoch, index)
        for _ in range(_MOST_PLACES):
            origin = number, row, column = self.origin(rng)
            strip = self._strips[number]
            if augment is not None and augment.is_on:
                variation = np.random.default_rng([self._seed, stream, epoch, index, _VARIATION])
                tile = vary_tile(TilePlace(strip, self._tile, row, column), augment, variation)
            else:
                shown = None if strip.foreground is None else _window(strip.foreground, self._tile, row, column)
                tile = VariedTile(cut(strip, self._tile, row, column), shown, is_varied=False)
            if tile.foreground is None or _has_room(tile.foreground, self._tile.halo_px):
                return Crop(tile.pixels, tile.foreground, strip.name, None if tile.is_varied else origin, rng)
        raise InputError(
            f"{strip.name}: its foreground leaves no room for a synthetic defect in tiles of "
            f"{self._tile.width_px} x {self._tile.height_px} px; choose a larger tile, or mend data.foreground"
        )

    def origin(self, rng: np.random.Generator) -> Origin:
        """Strip, first line and first column (image px) of one tile."""
        if self._with_selvedge and rng.random() < self._share:
            index = self._with_selvedge[rng.integers(len(self._with_selvedge))]
            return index, *self._at_selvedge(self._places[index], rng)
        index = min(int(np.searchsorted(self._cumulated, rng.random(), side="right")), len(self._places) - 1)
        place = self._places[index]
        row = int(rng.integers(0, place.last_row, endpoint=True))
        return index, row, int(rng.integers(place.first, place.last, endpoint=True))

    @staticmethod
    def _at_selvedge(place: _Place, rng: np.random.Generator) -> tuple[int, int]:
        sides = [side for side, there in enumerate(place.selvedges) if there]
        side = sides[rng.integers(len(sides))]
        shift = int(rng.integers(0, min(_SELVEDGE_JITTER_PX, place.last - place.first + 1)))
        row = int(rng.integers(0, place.last_row, endpoint=True))
        return row, place.first + shift if side == 0 else place.last - shift


def cover(
    strips: Sequence[ClothStrip],
    tile: TileShape,
    most: int | None = None,
    *,
    jitter_px: int = 0,
    augment: AugmentSettings | None = None,
    seed: int = 0,
) -> Iterator[NDArray[np.uint8]]:
    """Tiles side by side over all cloth, their insides touching; each uint8 (height, width, channels).

    Args:
        strips: good cloth.
        tile: shape of a tile.
        most: when there are more tiles than this, so many of them, evenly spread.
        jitter_px: tiles overlap by so much and are shifted at random (the same way each time) by up to as much, so that
            they do not all meet a weave of just this period in the same phase; up to so much of the ends is left out.
        augment: each tile is followed by the same tile varied like this (all of them, whatever its share says); None,
            or nothing switched on: it is not. Both count for `most`.
        seed: of the variations.
    """
    varied = None if augment is None or not augment.is_on else augment.model_copy(update={"share": 1.0})
    if most is not None and varied is not None:
        most = max(1, most // 2)
    for number, (index, row, column) in enumerate(cover_origins(strips, tile, most, jitter_px=jitter_px)):
        yield cut(strips[index], tile, row, column)
        if varied is not None:
            variation = np.random.default_rng([seed, STATISTICS_STREAM, 0, number, _VARIATION])
            yield vary_tile(TilePlace(strips[index], tile, row, column), varied, variation).pixels


def cover_origins(
    strips: Sequence[ClothStrip], tile: TileShape, most: int | None = None, *, jitter_px: int = 0
) -> list[Origin]:
    """Where the tiles lie that `cover` cuts, in its order.

    Args:
        strips: good cloth.
        tile: shape of a tile.
        most: see `cover`.
        jitter_px: see `cover`.
    """
    rng = np.random.default_rng([STATISTICS_STREAM, jitter_px])
    origins: list[Origin] = []
    for index, strip in enumerate(strips):
        place = _place(strip, tile)
        rows = _steps(0, place.last_row, tile.height_px - 2 * tile.halo_px, jitter_px)
        columns = _steps(place.first, place.last, tile.width_px - 2 * tile.halo_px, jitter_px)
        shifts = rng.integers(0, jitter_px, size=(len(rows), len(columns), 2), endpoint=True)
        for (i, row), (j, column) in product(enumerate(rows), enumerate(columns)):
            down, right = (int(shift) for shift in shifts[i, j])
            # the last of several is shifted back, or it would always stay
            row_shifted = max(0, row - down) if 0 < i == len(rows) - 1 else min(row + down, place.last_row)
            column_shifted = (
                max(place.first, column - right) if 0 < j == len(columns) - 1 else min(column + right, place.last)
            )
            origins.append((index, row_shifted, column_shifted))
    if most is None or len(origins) <= most:
        return origins
    return [origins[number * len(origins) // most] for number in range(most)]


def cut(strip: ClothStrip, tile: TileShape, row: int, column: int) -> Pixels:
    """The tile at an origin, uint8 (height, width, channels), a view where possible."""
    part = strip.pixels[row : row + tile.height_px, column : column + tile.width_px]
    return part[:, :, None] if part.ndim == 2 else part


def _window(mask: NDArray[np.bool_], tile: TileShape, row: int, column: int) -> NDArray[np.bool_]:
    return mask[row : row + tile.height_px, column : column + tile.width_px]


def _has_room(foreground: NDArray[np.bool_], halo_px: int) -> bool:
    height, width = foreground.shape
    inside = foreground[halo_px : height - halo_px, halo_px : width - halo_px]
    return bool(np.count_nonzero(inside) >= _LEAST_FOREGROUND * inside.size)


def _place(strip: ClothStrip, tile: TileShape) -> _Place:
    columns, span = tile.columns(strip.span, strip.width_px), strip.span
    if not columns or strip.lines < tile.height_px:
        raise InputError(
            f"{strip.name}: cloth of {span.width_px} x {strip.lines} px (width x lines) holds no tile of "
            f"{tile.width_px} x {tile.height_px} px; choose a smaller tile in the recipe"
        )
    selvedges = (span.left_px > 0, span.right_px < strip.width_px)
    return _Place(strip.lines - tile.height_px, columns[0], columns[-1], selvedges)


def _steps(first: int, last: int, inside: int, jitter: int) -> list[int]:
    """Positions from `first` to `last`, both included, evenly spread, no gap between insides that are shifted."""
    count = -(-(last - first) // max(1, inside - jitter)) + 1
    return [first + (last - first) * k // max(1, count - 1) for k in range(count)]
