"""Recipe table `[tile]`: the one shape of training crops and of the engine's tiles."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from glass_edge.config.base import Settings


class RecipeTileSettings(Settings):
    """Table `[tile]`."""

    height_px: int = Field(default=256, ge=32, le=8192)
    """Height of a tile (along the web), px; a multiple of 16."""
    width_px: int = Field(default=512, ge=32, le=8192)
    """Width of a tile (across the web), px; a multiple of 16."""
    halo_px: int = Field(default=16, ge=0, le=1024)
    """Border of a tile whose scores are used neither in training nor on the line, px; a multiple of 16."""
    channels: Literal[1, 3] = 1
    """1: grey camera; 3: RGB camera."""
    exposure: Literal["tile", "camera"] = "tile"
    """`tile`: each tile is scaled to the same mean grey, so that lamps that age, other shutter times and shading across
    the web make no difference; `camera`: grey values count as they are (published)."""

    @model_validator(mode="after")
    def _fits(self) -> RecipeTileSettings:
        for key, value in (("height_px", self.height_px), ("width_px", self.width_px), ("halo_px", self.halo_px)):
            if value % 16:
                raise ValueError(f"{key} = {value}: give a multiple of 16, such as {max(1, round(value / 16)) * 16}")
        for key, side in (("height_px", self.height_px), ("width_px", self.width_px)):
            if side <= 2 * self.halo_px:
                raise ValueError(
                    f"{key} = {side}: nothing is left inside a halo of {self.halo_px} px; "
                    f"give more than {2 * self.halo_px}, or a smaller halo_px"
                )
        return self
