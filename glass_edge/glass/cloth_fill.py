"""What fills a mask shaped like a weaving defect: another tone, cloth out of phase, washed-out cloth or a texture.

Promises: a pure function of the generator and the tile; the result has the tile's shape and channels; tones are
measured by the cloth's own spread, so the same settings suit dark and bright cloth.
A pasted texture (the published form) is nearly a plain random tone inside a speck of 4 px, and cloth with a yarn
missing or displaced still looks like cloth: these fills are no part of the published method.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ClothFillConfig:
    """Shares of the fills; what is left of 1 pastes a texture.

    Attributes:
        tone_share: a tone at or beyond the cloth's darkest or brightest 2 %.
        dark_share: share of the dark ones among tones.
        beyond: a tone lies up to so many standard deviations of the cloth beyond that percentile.
        displaced_share: cloth from a few pixels beside: the weave goes on out of phase.
        displaced_px: smallest and largest shift, each way.
        washed_share: cloth without its weave, its local mean.
        washed_sigma_px: sigma of that mean.
        opacity: smallest and largest weight of the normal image for tones, washed cloth and textures.
    """

    tone_share: float = 0.5
    dark_share: float = 0.6
    beyond: float = 0.8
    displaced_share: float = 0.25
    displaced_px: tuple[int, int] = (2, 11)
    washed_share: float = 0.15
    washed_sigma_px: tuple[float, float] = (2.0, 5.0)
    opacity: tuple[float, float] = (0.05, 0.65)


def fill_cloth(
    rng: np.random.Generator,
    tile: Pixels,
    coverage: NDArray[np.float32],
    texture: Callable[[], Pixels],
    config: ClothFillConfig,
) -> Pixels:
    """The tile with its covered part filled.

    Args:
        rng: source of chance.
        tile: uint8 (height, width, channels).
        coverage: float32 (height, width) in [0, 1].
        texture: draws a texture of the tile's shape; called only when one is pasted.
        config: shares and ranges.
    """
    cloth = tile.astype(np.float32)
    choice = rng.random()
    opacity = float(rng.uniform(*config.opacity))
    if choice < config.tone_share:
        fill = np.broadcast_to(_tone(rng, cloth, config), cloth.shape)
    elif choice < config.tone_share + config.displaced_share:
        low, high = config.displaced_px
        shift = rng.integers(low, high, size=2, endpoint=True) * rng.choice([-1, 1], size=2)
        fill, opacity = np.roll(cloth, tuple(shift), axis=(0, 1)), 0.0
    elif choice < config.tone_share + config.displaced_share + config.washed_share:
        blurred = cv2.GaussianBlur(cloth, (0, 0), float(rng.uniform(*config.washed_sigma_px)))
        fill = np.asarray(blurred, np.float32).reshape(cloth.shape)
    else:
        fill = texture().astype(np.float32)
    weight = ((1 - opacity) * coverage)[..., None]
    return np.clip(np.rint(cloth + weight * (fill - cloth)), 0, 255).astype(np.uint8)


def _tone(rng: np.random.Generator, cloth: NDArray[np.float32], config: ClothFillConfig) -> NDArray[np.float32]:
    """One value a channel."""
    low, high = np.percentile(cloth, (2, 98), axis=(0, 1))
    beyond = rng.uniform(0, config.beyond) * cloth.std(axis=(0, 1))
    tone = low - beyond if rng.random() < config.dark_share else high + beyond
    return np.asarray(np.clip(tone, 0, 255), np.float32)
