"""The cloth's span followed while the web wanders.

Promises: the first update finds the span; after that each border moves by at most `most_px_per_line` times the lines
seen, towards the median of the last measurements, so that a torn edge, a stain or one wrong measurement moves nothing
for long. Blocks without visible cloth keep the span and are counted.

A web that wanders faster than the bound leaves some background inside the span until the border has followed: choose
the bound for the machine, and a margin that covers it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from statistics import median_low

import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.selvedge import find_cloth_span
from glass_edge.errors import GlassEdgeError
from glass_edge.fabric.geometry import ClothSpan


class SelvedgeTracker:
    """Follows both borders; used by one thread."""

    def __init__(
        self,
        find: Callable[[NDArray[np.uint8]], ClothSpan] = find_cloth_span,
        *,
        most_px_per_line: float = 0.05,
        memory: int = 5,
    ) -> None:
        """Start without a span.

        Args:
            find: finds the cloth in lines; raises a GlassEdgeError when there is none.
            most_px_per_line: fastest movement of a border that is followed, px a line.
            memory: measurements in the median.
        """
        self._find = find
        self._rate = most_px_per_line
        self._lefts: deque[int] = deque(maxlen=memory)
        self._rights: deque[int] = deque(maxlen=memory)
        self._left = self._right = 0.0
        self.blocks_without_cloth = 0
        self.blocks_without_cloth_in_a_row = 0

    def start(self, span: ClothSpan) -> None:
        """Begin anew with a span that is known."""
        self._lefts.clear()
        self._rights.clear()
        self._lefts.append(span.left_px)
        self._rights.append(span.right_px)
        self._left, self._right = float(span.left_px), float(span.right_px)
        self.blocks_without_cloth_in_a_row = 0

    def update(self, lines: NDArray[np.uint8], n_lines: int | None = None) -> ClothSpan:
        """Span after these lines, uint8 (16 or more, width[, 3]).

        Args:
            lines: the lines that are looked at.
            n_lines: lines since the last update, None: as many as are looked at.

        Raises:
            GlassEdgeError: no cloth was seen yet, neither here nor before.
        """
        try:
            found = self._find(lines)
        except GlassEdgeError:
            self.blocks_without_cloth += 1
            self.blocks_without_cloth_in_a_row += 1
            if not self._lefts:
                raise
            return self._span(lines.shape[1])
        self.blocks_without_cloth_in_a_row = 0
        if not self._lefts:
            self.start(found)
            return self._span(lines.shape[1])
        self._lefts.append(found.left_px)
        self._rights.append(found.right_px)
        step = self._rate * (lines.shape[0] if n_lines is None else n_lines)
        self._left += float(np.clip(median_low(self._lefts) - self._left, -step, step))
        self._right += float(np.clip(median_low(self._rights) - self._right, -step, step))
        return self._span(lines.shape[1])

    def _span(self, width_px: int) -> ClothSpan:
        return ClothSpan(int(np.ceil(self._left)), min(width_px, int(np.floor(self._right))))
