"""The selvedges followed along a segment, on the side of the lines.

Promises: the cloth is looked for at fixed lines of the segment (every `every_lines`, in the last `seen_lines` before
it), so what is found is a function of the cloth alone, whatever the blocks it arrives in; a border moves no faster than
`SelvedgeTracker` lets it.
"""

from __future__ import annotations

from collections import deque

import numpy as np

from glass_edge.calibration.selvedge_tracker import SelvedgeTracker
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.inspection.messages import LinesSeen
from glass_edge.inspection.parameters import SpanFinder

SEEN_LINES = 128
_LOST_LOOKS = 4


class SelvedgeFollower:
    """Follows the cloth of one segment after the other; used by the inference thread.

    Args:
        find: finds the cloth in lines.
        every_lines: lines from one look to the next.
        seen_lines: lines that are looked at, at most `every_lines`.
    """

    def __init__(self, find: SpanFinder, every_lines: int, seen_lines: int = SEEN_LINES) -> None:
        self._tracker = SelvedgeTracker(find)
        self._every = every_lines
        self._n_seen = min(seen_lines, every_lines)
        self._pieces: deque[LinesSeen] = deque()
        self._look_line = 0
        self._cloth = ClothSpan(0, 1)

    def begin(self, first_line: int, cloth: ClothSpan) -> None:
        """A segment starts at web line `first_line` with its cloth at `cloth`."""
        self._pieces.clear()
        self._tracker.start(cloth)
        self._cloth = cloth
        self._look_line = first_line + self._every

    def lines_to_look(self, line: int) -> int:
        """Lines from `line` to the next look."""
        return self._look_line - line

    @property
    def is_lost(self) -> bool:
        """No cloth was seen several looks in a row."""
        return self._tracker.blocks_without_cloth_in_a_row >= _LOST_LOOKS

    def see(self, piece: LinesSeen) -> ClothSpan | None:
        """Take lines that follow those before and reach to the next look at most; the new span if the cloth moved."""
        end_line = piece.first_line + len(piece.lines)
        if end_line > self._look_line - self._n_seen:
            self._pieces.append(piece)
        if end_line < self._look_line:
            return None
        seen = np.concatenate([held.lines for held in self._pieces])[-self._n_seen :]
        self._pieces.clear()
        self._look_line += self._every
        moved = self._tracker.update(seen, self._every)
        if moved == self._cloth:
            return None
        self._cloth = moved
        return moved
