"""Settings of grading: the file of a table of points, and the station's choice of one.

Promises: a table comes from a file alone, shipped or the buyer's, and both pass the same checks; a table that loads can
grade every defect.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

import glass_edge.fabric
from glass_edge.config.base import Settings, load_toml
from glass_edge.errors import InputError
from glass_edge.fabric.grading_table import GradingTable, LengthUnit, QualityLimits, Step, check_steps

TABLES_FOLDER = Path(glass_edge.fabric.__file__).parent / "grading_tables"
SHIPPED_TABLES = ("four-point-metric", "four-point-yards", "ten-point")
Points = Annotated[int, Field(ge=0, le=1000)]


class StepSettings(Settings):
    """Sizes up to a limit, the limit included, have these points."""

    up_to_mm: float | None = Field(default=None, gt=0, le=1e6)
    """The limit, mm; left out in the last step."""
    up_to_width: float | None = Field(default=None, gt=0, le=1)
    """The limit as a share of the cloth's width, instead of `up_to_mm`."""
    points: Points
    """Points; 0: such a defect does not count."""

    def to_step(self) -> Step:
        """The step as the domain knows it."""
        return Step(points=self.points, up_to_mm=self.up_to_mm, up_to_width=self.up_to_width)


def _checked(steps: tuple[StepSettings, ...]) -> tuple[StepSettings, ...]:
    check_steps([step.to_step() for step in steps])
    return steps


def _steps(steps: tuple[StepSettings, ...] | None) -> tuple[Step, ...]:
    return tuple(step.to_step() for step in steps or ())


Steps = Annotated[tuple[StepSettings, ...], AfterValidator(_checked)]


class FirstQualitySettings(Settings):
    """What a roll of first quality may have at most; left out: no limit."""

    points_per_100_m2: float | None = Field(default=None, ge=0)
    """Points on 100 m2."""
    points_per_100_yd2: float | None = Field(default=None, ge=0)
    """Points on 100 square yards."""
    points_per_unit: float | None = Field(default=None, ge=0)
    """Points for each metre (or yard) inspected."""
    continuous_units: int | None = Field(default=None, ge=0)
    """Consecutive metres (or yards) with a running defect."""
    holes: int | None = Field(default=None, ge=0)
    """Holes that count."""
    uninspected_m: float | None = Field(default=None, ge=0)
    """Metres that were not inspected."""


class GradingFile(Settings):
    """A table of points, such as four-point-metric.toml."""

    name: str = Field(min_length=1, max_length=128)
    """Name of the table, for people."""
    unit: LengthUnit
    """Length whose points have a cap: metre or yard."""
    size: Steps | None = None
    """Points by the longest side; or give `warp` and `weft`. A defect has the highest of those given."""
    warp: Steps | None = None
    """Points by the length, along the roll."""
    weft: Steps | None = None
    """Points by the width, across."""
    hole: Steps | None = None
    """Points of holes, by their longest side; left out: as other defects."""
    running_above_mm: float = Field(gt=0)
    """A defect longer than this along the roll counts in each metre (or yard) it touches."""
    running_points: Points
    """Points of such a defect in each."""
    cap_points: int = Field(ge=1, le=1000)
    """Most points of a metre (or yard)."""
    cap_width_mm: float | None = Field(default=None, gt=0)
    """On wider cloth the cap grows in proportion to the width, rounded down; left out: never."""
    edge_exclusion_mm: float = Field(default=0.0, ge=0)
    """A defect wholly within this distance of a selvedge does not count."""
    area_excludes_edges: bool = False
    """Count points per area on the width without the excluded edges."""
    first_quality: FirstQualitySettings
    """Limits of first quality."""
    styles: dict[str, FirstQualitySettings] = Field(default_factory=dict)
    """Limits of single fabric styles; what they leave out is that of `[first_quality]`."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.size is None and (self.warp is None or self.weft is None):
            raise ValueError("give the points as size, or as warp and weft")
        if not self.first_quality.model_dump(exclude_none=True):
            raise ValueError("first_quality has no limit, and every roll would pass; give points_per_100_m2 or another")
        return self

    def table(self, style: str | None = None) -> GradingTable:
        """The table as the domain knows it, with the limits of `style` where the file has any."""
        limits = self.first_quality.model_dump()
        if style in self.styles:
            limits |= self.styles[style].model_dump(exclude_none=True)
        return GradingTable(
            name=self.name,
            unit=self.unit,
            size=_steps(self.size),
            warp=_steps(self.warp),
            weft=_steps(self.weft),
            hole=_steps(self.hole),
            running_above_mm=self.running_above_mm,
            running_points=self.running_points,
            cap_points=self.cap_points,
            cap_width_mm=self.cap_width_mm,
            edge_exclusion_mm=self.edge_exclusion_mm,
            area_excludes_edges=self.area_excludes_edges,
            limits=QualityLimits(**limits),
        )


class GradingSettings(Settings):
    """Table `[grading]` of a station file."""

    table: str = Field(default="four-point-metric", min_length=1)
    """Table of points: four-point-metric, four-point-yards, ten-point, or the path of a file, which ends in .toml."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        if self.table not in SHIPPED_TABLES and not self.table.endswith(".toml"):
            raise ValueError(_unknown(self.table))
        return self

    def relative_to(self, folder: Path) -> GradingSettings:
        """The same settings with the path of a file counted from `folder`."""
        if self.table in SHIPPED_TABLES:
            return self
        return self.model_copy(update={"table": str(folder / self.table)})

    def load(self, style: str | None = None) -> GradingTable:
        """The chosen table with the limits of `style`.

        Raises:
            InputError: the file is missing, no TOML, or a key or value is wrong; all problems are listed.
        """
        return load_grading(self.table).table(style)


def load_grading(table: str | Path) -> GradingFile:
    """Read a table of points: the name of a shipped one, or the path of a file.

    Raises:
        InputError: there is no such table, or the file is no TOML or has a wrong key or value; all problems are listed.
    """
    if str(table) in SHIPPED_TABLES:
        return load_toml(TABLES_FOLDER / f"{table}.toml", GradingFile)
    if not str(table).endswith(".toml"):
        raise InputError(_unknown(str(table)))
    return load_toml(Path(table), GradingFile)


def _unknown(table: str) -> str:
    return f"no table of points '{table}'; give {', '.join(SHIPPED_TABLES)}, or the path of a file, which ends in .toml"
