"""The first lines of a segment, in which the selvedges are looked for.

Promises: the search sees exactly the first `span_lines` lines (all of a shorter segment), whatever the blocks they came
in; when no cloth is found in them they are given up as one gap and the search goes on behind them.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.inspection.borders import reflect_101
from glass_edge.inspection.coverage import GapReason
from glass_edge.inspection.messages import LinesSeen, MissedLines
from glass_edge.inspection.parameters import SpanFinder

LEAST_LINES = 16
"""A finder is given no fewer lines; a shorter segment is continued by reflection."""
LEAST_WIDTH_PX = 32
"""Narrower lines show no selvedge: columns have to be given."""


def require_findable(width_px: int) -> None:
    """Raises InputError when camera lines of `width_px` are too narrow to look for selvedges in."""
    if width_px < LEAST_WIDTH_PX:
        raise InputError(
            f"camera lines of {width_px} px are too narrow to find the selvedges in ({LEAST_WIDTH_PX} px are the "
            f"least); set the cloth's columns: span = {{ left_px = 0, right_px = {width_px} }}"
        )


class SegmentHead:
    """Lines waiting for their segment to start.

    Args:
        cloth: fixed span of the cloth (no lines need to wait then), or the function that finds it.
        span_lines: lines in which it looks.
    """

    def __init__(self, cloth: ClothSpan | SpanFinder, span_lines: int) -> None:
        self._cloth = cloth
        self._span_lines = span_lines
        self._pieces: deque[LinesSeen] = deque()
        self.n_lines = 0

    @property
    def first_line(self) -> int:
        """Web line of the first line waiting."""
        return self._pieces[0].first_line

    @property
    def line_shape(self) -> tuple[int, int]:
        """Width in pixels and channels of the lines waiting."""
        lines = self._pieces[0].lines
        return lines.shape[1], 1 if lines.ndim == 2 else lines.shape[2]

    def put(self, piece: LinesSeen) -> None:
        """Add lines that follow the ones before."""
        self._pieces.append(piece)
        self.n_lines += len(piece.lines)

    def is_enough(self) -> bool:
        """True when the search can be made."""
        return self.n_lines > 0 and (isinstance(self._cloth, ClothSpan) or self.n_lines >= self._span_lines)

    def find_cloth(self) -> ClothSpan | MissedLines:
        """Search; lines in which no cloth was found are removed and returned as missed.

        Raises:
            InputError: the lines are too narrow to look for selvedges in.
        """
        if isinstance(self._cloth, ClothSpan):
            return self._cloth
        require_findable(self.line_shape[0])
        n = min(self.n_lines, self._span_lines)
        first_line = self.first_line
        searched = np.concatenate([piece.lines for piece in self._pieces])[:n]
        if n < LEAST_LINES:
            searched = searched[reflect_101(np.arange(LEAST_LINES), n)]
        try:
            return self._cloth(searched)
        except GlassEdgeError as error:
            self._remove(n)
            return MissedLines(first_line, first_line + n, GapReason.NO_CLOTH_FOUND, str(error))

    def take_all(self) -> list[LinesSeen]:
        """Empty the head."""
        pieces = list(self._pieces)
        self._pieces.clear()
        self.n_lines = 0
        return pieces

    def _remove(self, n: int) -> None:
        self.n_lines -= n
        while n > 0:
            piece, rest = self._pieces.popleft().cut(n)
            if rest is not None:
                self._pieces.appendleft(rest)
            n -= len(piece.lines)
