"""How much the tiling changes the scores.

Promises: measures what the manifest states as `max_halo_error`: the largest logit difference between the strip merged
from tiles and the same strip scored in one piece.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.engine.base import Engine
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.inspection.borders import reflect_101
from glass_edge.inspection.one_shot import score_strip
from glass_edge.inspection.tile_plan import GRID_PX

OnePiece = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Scores an image of any size that is a multiple of 16 px: uint8 (h, w, c) to float32 (h / stride, w / stride)."""


@dataclass(frozen=True, slots=True)
class HaloError:
    """Difference of logits between tiled and one-piece scores.

    Attributes:
        max_abs, mean_abs: over all cells.
        n_cells: cells compared: those that are scored, the halo of the strip's edges is not.
    """

    max_abs: float
    mean_abs: float
    n_cells: int


def one_piece_scores(one_piece: OnePiece, lines: NDArray[np.uint8], stride_px: int, pad_px: int) -> NDArray[np.float32]:
    """Scores of the whole strip, float32 (ceil(n / stride), ceil(width / stride)), continued by reflection
    (reflect-101) over `pad_px` (rounded up to 16) and to a multiple of 16 on every side.
    """
    height, width = lines.shape[:2]
    pad = -(-pad_px // GRID_PX) * GRID_PX
    rows = reflect_101(np.arange(-pad, -(-height // GRID_PX) * GRID_PX + pad), height)
    columns = reflect_101(np.arange(-pad, -(-width // GRID_PX) * GRID_PX + pad), width)
    scores = one_piece(np.ascontiguousarray(lines[rows][:, columns]))
    first = pad // stride_px
    return scores[first : first - (-height // stride_px), first : first - (-width // stride_px)]


def halo_error(
    engine: Engine,
    one_piece: OnePiece,
    lines: NDArray[np.uint8],
    *,
    halo_px: int,
    advance_px: int | None = None,
    pad_px: int | None = None,
) -> HaloError:
    """Compare the scores of `lines` merged from tiles with those in one piece.

    Args:
        engine: the tile engine, entered by the caller.
        one_piece: the same model on images of any size, such as the checkpoint it was built from.
        lines: uint8 (n, width) or (n, width, channels) of real cloth; larger than a tile, or no seam is measured.
        halo_px, advance_px: of the tile plan.
        pad_px: reflection around the one piece, so that its own border is out of sight; None: the longer tile side.

    Raises:
        InputError: the halo does not fit the engine.
        EngineError: the engine failed.
    """
    strip = score_strip(engine, lines, ClothSpan(0, lines.shape[1]), halo_px=halo_px, advance_px=advance_px)
    pixels = lines if lines.ndim == 3 else lines[:, :, None]
    pixels = np.broadcast_to(pixels, (*pixels.shape[:2], engine.channels))
    pad = max(engine.tile_height_px, engine.tile_width_px) if pad_px is None else pad_px
    whole = one_piece_scores(one_piece, pixels, engine.score_stride_px, pad)
    first_row = strip.first_line // strip.stride_px
    rows, cells = strip.logits.shape
    beside = whole[first_row : first_row + rows, strip.first_cell : strip.first_cell + cells]
    difference = np.abs(strip.logits.astype(np.float64) - beside)
    return HaloError(float(difference.max()), float(difference.mean()), difference.size)
