"""What the threads of the inspection hand to each other, in the order of the web.

Promises: immutable values; each queue ends with exactly one end message, whatever happened before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.camera import LineBlock
from glass_edge.inspection.cloth_place import ClothPlace
from glass_edge.inspection.coverage import GapReason
from glass_edge.inspection.parameters import ActiveEngine
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import Fault, Segment


@dataclass(frozen=True, slots=True)
class MissedLines:
    """Lines [first_line, end_line) that will not be inspected."""

    first_line: int
    end_line: int
    reason: GapReason
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Arrival:
    """Camera thread to inference thread: a block, and before it what was missed since the block before.

    `block` is None in the last arrival of a run (`is_end`), and where a camera tells of faults while no lines come.
    """

    block: LineBlock | None
    missed: tuple[MissedLines, ...] = ()
    faults: tuple[Fault, ...] = ()
    is_end: bool = False


@dataclass(frozen=True, slots=True)
class SegmentStart:
    """A segment begins; `first_cell` is the score cell of its strips' column 0, `width_px` that of a line."""

    segment: Segment
    first_cell: int
    width_px: int


@dataclass(frozen=True, slots=True)
class EngineTakesOver:
    """All scores before `line` have come, and those from it on are another engine's.

    Attributes:
        line: the line.
        engine: what decides from there on.
        ends_roll: a roll begins there.
        start: of its strips where the stretch of cloth goes on; None: the next one comes with its own.
        places: where that cloth lies from the line on; none without `start`.
    """

    line: int
    engine: ActiveEngine
    ends_roll: bool
    start: SegmentStart | None = None
    places: tuple[ClothPlace, ...] = ()


@dataclass(frozen=True, slots=True)
class ClothMoved:
    """The cloth of the open segment lies elsewhere from a line on whose scores are still to come."""

    place: ClothPlace


@dataclass(frozen=True, slots=True)
class SegmentEnd:
    """No more scores of the segment will come."""


@dataclass(frozen=True, slots=True)
class LinesSeen:
    """Lines that are being scored, for pictures and for timing."""

    first_line: int
    lines: NDArray[np.uint8]
    received_monotonic_s: float

    def cut(self, n: int) -> tuple[LinesSeen, LinesSeen | None]:
        """The first `n` lines, and the rest if there is one."""
        if len(self.lines) <= n:
            return self, None
        rest = LinesSeen(self.first_line + n, self.lines[n:], self.received_monotonic_s)
        return LinesSeen(self.first_line, self.lines[:n], self.received_monotonic_s), rest


@dataclass(frozen=True, slots=True)
class EndOfRun:
    """The last message of the inference thread."""


ForDefects = (
    SegmentStart | EngineTakesOver | ClothMoved | SegmentEnd | LinesSeen | ScoreStrip | MissedLines | Fault | EndOfRun
)
"""Messages of the inference thread to the defects thread."""
