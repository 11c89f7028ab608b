"""Recipe tables `[gas]` and `[las]`: synthetic anomalies among the features and on the image.

Promises: constants that are left out are the published ones where the published form is asked for (`relative = false`,
the hypersphere), and otherwise those found good on whitened features.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from glass_edge.config.base import Settings

BUILTIN = "builtin"
_ABSOLUTE = {"noise_sigma": 0.015, "step_length": 0.001, "band_low": 0.5, "band_high": 1.0, "points": 0, "weight": 1.0}
_SPHERE = {"band_low": 1.0, "band_high": 2.0}


class GasSettings(Settings):
    """Table `[gas]`: global anomalies, noise and gradient ascent on the features."""

    enabled: bool = True
    """Use them in training."""
    hypothesis: Literal["manifold", "hypersphere"] = "manifold"
    """Synthetic points keep a distance to their own normal point, or to a common centre."""
    centre: Literal["positional", "pooled"] = "pooled"
    """Centre of the hypersphere: one a grid position (registered parts; published), or one for all cloth."""
    relative: bool = True
    """Lengths are multiples of the spread of normal features: noise_sigma a feature, step_length and the manifold's
    band times sqrt(number of features). false: absolute, as published."""
    noise_sigma: float = Field(default=2.0, gt=0, le=100)
    """Standard deviation of the noise, a feature; relative = false: 0.015."""
    steps: int = Field(default=20, ge=0, le=1000)
    """Ascent steps; 0: noise alone."""
    step_length: float = Field(default=0.004, ge=0, le=100)
    """Length of a step; relative = false: 0.001."""
    projection_period: int = Field(default=5, ge=1, le=1000)
    """The points are moved back into their band after every so many steps."""
    band_low: float = Field(default=1.6, ge=0, le=1000)
    """Least distance of a synthetic point; relative = false: 0.5. Hypersphere: in radii, 1; for masked points of
    synthetic images twice that."""
    band_high: float = Field(default=4.0, gt=0, le=1000)
    """Largest distance of a synthetic point; relative = false: 1. Hypersphere: in radii, 2; for masked points twice
    that."""
    points: int = Field(default=1024, ge=0)
    """Normal points of a batch that are used, drawn anew each step; relative = false: 0, which is all, as published."""
    weight: float = Field(default=0.1, ge=0, le=100)
    """Weight of their term in the loss; relative = false: 1, as published."""
    full_steps: bool = False
    """Ascend by the logits, whose gradient does not fade where the discriminator is sure; published: false."""
    moves_statistics: bool = True
    """The ascent's passes move the BatchNorm's running statistics, as published."""

    @model_validator(mode="before")
    @classmethod
    def _published(cls, values: Any) -> Any:  # noqa: ANN401 - whatever the file holds
        if not isinstance(values, dict):
            return values
        defaults = dict(_ABSOLUTE) if values.get("relative") is False else {}
        if values.get("hypothesis") == "hypersphere":
            defaults |= _SPHERE
        return defaults | values

    @model_validator(mode="after")
    def _fits(self) -> GasSettings:
        if self.band_high < self.band_low:
            raise ValueError(f"band_high = {self.band_high} is below band_low = {self.band_low}; give at least that")
        return self


class LasSettings(Settings):
    """Table `[las]`: local anomalies, textures pasted onto good images."""

    enabled: bool = True
    """Use them in training."""
    source: Literal["perlin", "cloth", "mixed"] = "cloth"
    """Shapes: Perlin blobs (published), lines and specks like weaving defects, or both."""
    cloth_share: float = Field(default=0.5, ge=0, le=1)
    """Share of lines and specks under `mixed`."""
    textures: str = BUILTIN
    """What is pasted: `builtin` patterns drawn on the spot, or a folder of images (such as DTD), relative to the
    recipe's folder."""
    grey: bool | None = None
    """Take the textures' colour away; left out: for grey tiles."""

    @property
    def textures_folder(self) -> Path | None:
        """Folder of textures, None for the built-in ones."""
        return None if self.textures == BUILTIN else Path(self.textures)
