"""The challenge of a station: a strip with known marks, and how often it must be passed.

Promises: nothing on disk is touched.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, model_validator

from glass_edge.config.base import Settings, load_toml


class MarkSettings(Settings):
    """One mark of the strip."""

    along_mm: float
    """Place along the strip, mm from any origin."""
    across_mm: float
    """Place across it, mm from any origin."""
    kind: str = Field(default="", max_length=64)
    """What it imitates, for the report."""


class StripSettings(Settings):
    """A file of a strip: cloth with marks at known places, led past the camera."""

    strip: str = Field(min_length=1, max_length=64)
    """Name of the strip, for the record."""
    marks: tuple[MarkSettings, ...] = Field(min_length=2, max_length=1000)
    """All its marks."""
    reach_mm: float = Field(default=10.0, gt=0, le=200)
    """How far from its place a mark may be found, mm: the strip is laid in by hand, and stretches."""
    at_least: float = Field(default=0.9, ge=0.5, lt=1)
    """Part of the marks that the station finds for certain; shown with 95 % confidence by the exact binomial bound."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        places = sorted((mark.along_mm, mark.across_mm) for mark in self.marks)
        for one, two in pairwise(places):
            if one == two:
                raise ValueError(f"two marks are at along {one[0]:g} mm, across {one[1]:g} mm; each needs its place")
        return self


class ChallengeSettings(Settings):
    """Table `[challenge]` of a station file."""

    every_h: float | None = Field(default=None, gt=0, le=8760)
    """Hours after which a passed challenge is due again; left out: never asked for."""
    policy: Literal["warn", "block"] = "warn"
    """When it is due or was not passed: `warn` tells it in the status; `block` also refuses new rolls until it is
    passed. The cloth is inspected and reported in any case."""


def load_strip(path: Path) -> StripSettings:
    """Read the file of a strip.

    Raises:
        InputError: the file is missing, is no TOML, or a key or value is wrong; all problems are listed.
    """
    return load_toml(path, StripSettings)
