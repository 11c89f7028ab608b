"""Recipe table `[augment]`: good tiles varied as a loom camera's pictures vary.

Promises: everything is off unless it is set, and then nothing is changed or drawn.
"""

from __future__ import annotations

from pydantic import Field

from glass_edge.config.base import Settings


class AugmentSettings(Settings):
    """Table `[augment]`."""

    share: float = Field(default=0.5, gt=0, le=1)
    """Share of the training crops that are varied; the others stay as the camera took them."""
    rotation_deg: float = Field(default=0.0, ge=0, le=10)
    """Cloth turned against the camera by up to so many degrees either way; 1 is much on a loom."""
    skew_deg: float = Field(default=0.0, ge=0, le=10)
    """Weft slanted against the warp (skew, or the bow of a wide web as a tile sees it) by up to so many degrees."""
    gain: float = Field(default=0.0, ge=0, lt=1)
    """Brightness changed by up to this share either way (0.1: from 0.9 to 1.1 times)."""
    gain_slope: float = Field(default=0.0, ge=0, lt=1)
    """Brightness that rises over the tile, in any direction, by up to this share from end to end."""
    blur_sigma_px: float = Field(default=0.0, ge=0, le=8)
    """Focus lost: Gaussian blur of a sigma up to so many px."""
    sharpen: float = Field(default=0.0, ge=0, le=4)
    """Focus better than in the images: sharpened by up to this weight of their finest detail."""
    noise_sigma: float = Field(default=0.0, ge=0, le=64)
    """Sensor noise added, of a standard deviation up to so many grey levels of 255."""
    in_statistics: bool = True
    """The mean and spread of good features are measured on good tiles as they are and varied, not only as they are."""

    @property
    def is_on(self) -> bool:
        """Whether anything is varied."""
        return any((self.rotation_deg, self.skew_deg, self.changes_pixels))

    @property
    def for_statistics(self) -> AugmentSettings | None:
        """How tiles are varied for mean and spread of good features; None: they are not."""
        return self if self.is_on and self.in_statistics else None

    @property
    def changes_pixels(self) -> bool:
        """Whether brightness, focus or noise are varied."""
        return any((self.gain, self.gain_slope, self.blur_sigma_px, self.sharpen, self.noise_sigma))
