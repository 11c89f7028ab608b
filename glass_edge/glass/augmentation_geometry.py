"""Tiles of turned or slanted cloth, cut from the cloth around them.

Promises: an unslanted tile is the strip's, pixel for pixel; a slant that `fitting_slant` allows takes every pixel
inside the tile's halo from cloth of the strip.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.glass.data import ClothStrip, TileShape

Matrix = NDArray[np.float64]
Vector = NDArray[np.float64]
_KERNEL_PX = 4
"""Pixels on each side that the interpolation reads: Lanczos over 8 x 8, which keeps a weave that bilinear fades."""
_BISECTIONS = 12


@dataclass(frozen=True, slots=True)
class Slant:
    """How cloth lies in a tile.

    Attributes:
        rotation_deg: turned about the tile's centre, counter-clockwise as seen.
        skew_deg: weft slanted against the rows (rising to the right), warp upright.
    """

    rotation_deg: float
    skew_deg: float

    @property
    def is_none(self) -> bool:
        """Cloth lies as in the strip."""
        return not (self.rotation_deg or self.skew_deg)

    def scaled(self, factor: float) -> Slant:
        """Both angles times a factor."""
        return Slant(self.rotation_deg * factor, self.skew_deg * factor)

    def to_source(self) -> Matrix:
        """(2, 2), from (x right, y down) about the tile's centre to the same about its place in the strip."""
        turn, skew = math.radians(self.rotation_deg), math.radians(self.skew_deg)
        unturn = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        unslant = np.array([[1.0, 0.0], [math.tan(skew), 1.0]])
        product: Matrix = unslant @ unturn
        return product


@dataclass(frozen=True, slots=True)
class TilePlace:
    """A tile's place in a strip.

    Attributes:
        strip: good cloth.
        tile: shape of the tile.
        row, column: its first line and column in the strip, px.
    """

    strip: ClothStrip
    tile: TileShape
    row: int
    column: int

    @property
    def centre(self) -> Vector:
        """(x, y) of the tile's centre in the strip, px."""
        return np.array(
            [self.column + (self.tile.width_px - 1) / 2, self.row + (self.tile.height_px - 1) / 2], np.float64
        )

    @property
    def room(self) -> tuple[Vector, Vector]:
        """(x, y) of the first and of the last pixel of the strip that shows cloth."""
        span = self.strip.span
        return np.array([span.left_px, 0.0]), np.array([span.right_px - 1.0, self.strip.lines - 1.0])


def fitting_slant(slant: Slant, place: TilePlace) -> Slant:
    """The slant, lessened (both angles alike) until the inside of the tile shows cloth of its strip alone."""
    if slant.is_none or _fits(slant, place):
        return slant
    low, high = 0.0, 1.0
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _fits(slant.scaled(middle), place):
            low = middle
        else:
            high = middle
    return slant.scaled(low)


def cut_slanted(
    pixels: NDArray[np.uint8], place: TilePlace, slant: Slant, reach_px: int, *, smooth: bool
) -> NDArray[np.uint8] | NDArray[np.float32]:
    """A tile and `reach_px` around it, of slanted cloth; beyond the strip's cloth, it is mirrored.

    Args:
        pixels: uint8 (lines, width[, channels]) of the strip.
        place: of the tile.
        slant: of the cloth.
        reach_px: border around the tile.
        smooth: interpolate; False: take the nearest pixel.

    Returns:
        (height + 2 reach_px, width + 2 reach_px, channels): uint8 where nothing is slanted or `smooth` is False,
        otherwise float32, which may pass 0..255 a little.
    """
    width, height = place.tile.width_px + 2 * reach_px, place.tile.height_px + 2 * reach_px
    half = np.array([width - 1, height - 1]) / 2
    extent = np.abs(slant.to_source()) @ half + (0 if slant.is_none else _KERNEL_PX)
    first, last = np.floor(place.centre - extent).astype(int), np.ceil(place.centre + extent).astype(int)
    room_first, room_last = place.room
    left, top = np.maximum(first, room_first).astype(int)
    right, bottom = np.minimum(last, room_last).astype(int) + 1
    window = pixels[top:bottom, left:right]
    if slant.is_none:
        above, below = int(top - first[1]), int(last[1] + 1 - bottom)
        before, behind = int(left - first[0]), int(last[0] + 1 - right)
        if any((above, below, before, behind)):
            mirrored = cv2.copyMakeBorder(window, above, below, before, behind, cv2.BORDER_REFLECT_101)
            window = np.asarray(mirrored, np.uint8)
        return window.reshape(height, width, -1)
    offset = place.centre - (left, top) - slant.to_source() @ half
    warped = cv2.warpAffine(
        window.astype(np.float32) if smooth else window,
        np.concatenate([slant.to_source(), offset[:, None]], axis=1),
        (width, height),
        flags=(cv2.INTER_LANCZOS4 if smooth else cv2.INTER_NEAREST) | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    if smooth:
        return np.asarray(warped, np.float32).reshape(height, width, -1)
    return np.asarray(warped, np.uint8).reshape(height, width, -1)


def _fits(slant: Slant, place: TilePlace) -> bool:
    """Whether the inside of the tile, and what the interpolation reads around it, is cloth."""
    inside = np.array([place.tile.width_px, place.tile.height_px]) / 2 - place.tile.halo_px - 0.5
    extent = np.abs(slant.to_source()) @ inside + _KERNEL_PX
    first, last = place.room
    return bool((place.centre - extent >= first).all() and (place.centre + extent <= last).all())
