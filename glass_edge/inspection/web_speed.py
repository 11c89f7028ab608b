"""How fast the web runs.

Promises: the mean over the last `window_s` seconds, 0 for a web that stands; memory is bounded by the reports in it.
"""

from __future__ import annotations

from collections import deque

_MIN_S = 1e-3


class WebSpeed:
    """Speed from a running count of lines.

    Args:
        mm_per_line: advance of the cloth between two lines, mm.
        window_s: time over which the speed is the mean, s.
    """

    def __init__(self, mm_per_line: float, window_s: float = 10.0) -> None:
        self._mm_per_line = mm_per_line
        self._window_s = window_s
        self._counts: deque[tuple[float, int]] = deque()

    def m_per_min(self, now_s: float, lines: int) -> float:
        """Speed at monotonic time `now_s` with `lines` lines since the start of the roll; 0 at the first call."""
        self._counts.append((now_s, lines))
        while len(self._counts) > 2 and now_s - self._counts[1][0] >= self._window_s:
            self._counts.popleft()
        begun_s, begun = self._counts[0]
        if now_s - begun_s < _MIN_S:
            return 0.0
        return (lines - begun) / (now_s - begun_s) * self._mm_per_line * 0.06
