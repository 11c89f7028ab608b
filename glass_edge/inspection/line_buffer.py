"""The recent lines of a segment, addressed by web line.

Promises: one allocation for its whole life; a line stays readable until it was released; memory is bounded by the
capacity, whatever the block lengths.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class LineBuffer:
    """Lines [first_line, end_line) of a segment in one contiguous array.

    Args:
        capacity: most lines held at once.
        width_px: pixels of a line.
        channels: 1 or 3.
    """

    def __init__(self, capacity: int, width_px: int, channels: int) -> None:
        # Twice the capacity: lines are moved to the front only once in `capacity` lines.
        self._store = np.empty((2 * capacity, width_px, channels), np.uint8)
        self._capacity = capacity
        self._start = 0
        self._n = 0
        self.first_line = 0

    def clear(self, first_line: int) -> None:
        """Forget everything; the next line put in is `first_line`."""
        self._start = self._n = 0
        self.first_line = first_line

    @property
    def end_line(self) -> int:
        """Web line after the last one held."""
        return self.first_line + self._n

    @property
    def free(self) -> int:
        """Lines that can be put in now."""
        return self._capacity - self._n

    def put(self, lines: NDArray[np.uint8]) -> None:
        """Append lines uint8 (n, width, channels), n <= free."""
        n = lines.shape[0]
        if n > self.free:
            raise ValueError(f"{n} lines do not fit into {self.free} free ones")
        if self._start + self._n + n > self._store.shape[0]:
            self._store[: self._n] = self._store[self._start : self._start + self._n]
            self._start = 0
        end = self._start + self._n
        self._store[end : end + n] = lines
        self._n += n

    def release_before(self, line: int) -> None:
        """Lines before `line` are no longer needed."""
        n = min(max(0, line - self.first_line), self._n)
        self._start += n
        self._n -= n
        self.first_line += n

    def held(self) -> NDArray[np.uint8]:
        """View of all lines held, (n, width, channels); valid until the next `put`."""
        return self._store[self._start : self._start + self._n]
