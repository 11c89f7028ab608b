"""When the recent lines were received.

Promises: bounded memory; lines older than the last `capacity` blocks are not known any more.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque


class ReceiveTimes:
    """Remembers for each recent block its end and when it came.

    Args:
        capacity: blocks remembered.
    """

    def __init__(self, capacity: int = 4096) -> None:
        self._ends: deque[int] = deque(maxlen=capacity)
        self._times_s: deque[float] = deque(maxlen=capacity)
        self._forgotten_line: int | None = None  # lines before it belong to blocks no longer remembered

    def add(self, end_line: int, received_monotonic_s: float) -> None:
        """A block that ends before `end_line` came; blocks come in the order of the web."""
        if len(self._ends) == self._ends.maxlen:
            self._forgotten_line = self._ends[0]
        self._ends.append(end_line)
        self._times_s.append(received_monotonic_s)

    def of_line(self, line: int) -> float | None:
        """Monotonic time at which `line` was received; None when it is not known."""
        if self._forgotten_line is not None and line < self._forgotten_line:
            return None
        index = bisect_right(self._ends, line)
        return self._times_s[index] if index < len(self._ends) else None
