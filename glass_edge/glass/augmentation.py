"""Good tiles varied as a loom camera's pictures vary: turned or slanted cloth, light, focus, sensor noise.

Promises: a pure function of the strip, the place, the settings and the generator; a tile that is not varied is the
camera's, pixel for pixel; the same number of values is drawn whatever is switched on, so that one key does not change
what another draws. Inside the halo every pixel of a turned tile is made of cloth of the strip: turning takes the cloth
around the tile, and is lessened where the strip or its selvedges end too near. Mirrored pixels stand in only where
there is no cloth: in the halo of tiles at such an end, and in what a blur there reaches beyond it.

The order is that of a camera: geometry, focus, light, noise, rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.config.recipe_augment import AugmentSettings
from glass_edge.glass.augmentation_geometry import Slant, TilePlace, cut_slanted, fitting_slant
from glass_edge.glass.data import Pixels

Plane = NDArray[np.float32]
_DETAIL_SIGMA_PX = 1.0
"""What the sharpening takes for detail: finer than a blur of this sigma."""
_REACH_SIGMAS = 3


@dataclass(frozen=True, slots=True)
class TileChange:
    """What is done to one tile.

    Attributes:
        slant: of the cloth.
        blur_sigma_px: of a Gaussian; 0: none.
        sharpen: weight of the fine detail added; 0: none.
        gain: factor of the brightness.
        slope: (down, across) rise of that factor over the whole tile.
        noise_sigma: of the sensor noise, grey levels of 255.
    """

    slant: Slant
    blur_sigma_px: float
    sharpen: float
    gain: float
    slope: tuple[float, float]
    noise_sigma: float

    @property
    def reach_px(self) -> int:
        """Pixels around a pixel that have a say in it."""
        sigma = _DETAIL_SIGMA_PX if self.sharpen else self.blur_sigma_px
        return math.ceil(_REACH_SIGMAS * sigma)


_NO_CHANGE = TileChange(Slant(0.0, 0.0), 0.0, 0.0, 1.0, (0.0, 0.0), 0.0)


@dataclass(frozen=True, slots=True)
class VariedTile:
    """A tile and the part of it where synthetic defects may lie.

    Attributes:
        pixels: uint8 (height, width, channels).
        foreground: bool (height, width), or None: everywhere.
        is_varied: it is not the camera's tile.
    """

    pixels: Pixels
    foreground: NDArray[np.bool_] | None
    is_varied: bool


def draw_change(rng: np.random.Generator, settings: AugmentSettings) -> TileChange | None:
    """What to do to a tile; None for the share of tiles that stay as they are."""
    chance, turn, skew, either, focus, gain, direction, slope, noise = rng.random(9)
    if chance >= settings.share:
        return None
    blurred = bool(settings.blur_sigma_px) and (either < 0.5 or not settings.sharpen)
    angle, rise = 2 * math.pi * direction, settings.gain_slope * slope
    return TileChange(
        Slant(settings.rotation_deg * (2 * turn - 1), settings.skew_deg * (2 * skew - 1)),
        blur_sigma_px=settings.blur_sigma_px * focus if blurred else 0.0,
        sharpen=0.0 if blurred else settings.sharpen * focus,
        gain=1 + settings.gain * (2 * gain - 1),
        slope=(rise * math.sin(angle), rise * math.cos(angle)),
        noise_sigma=settings.noise_sigma * noise,
    )


def vary_tile(place: TilePlace, settings: AugmentSettings, rng: np.random.Generator) -> VariedTile:
    """The tile at a place, varied or (for the share that stays) as it is.

    Args:
        place: in a strip of good cloth.
        settings: what is varied and how much.
        rng: source of chance.
    """
    drawn = draw_change(rng, settings)
    change = drawn or _NO_CHANGE
    slant = fitting_slant(change.slant, place)
    pixels = cut_slanted(place.strip.pixels, place, slant, change.reach_px, smooth=True)
    shown = None
    if place.strip.foreground is not None:
        shown = cut_slanted(place.strip.foreground.view(np.uint8), place, slant, 0, smooth=False)[..., 0] > 0
    return VariedTile(expose(pixels, change, rng), shown, is_varied=drawn is not None)


def expose(pixels: NDArray[np.generic], change: TileChange, rng: np.random.Generator) -> Pixels:
    """Focus, light and noise of a change on a tile that lies `change.reach_px` inside `pixels` on every side.

    Args:
        pixels: (height + 2 reach, width + 2 reach, channels), 0..255.
        change: what is done.
        rng: source of the noise.
    """
    reach = change.reach_px
    values = pixels.astype(np.float32)
    if change.blur_sigma_px:
        values = _blur(values, change.blur_sigma_px, reach)
    elif change.sharpen:
        values = values + np.float32(change.sharpen) * (values - _blur(values, _DETAIL_SIGMA_PX, reach))
    height, width, channels = values.shape[0] - 2 * reach, values.shape[1] - 2 * reach, values.shape[2]
    values = values[reach : reach + height, reach : reach + width]
    if change.gain != 1 or any(change.slope):
        values = values * _light(height, width, change)[..., None]
    if change.noise_sigma:
        values = values + change.noise_sigma * rng.standard_normal((height, width, channels), np.float32)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _blur(values: Plane, sigma_px: float, reach_px: int) -> Plane:
    side = 2 * reach_px + 1
    blurred = cv2.GaussianBlur(values, (side, side), sigma_px, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(blurred, np.float32).reshape(values.shape)


def _light(height: int, width: int, change: TileChange) -> Plane:
    down = (np.arange(height, dtype=np.float32) + 0.5) / height - 0.5
    across = (np.arange(width, dtype=np.float32) + 0.5) / width - 0.5
    plane = 1 + change.slope[0] * down[:, None] + change.slope[1] * across[None, :]
    return np.asarray(change.gain * plane, np.float32)
