"""The rules of a station by which the loom should stop, and what they decide.

Promises: a rule that is None or False is off; a decision carries its cause in words, with the figures.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from glass_edge.fabric.stop_rule_period import PeriodRule


class StopCause(StrEnum):
    """Why the loom should stop; when several apply at once, the first of these is asked about."""

    HOLE = "hole"
    RUNNING = "running"
    PERIODIC = "periodic"
    REPEAT = "repeat"
    DENSE = "dense"


@dataclass(frozen=True, slots=True)
class DenseRule:
    """`defects` defects within `within_mm` of cloth, wherever across."""

    defects: int
    within_mm: float


@dataclass(frozen=True, slots=True)
class RepeatRule:
    """`defects` defects within `within_mm` of cloth and `across_tolerance_mm` of the newest one across.

    Wider defects than `widest_mm` are left out: the middle of a full-width weft fault is always in the middle.
    """

    defects: int
    across_tolerance_mm: float
    within_mm: float
    widest_mm: float


@dataclass(frozen=True, slots=True)
class StopRules:
    """The rules of a station; None or False: that rule is off.

    Attributes:
        min_interval_s: shortest time between two requests, s.
        min_interval_mm: least cloth between two requests, mm.
        hole: a hole.
        running_above_mm: a warp line or running defect longer than this that is still open.
        dense, repeat, periodic: several ended defects together.
    """

    min_interval_s: float
    min_interval_mm: float
    hole: bool = False
    running_above_mm: float | None = None
    dense: DenseRule | None = None
    repeat: RepeatRule | None = None
    periodic: PeriodRule | None = None

    @property
    def look_back_mm(self) -> float:
        """Cloth whose ended defects matter, mm."""
        return max((rule.within_mm for rule in (self.dense, self.repeat, self.periodic) if rule), default=0.0)


@dataclass(frozen=True, slots=True)
class StopDecision:
    """The loom should stop.

    Attributes:
        cause: the rule.
        reason: for the weaver, with the figures.
        defect_id: the defect that decided.
        along_mm: its start along the roll, mm.
        across_mm: its middle across, mm from the left selvedge.
        defect_ids: all defects that count, by their place.
        period_mm: spacing of a periodic cause, mm; None for others.
    """

    cause: StopCause
    reason: str
    defect_id: int
    along_mm: float
    across_mm: float
    defect_ids: tuple[int, ...]
    period_mm: float | None = None
