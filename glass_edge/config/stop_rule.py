"""Settings of the stop rules: when the station asks for the loom to stop.

Promises: off until the mill switches it on, because stopping a loom is the mill's choice; then every rule is on with a
default that can be used, and each can be switched off. Lengths are those of cloth.
"""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from glass_edge.config.base import Settings
from glass_edge.fabric.stop_rule_period import PeriodRule
from glass_edge.fabric.stop_rule_values import DenseRule, RepeatRule, StopRules


class RunningStopSettings(Settings):
    """Table `[stop.running]`: a warp line that goes on."""

    enabled: bool = True
    """Use this rule."""
    above_mm: float = Field(default=500.0, gt=0, le=1e6)
    """Length of a warp line that is still open, mm."""


class DenseStopSettings(Settings):
    """Table `[stop.dense]`: many defects on little cloth."""

    enabled: bool = True
    """Use this rule."""
    defects: int = Field(default=6, ge=2, le=100)
    """Defects, wherever across."""
    within_m: float = Field(default=1.0, gt=0, le=1000)
    """Cloth, m."""


class RepeatStopSettings(Settings):
    """Table `[stop.repeat]`: defects again and again at one place across, as of an end that breaks again."""

    enabled: bool = True
    """Use this rule."""
    defects: int = Field(default=4, ge=2, le=100)
    """Defects at one place."""
    across_tolerance_mm: float = Field(default=3.0, gt=0, le=1000)
    """Distance across, of their middles, of defects at one place, mm."""
    within_m: float = Field(default=5.0, gt=0, le=1000)
    """Cloth, m."""
    widest_mm: float = Field(default=50.0, gt=0, le=100_000)
    """Wider defects do not count here, mm: the middle of a full-width weft fault is always in the middle."""


class PeriodicStopSettings(Settings):
    """Table `[stop.periodic]`: equal spacing at one place across, as of a mark on a roller."""

    enabled: bool = True
    """Use this rule."""
    defects: int = Field(default=4, ge=3, le=30)
    """Fewest defects with equal spacing."""
    across_tolerance_mm: float = Field(default=5.0, gt=0, le=1000)
    """Distance across, of their middles, of defects at one place, mm."""
    along_tolerance_mm: float = Field(default=5.0, gt=0, le=1000)
    """Distance of a defect from where its turn is, mm."""
    min_period_mm: float = Field(default=50.0, gt=0, le=100_000)
    """Shortest spacing looked for, mm."""
    max_period_mm: float = Field(default=3000.0, gt=0, le=100_000)
    """Longest spacing looked for, mm."""
    within_m: float = Field(default=20.0, gt=0, le=1000)
    """Cloth looked back over, m."""
    min_share: float = Field(default=0.6, ge=0.5, le=1)
    """Share of the turns that must have left a defect."""
    false_alarm: float = Field(default=1e-4, gt=0, le=0.1)
    """Most probability of a report, for each defect that ends, when defects are scattered by chance."""

    def to_rule(self) -> PeriodRule:
        """The rule as the domain knows it.

        Raises:
            ValueError: the lengths do not fit each other; says which and what would be right.
        """
        return PeriodRule(
            defects=self.defects,
            across_tolerance_mm=self.across_tolerance_mm,
            along_tolerance_mm=self.along_tolerance_mm,
            min_period_mm=self.min_period_mm,
            max_period_mm=self.max_period_mm,
            within_mm=1000 * self.within_m,
            min_share=self.min_share,
            false_alarm=self.false_alarm,
        )

    @model_validator(mode="after")
    def _fits(self) -> Self:
        self.to_rule()
        return self


class StopSettings(Settings):
    """Table `[stop]` of a station file."""

    enabled: bool = False
    """Ask for the loom to stop. Off: stopping a loom is the mill's choice."""
    min_interval_s: float = Field(default=120.0, ge=0, le=86_400)
    """Shortest time between two requests, s."""
    min_interval_m: float = Field(default=0.5, ge=0, le=1000)
    """Least cloth between two requests, m; both must have passed."""
    hole: bool = True
    """Ask at a hole."""
    running: RunningStopSettings = RunningStopSettings()
    """A warp line that goes on."""
    dense: DenseStopSettings = DenseStopSettings()
    """Many defects on little cloth."""
    repeat: RepeatStopSettings = RepeatStopSettings()
    """Defects at one place across."""
    periodic: PeriodicStopSettings = PeriodicStopSettings()
    """Equal spacing at one place across."""

    def rules(self) -> StopRules | None:
        """The rules as the domain knows them; None when the station asks for no stops."""
        if not self.enabled:
            return None
        dense, repeat = self.dense, self.repeat
        return StopRules(
            min_interval_s=self.min_interval_s,
            min_interval_mm=1000 * self.min_interval_m,
            hole=self.hole,
            running_above_mm=self.running.above_mm if self.running.enabled else None,
            dense=DenseRule(dense.defects, 1000 * dense.within_m) if dense.enabled else None,
            repeat=RepeatRule(repeat.defects, repeat.across_tolerance_mm, 1000 * repeat.within_m, repeat.widest_mm)
            if repeat.enabled
            else None,
            periodic=self.periodic.to_rule() if self.periodic.enabled else None,
        )
