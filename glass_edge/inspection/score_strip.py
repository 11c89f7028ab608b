"""Scores of a stretch of web, as they leave the engine and the smoother.

Promises: strips of a segment follow each other line by line; together with the edge and the failed lines they hold
every line of it exactly once.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ScoreStrip:
    """Logits of consecutive lines.

    Attributes:
        first_line: web line at which row 0 starts.
        end_line: web line after the last one; the last row of a segment may cover fewer lines than the stride.
        stride_px: pixels of a score cell, both ways.
        first_cell: column 0 covers image columns from first_cell * stride_px.
        logits: float32 (rows, cells).
    """

    first_line: int
    end_line: int
    stride_px: int
    first_cell: int
    logits: NDArray[np.float32]

    def __post_init__(self) -> None:
        rows = -(-(self.end_line - self.first_line) // self.stride_px)
        if self.logits.ndim != 2 or self.logits.shape[0] != rows:
            raise ValueError(
                f"lines {self.first_line} to {self.end_line} at stride {self.stride_px} are {rows} rows of scores, "
                f"not an array of shape {self.logits.shape}"
            )

    @property
    def n_lines(self) -> int:
        """Camera lines covered."""
        return self.end_line - self.first_line

    def rows(self, first: int, end: int) -> ScoreStrip:
        """Rows [first, end), at least one; the strip's last row ends where the strip does."""
        end_line = self.end_line if end == self.logits.shape[0] else self.first_line + end * self.stride_px
        first_line = self.first_line + first * self.stride_px
        return ScoreStrip(first_line, end_line, self.stride_px, self.first_cell, self.logits[first:end])


@dataclass(frozen=True, slots=True)
class EdgeLines:
    """Lines [first_line, end_line) at the start or the end of a segment, too near to unseen cloth to be scored."""

    first_line: int
    end_line: int


@dataclass(frozen=True, slots=True)
class FailedLines:
    """Lines [first_line, end_line) that the engine could not score, and why."""

    first_line: int
    end_line: int
    error: Exception
