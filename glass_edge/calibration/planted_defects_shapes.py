"""Outlines of planted defects.

Promises: a cover is 1 well inside, 0 away from the defect and 0.5 on its outline, which spans the box it was given to
within a pixel; it is 0 further than `soft_px` / 2 from the outline.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Cover = NDArray[np.float64]
_ANGLES = 360
_HARMONICS = 7


@dataclass(frozen=True, slots=True)
class FloatBox:
    """Columns [left, right) and lines [top, bottom), fractions allowed."""

    left: float
    right: float
    top: float
    bottom: float


def soft_box(box: FloatBox, rows: Cover, columns: Cover) -> Cover:
    """A rectangle with edges one pixel soft, float64 (rows, columns); places are those of pixel centres."""
    along = np.clip(np.minimum(rows - box.top, box.bottom - rows) + 0.5, 0, 1)
    across = np.clip(np.minimum(columns - box.left, box.right - columns) + 0.5, 0, 1)
    return np.asarray(along[:, None] * across[None, :])


def spindle_cover(box: FloatBox, rows: Cover, columns: Cover, key: int) -> Cover:
    """A yarn that thickens and thins again, thickest somewhere near its middle."""
    skew = float(np.random.default_rng(key).uniform(0.7, 1.4))
    share = np.clip((columns - box.left) / (box.right - box.left), 0, 1) ** skew
    half = 0.5 * (box.bottom - box.top) * np.sin(np.pi * share) ** 0.6
    along = np.clip(half[None, :] - np.abs(rows - (box.top + box.bottom) / 2)[:, None] + 0.5, 0, 1)
    across = np.clip(np.minimum(columns - box.left, box.right - columns) + 0.5, 0, 1)
    return np.asarray(along * across[None, :])


def ragged_cover(box: FloatBox, rows: Cover, columns: Cover, key: int, *, roughness: float, soft_px: float) -> Cover:
    """A roundish spot with an uneven outline.

    Args:
        box: of the outline.
        rows, columns: pixel centres.
        key: of its random numbers.
        roughness: of the outline, relative to its radius.
        soft_px: from inside to outside, px; of a small spot, its smaller radius at most.
    """
    rng = np.random.default_rng(key)
    angles = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
    order = np.arange(2, 2 + _HARMONICS)
    size, phase = roughness * rng.uniform(0.3, 1.0, _HARMONICS) / np.sqrt(order), rng.uniform(0, 2 * np.pi, _HARMONICS)
    radius = 1 + (size[:, None] * np.cos(order[:, None] * angles + phase[:, None])).sum(axis=0)
    x, y = radius * np.cos(angles), radius * np.sin(angles)
    half_across, half_along = (box.right - box.left) / 2, (box.bottom - box.top) / 2
    # the curve is stretched so that its own box is the one asked for
    across = ((columns - box.left) / (2 * half_across)) * np.ptp(x) + x.min()
    along = ((rows - box.top) / (2 * half_along)) * np.ptp(y) + y.min()
    across, along = np.broadcast_arrays(across[None, :], along[:, None])
    turn = np.arctan2(along, across) % (2 * np.pi)
    edge = np.interp(turn, np.append(angles, 2 * np.pi), np.append(radius, radius[0]))
    within = (1 - np.hypot(across, along) / edge) * min(half_across, half_along)  # px from the outline, nearly
    soft = min(soft_px, half_across, half_along)
    return np.asarray(np.clip(within / soft + 0.5, 0, 1))
