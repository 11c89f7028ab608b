"""Recipe tables `[gas]` and `[las]`: synthetic anomalies among the features and on the image.

Promises: constants that are left out are the published ones where the published form is asked for (`relative =
false`), and otherwise those found good on whitened features.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ModelWrapValidatorHandler, model_validator

from glass_edge.config.base import Settings

BUILTIN = "builtin"
_ABSOLUTE = {"noise_sigma": 0.015, "step_length": 0.001, "band_low": 0.5, "band_high": 1.0, "points": 0, "weight": 1.0}
_SPHERE = {"band_low": 1.0, "band_high": 2.0}
_RELATIVE_SPHERE = {"band_low": 1.0, "band_high": 4.0}
_APART = math.sqrt(2)  # distance of two good points of a Gaussian, in units of their spread times sqrt(features)


class GasSettings(Settings):
    """Table `[gas]`: global anomalies, noise and gradient ascent on the features."""

    enabled: bool = True
    """Use them in training."""
    hypothesis: Literal["manifold", "hypersphere", "judge"] = "manifold"
    """Synthetic points keep a distance to their own normal point, or to a common centre; `judge`: which of them, the
    spectrum of the mean good image says."""
    centre: Literal["positional", "pooled"] = "pooled"
    """Centre of the hypersphere: one a grid position (registered parts; published), or one for all cloth."""
    relative: bool = True
    """Lengths are multiples of the spread of normal features: noise_sigma a feature, step_length and the manifold's
    band times sqrt(number of features). false: absolute, as published."""
    noise: bool = True
    """Start from normal points with noise added; false: from the normal points themselves, of which the ascent's
    gradient leads away; one without a gradient stays."""
    noise_sigma: float = Field(default=2.0, gt=0, le=100)
    """Standard deviation of the noise, a feature; relative = false: 0.015."""
    steps: int = Field(default=20, ge=0, le=1000)
    """Ascent steps; 0: noise alone."""
    ascent: Literal["features", "hidden"] = "features"
    """Where the steps are computed: among the features, or in the discriminator's hidden layer (the same but for
    rounding, with far less arithmetic)."""
    step_length: float = Field(default=0.004, ge=0, le=100)
    """Length of a step; relative = false: 0.001."""
    projection: bool = True
    """Move the points back into their band; false: they stay where noise and ascent bring them (masked points of
    synthetic images are moved all the same)."""
    projection_period: int = Field(default=5, ge=1, le=1000)
    """The points are moved back into their band after every so many steps."""
    band_low: float = Field(default=1.6, ge=0, le=1000)
    """Least distance of a synthetic point; relative = false: 0.5. Hypersphere: in radii of normal points, 1; for masked
    points of synthetic images twice that."""
    band_high: float = Field(default=4.0, gt=0, le=1000)
    """Largest distance of a synthetic point; relative = false: 1. Hypersphere: in radii, 4, with relative = false 2;
    for masked points twice that."""
    points: int = Field(default=1024, ge=0)
    """Normal points of a batch that are used, drawn anew each step; relative = false: 0, which is all, as published."""
    weight: float = Field(default=0.1, ge=0, le=100)
    """Weight of their term in the loss; relative = false: 1, as published."""
    full_steps: bool = False
    """Ascend by the logits, whose gradient does not fade where the discriminator is sure; published: false."""
    moves_statistics: bool = True
    """The ascent's passes move the BatchNorm's running statistics, as published."""

    @model_validator(mode="wrap")
    @classmethod
    def _published(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401 - any file
        if not isinstance(values, dict):
            return handler(values)
        defaults = dict(_ABSOLUTE) if values.get("relative") is False else {}
        if values.get("hypothesis") == "hypersphere":
            defaults |= _SPHERE if defaults else _RELATIVE_SPHERE
        settings = handler(defaults | values)
        settings.model_fields_set.difference_update(defaults.keys() - values.keys())  # they were not given
        return settings

    @model_validator(mode="after")
    def _fits(self) -> GasSettings:
        if self.band_high < self.band_low:
            raise ValueError(f"band_high = {self.band_high} is below band_low = {self.band_low}; give at least that")
        return self

    def warnings(self, n_features: int, *, whitened: bool) -> list[str]:
        """What is possible but hardly meant of lengths, a sentence each.

        Args:
            n_features: values a point.
            whitened: the features are, so that their spread is 1.
        """
        if not self.enabled or self.hypothesis == "judge":
            return []
        if not (self.noise or self.steps):
            return [
                "gas.noise = false and gas.steps = 0: the synthetic points are the normal points themselves; "
                "switch one of them on, or gas.enabled off"
            ]
        unit = 1.0 if self.relative else math.sqrt(n_features)  # of a norm, where sigma is that of a feature
        found = self._outside_band(unit, whitened=whitened) if self._projects and self.noise else []
        if self.relative or whitened:
            found += self._too_near(unit)
        return found

    @property
    def _projects(self) -> bool:
        return self.projection and self.steps >= self.projection_period

    def _outside_band(self, unit: float, *, whitened: bool) -> list[str]:
        """The noise's distance, in the band's units: its norm; from a sphere's centre, the normal point's own too."""
        if self.hypothesis == "manifold":
            distance, what = self.noise_sigma * unit, f"noise of norm {self.noise_sigma * unit:.3g}"
            wanted = (math.sqrt(self.band_low * self.band_high) or self.band_high / 2) / unit
        elif self.relative or whitened:
            distance = math.hypot(1, self.noise_sigma)
            what = f"points {distance:.3g} radii from the centre"
            wanted = math.sqrt(max(max(self.band_low, 1) * self.band_high - 1, 0))
        else:  # the radius is not known before the features are
            return []
        if self.band_low <= distance <= self.band_high:
            return []
        remedy = f"about {wanted:.2g} would lie inside" if wanted else "give a band_high above 1"
        return [
            f"gas.noise_sigma = {self.noise_sigma:g} gives {what}, outside the band {self.band_low:g} to "
            f"{self.band_high:g}: the projection, not the noise, sets every distance; {remedy}"
        ]

    def _too_near(self, unit: float) -> list[str]:
        """How far synthetic points come from their own normal points, in units of the spread of good ones."""
        distance = self.noise_sigma if self.noise else self.steps * self.step_length / (1 if self.relative else unit)
        if self._projects and self.hypothesis == "manifold":
            low, high = (limit if self.relative else limit / unit for limit in (self.band_low, self.band_high))
            distance = min(max(distance, low), high)
        elif self._projects:  # from the centre, and back
            from_centre = min(max(math.hypot(1, distance), self.band_low), self.band_high)
            distance = math.sqrt(max(from_centre**2 - 1, 0))
        if distance >= _APART:
            return []
        return [
            f"gas: synthetic points lie about {distance:.2g} times the spread of good points from their own, nearer "
            f"than two good points lie to each other ({_APART:.3g}), so that they cannot be told from good cloth; "
            "raise noise_sigma and the band (relative = true has fitting defaults)"
        ]


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
