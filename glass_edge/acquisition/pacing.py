"""Playing lines at the rate a camera would take them.

Promises: without a rate lines are handed over as fast as they are read; with one, a block is complete no earlier than
its last line would have been taken. A reader that falls behind loses nothing and is not flooded afterwards: the clock
goes on from where it is.
"""

from __future__ import annotations

import time

from glass_edge.errors import InputError


def check_rate(line_rate_hz: float | None) -> None:
    """Refuse a line rate that no camera has.

    Raises:
        InputError: outside 1 Hz to 1 MHz.
    """
    if line_rate_hz is not None and not 1.0 <= line_rate_hz <= 1e6:
        raise InputError(f"line_rate_hz = {line_rate_hz:g} is impossible; give 1 to 1000000, or leave it out")


def check_block_lines(block_lines: int) -> None:
    """Refuse a block length that cannot be.

    Raises:
        InputError: outside 1 to 65536.
    """
    if not 1 <= block_lines <= 65536:
        raise InputError(f"block_lines = {block_lines} is impossible; give 1 to 65536")


class Pacer:
    """Clock of one camera, monotonic."""

    def __init__(self, line_rate_hz: float | None) -> None:
        check_rate(line_rate_hz)
        self._rate_hz = line_rate_hz
        self._due_s: float | None = None
        self._last_s = 0.0

    def wait(self, n_lines: int, deadline_s: float) -> bool:
        """Wait until the next `n_lines` are complete; False when `deadline_s` comes first (ask again then)."""
        if self._rate_hz is None:
            return True
        now = time.monotonic()
        if self._due_s is None:
            self._due_s = max(self._last_s, now) + n_lines / self._rate_hz
        if self._due_s > deadline_s:
            time.sleep(max(0.0, deadline_s - now))
            return False
        time.sleep(max(0.0, self._due_s - now))
        self._last_s, self._due_s = self._due_s, None
        return True
