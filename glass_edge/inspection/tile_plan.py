"""Where tiles lie on the web.

Promises: tile origins are multiples of 16 px across the web and, along it, multiples of 16 lines from the start of the
segment; every score cell that touches the inspected span comes from exactly one tile column, from inside that tile's
halo; beyond the edge of the image a tile continues by reflection (reflect-101). The plan is a pure function of the
sizes: the same cloth is cut the same way whatever blocks it arrives in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.inspection.borders import reflect_101

GRID_PX = 16


@dataclass(frozen=True, slots=True)
class TileGeometry:
    """Shape of the tiles of one engine and how they are used.

    Attributes:
        height_px, width_px: sides of a tile (along, across the web); multiples of 16.
        halo_px: border of a tile whose scores are not used; a multiple of 16.
        stride_px: pixels of a score cell, a divisor of 16.
        advance_px: lines from one row of tiles to the next; a multiple of 16 up to height - 2 halo. Smaller values
            score the cloth sooner (a line waits for at most halo + advance lines) and cost more inference.
    """

    height_px: int
    width_px: int
    halo_px: int
    stride_px: int
    advance_px: int

    def __post_init__(self) -> None:
        if self.stride_px < 1 or GRID_PX % self.stride_px:
            raise InputError(f"score stride {self.stride_px} px: a divisor of {GRID_PX} is needed")
        for name, side in (("height", self.height_px), ("width", self.width_px)):
            if side < GRID_PX or side % GRID_PX:
                raise InputError(f"tile {name} {side} px: a multiple of {GRID_PX} is needed")
            if side <= 2 * self.halo_px:
                raise InputError(f"halo_px = {self.halo_px}: nothing is left inside a tile {name} of {side} px")
        if self.halo_px < 0 or self.halo_px % GRID_PX:
            raise InputError(f"halo_px = {self.halo_px}: a multiple of {GRID_PX} from 0 is needed")
        if not 0 < self.advance_px <= self.inner_height_px or self.advance_px % GRID_PX:
            raise InputError(
                f"advance_px = {self.advance_px}: a multiple of {GRID_PX} from {GRID_PX} to {self.inner_height_px} "
                f"(tile height {self.height_px} less the halo of {self.halo_px} on both sides) is needed"
            )

    @property
    def inner_height_px(self) -> int:
        """Lines of a tile inside its halo."""
        return self.height_px - 2 * self.halo_px

    @property
    def inner_width_px(self) -> int:
        """Columns of a tile inside its halo."""
        return self.width_px - 2 * self.halo_px


@dataclass(frozen=True, slots=True)
class TileColumn:
    """One tile across the web and the part of its scores that is used.

    Attributes:
        origin_px: image column of the tile's first pixel; negative or beyond the image where reflection fills.
        source: columns of the image that fill the tile: a slice where the tile lies inside, else reflected indices.
        first_cell, end_cell: score cells of the web (column // stride) taken from this tile: [first_cell, end_cell).
        tile_cell: cell of the tile that becomes `first_cell`.
    """

    origin_px: int
    source: slice | NDArray[np.int64]
    first_cell: int
    end_cell: int
    tile_cell: int


@dataclass(frozen=True, slots=True)
class TilePlan:
    """Tile columns over the inspected span of a camera line.

    Attributes:
        geometry: shape of the tiles.
        image_width_px: pixels of a camera line.
        span: inspected columns.
        columns: tiles from left to right; their cells follow each other without gap or overlap.
    """

    geometry: TileGeometry
    image_width_px: int
    span: ClothSpan
    columns: tuple[TileColumn, ...]

    @property
    def first_cell(self) -> int:
        """First score cell of the span (column // stride)."""
        return self.columns[0].first_cell

    @property
    def n_cells(self) -> int:
        """Score cells across the span."""
        return self.columns[-1].end_cell - self.columns[0].first_cell


def plan_tiles(image_width_px: int, span: ClothSpan, geometry: TileGeometry) -> TilePlan:
    """Lay tile columns over `span` so that every cell touching it is inside some tile's halo.

    The columns are spread evenly on the 16 px grid; where the insides of two tiles overlap, a cell is taken from the
    tile in which it lies deeper. A line narrower than a tile is continued by reflection on both sides.

    Raises:
        InputError: the span reaches beyond the image.
    """
    if span.right_px > image_width_px:
        raise InputError(
            f"cloth span [{span.left_px}, {span.right_px}) px reaches beyond the camera line of {image_width_px} px"
        )
    stride, halo, inner = geometry.stride_px, geometry.halo_px, geometry.inner_width_px
    left = span.left_px // GRID_PX * GRID_PX
    right = -(-span.right_px // GRID_PX) * GRID_PX
    n_columns = max(1, -(-(right - left) // inner))
    # Starts of the insides: first at the span's left, last so that it ends at the span's right, on the grid between.
    slack_steps = max(0, right - left - inner) // GRID_PX
    starts = [left + slack_steps * k // max(1, n_columns - 1) * GRID_PX for k in range(n_columns)]
    bounds = [span.left_px // stride]
    bounds += [(starts[k + 1] + starts[k] + inner) // 2 // stride for k in range(n_columns - 1)]
    bounds.append(-(-span.right_px // stride))
    columns = []
    for start, first, end in zip(starts, bounds[:-1], bounds[1:], strict=True):
        origin = start - halo
        source: slice | NDArray[np.int64] = slice(origin, origin + geometry.width_px)
        if origin < 0 or origin + geometry.width_px > image_width_px:
            source = reflect_101(np.arange(origin, origin + geometry.width_px), image_width_px)
        columns.append(TileColumn(origin, source, first, end, first - origin // stride))
    return TilePlan(geometry, image_width_px, span, tuple(columns))
