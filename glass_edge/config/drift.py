"""Settings of the watch over slow changes of good cloth from roll to roll."""

from __future__ import annotations

from pydantic import Field

from glass_edge.config.base import Settings


class DriftLimits(Settings):
    """From where on a figure of a roll is out of control.

    Limits are in standard deviations of a known normal distribution; what `least_rolls` rolls leave uncertain is added.
    """

    level_sigmas: float = Field(default=5.0, ge=2, le=10)
    """A single roll further than this from the baseline."""
    trend_sigmas: float = Field(default=4.0, ge=2, le=10)
    """The weighted mean of the rolls further than this, in its own standard deviations."""
    trend_weight: float = Field(default=0.1, ge=0.02, le=1)
    """Weight of the newest roll in that mean."""
    clear_rolls: int = Field(default=3, ge=1, le=100)
    """A drift is over after so many rolls in a row within both limits."""


class DriftSettings(Settings):
    """Table `[drift]` of a station file: do the good cloth and its picture stay as they were, roll after roll?"""

    every_m: float = Field(default=1.0, ge=0, le=10_000)
    """Cloth from one picture that is measured to the next, m; 0: as often as the machine has time."""
    lines: int = Field(default=512, ge=128, le=2048)
    """Lines of a picture."""
    least_m: float = Field(default=1.0, ge=0, le=100_000)
    """A roll with fewer inspected metres tells no figures, m."""
    least_rolls: int = Field(default=20, ge=8, le=200)
    """So many rolls of a style by one model are its baseline; before them nothing is judged."""
    limits: DriftLimits = DriftLimits()
    """What is still in control."""
