"""The account of the web: every line inspected or reported as not inspected.

Promises: stretches are booked in the order of the web without hole or overlap (anything else is refused at once), so
that lines inspected + lines missed are exactly the lines woven.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from glass_edge.fabric.roll import RollTotals, WidthFigures


class GapReason(StrEnum):
    """Why a stretch of cloth was not inspected."""

    CAMERA_GAP = "camera_gap"
    """The camera's line numbers jumped."""
    BAD_BLOCK = "bad_block"
    """A block of another width, type or channel count than the camera's, or with numbers that run backwards."""
    OVERRUN = "overrun"
    """The inspection could not keep up and the camera cannot wait."""
    ENGINE_ERROR = "engine_error"
    """The engine failed on the tiles of these lines."""
    NON_FINITE_SCORES = "non_finite_scores"
    """The engine gave scores that are no numbers."""
    NO_CLOTH_FOUND = "no_cloth_found"
    """No cloth was found across the camera line."""
    SEGMENT_EDGE = "segment_edge"
    """The first or last lines of a stretch of cloth: what they border on was not seen, so their scores mean nothing."""
    SHUTDOWN = "shutdown"
    """The lines were taken in but not scored when the inspection ended."""


@dataclass(frozen=True, slots=True)
class CoverageGap:
    """Lines [first_line, end_line) that were not inspected.

    Attributes:
        along_mm: start of the gap from the start of the roll, mm.
        length_mm: its length, mm.
        detail: what happened, in a sentence; may be empty.
    """

    first_line: int
    end_line: int
    reason: GapReason
    along_mm: float
    length_mm: float
    detail: str = ""


class CoverageLedger:
    """Books the lines of one roll.

    Args:
        first_line: web line at which the roll starts.
    """

    def __init__(self, first_line: int) -> None:
        self._first_line = first_line
        self._next_line = first_line
        self._inspected = 0
        self._missed = 0

    @property
    def next_line(self) -> int:
        """First line that was not booked yet."""
        return self._next_line

    @property
    def lines_inspected(self) -> int:
        """Lines booked as inspected."""
        return self._inspected

    @property
    def lines_missed(self) -> int:
        """Lines booked as not inspected."""
        return self._missed

    def inspected(self, first_line: int, end_line: int) -> None:
        """Book [first_line, end_line) as inspected."""
        self._inspected += self._advance(first_line, end_line)

    def missed(self, first_line: int, end_line: int) -> None:
        """Book [first_line, end_line) as not inspected."""
        self._missed += self._advance(first_line, end_line)

    def totals(self, defects: int, width: WidthFigures | None = None) -> RollTotals:
        """The sums so far."""
        return RollTotals(self._next_line - self._first_line, self._inspected, self._missed, defects, width)

    def _advance(self, first_line: int, end_line: int) -> int:
        if first_line != self._next_line or end_line <= first_line:
            raise RuntimeError(
                f"coverage: lines [{first_line}, {end_line}) booked where line {self._next_line} is the next"
            )
        self._next_line = end_line
        return end_line - first_line
