"""Roll changes asked for while the cloth runs.

Promises: a change asked for at a line takes effect at the first row of scores that begins at or after it; changes keep
their order; it may be asked for from any thread.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RollChange:
    """From `line` on the cloth belongs to the roll `roll_id`."""

    line: int
    roll_id: str


class RollChanges:
    """Changes that wait for their line."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[RollChange] = deque()

    def ask(self, change: RollChange) -> None:
        """Ask for a change; one behind a later line waits for that line."""
        with self._lock:
            if self._waiting and self._waiting[-1].line > change.line:
                change = RollChange(self._waiting[-1].line, change.roll_id)
            self._waiting.append(change)

    @property
    def next(self) -> RollChange | None:
        """The first that waits."""
        with self._lock:
            return self._waiting[0] if self._waiting else None

    @property
    def last_roll_id(self) -> str | None:
        """The roll that the last of them begins."""
        with self._lock:
            return self._waiting[-1].roll_id if self._waiting else None

    def take(self) -> RollChange:
        """The first that waits, which waits no more."""
        with self._lock:
            return self._waiting.popleft()


def cut_row(first_line: int, n_rows: int, stride_px: int, line: int) -> int:
    """Rows of a strip that begins at `first_line` that lie before `line`: 0 to `n_rows`."""
    return min(n_rows, max(0, -(-(line - first_line) // stride_px)))
