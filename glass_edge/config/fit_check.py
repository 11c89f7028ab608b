"""Settings of the check that the camera still sees what was calibrated."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from glass_edge.config.base import Settings


class CheckLimits(Settings):
    """From where on a picture does not fit; each a relative change.

    What the pictures learnt from differed by is added to those of brightness, shading and scale.
    """

    focus: float = Field(default=0.3, gt=0, lt=1)
    """Loss of sharpness, the median over the zones; a zone alone may lose half as much again."""
    brightness: float = Field(default=0.2, gt=0, le=10)
    """Change of the mean grey."""
    saturated: float = Field(default=0.01, gt=0, le=1)
    """Share of saturated pixels above the known one."""
    shading: float = Field(default=0.12, gt=0, le=10)
    """Change of a zone's grey against the rest of the line."""
    scale_along: float = Field(default=0.1, gt=0, le=10)
    """Change of the lines a repeat of the weave."""
    scale_across: float = Field(default=0.03, gt=0, le=10)
    """Change of the pixels a repeat."""
    weave: float = Field(default=0.4, ge=0, le=1)
    """Least share of the known weave's peaks that must be seen; 0: any weave fits."""


class FitCheckSettings(Settings):
    """Table `[fit_check]` of a station file: is what the camera sees still what was calibrated?"""

    look: Path | None = None
    """Look of the style at this camera, written by `glass-edge calibrate learn`; left out: nothing is checked."""
    every_m: float = Field(default=0.5, ge=0, le=10_000)
    """Cloth from one check to the next, m; 0: as often as the machine has time."""
    lines: int = Field(default=512, ge=128, le=2048)
    """Lines of a check."""
    checks: int = Field(default=5, ge=1, le=100)
    """An alarm looks at so many of the last checks ..."""
    misfits: int = Field(default=3, ge=1, le=100)
    """... and is raised when so many of them do not fit; it is over after as many in a row that fit."""
    limits: CheckLimits = CheckLimits()
    """What fits."""

    @model_validator(mode="after")
    def _can_be_raised(self) -> Self:
        if self.misfits > self.checks:
            raise ValueError(
                f"misfits = {self.misfits} of checks = {self.checks} can never be; give at most {self.checks}"
            )
        return self
