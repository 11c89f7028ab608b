"""Perlin noise and its rotation.

Promises: a pure function of the lattice angles; any size can be drawn (sizes that the lattice does not divide are cut
from the next larger one).

Source: K. Perlin, "Improving noise", SIGGRAPH 2002 (the fade polynomial), in the variant used by DRAEM and GLASS.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MAX_CELLS = 32
"""Most lattice cells an axis that masks are drawn with."""


def perlin_from_angles(angles: Floats, height: int, width: int) -> Floats:
    """Perlin noise of a given lattice.

    Args:
        angles: directions of the lattice gradients, radians, (cells down + 1, cells across + 1); the gradient is
            (cos, sin) with its first component along rows.
        height: rows; a multiple of the cells down.
        width: columns; a multiple of the cells across.

    Returns:
        float64 (height, width), about -1..1.

    Raises:
        ValueError: a side that its cells do not divide.
    """
    cells_down, cells_across = angles.shape[0] - 1, angles.shape[1] - 1
    if height % cells_down or width % cells_across:
        raise ValueError(f"{height} x {width} px cannot be divided into {cells_down} x {cells_across} cells")
    down, across = height // cells_down, width // cells_across
    row, column = np.arange(height), np.arange(width)
    row_cell, column_cell = row // down, column // across
    t0 = ((row % down) / down)[:, None]
    t1 = ((column % across) / across)[None, :]
    along_rows, along_columns = np.cos(angles), np.sin(angles)

    def corner(a: int, b: int) -> Floats:
        place = np.ix_(row_cell + a, column_cell + b)
        value: Floats = along_rows[place] * (t0 - a) + along_columns[place] * (t1 - b)
        return value

    fade0, fade1 = _fade(t0), _fade(t1)
    left = corner(0, 0) + fade0 * (corner(1, 0) - corner(0, 0))
    right = corner(0, 1) + fade0 * (corner(1, 1) - corner(0, 1))
    return math.sqrt(2) * (left + fade1 * (right - left))


def draw_perlin(rng: np.random.Generator, height: int, width: int, cells: tuple[int, int]) -> Floats:
    """Perlin noise with uniform random angles, float64 (height, width).

    Args:
        rng: source of chance.
        height: rows.
        width: columns.
        cells: lattice cells (down, across), at most `MAX_CELLS` and powers of two.
    """
    angles = 2 * math.pi * rng.random((cells[0] + 1, cells[1] + 1))
    full_height = -(-height // MAX_CELLS) * MAX_CELLS
    full_width = -(-width // MAX_CELLS) * MAX_CELLS
    return perlin_from_angles(angles, full_height, full_width)[:height, :width]


def rotate(values: Floats, degrees: float) -> Floats:
    """Rotate about the centre, bilinear, same size, 0 outside."""
    height, width = values.shape
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, 1.0)
    turned = cv2.warpAffine(
        np.ascontiguousarray(values),
        turn,
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    return np.asarray(turned, np.float64)


def _fade(t: Floats) -> Floats:
    result: Floats = t**3 * (t * (t * 6 - 15) + 10)
    return result
