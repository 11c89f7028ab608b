"""Roll changes asked for while the cloth runs.

Promises: a change asked for at a line takes effect at the first row of scores that begins at or after it; changes keep
their order; it may be asked for from any thread.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class RollChange:
    """From `line` on the cloth belongs to the roll `roll_id`; with `has_engine` another engine decides from there on,
    and the inference says where that is.
    """

    line: int
    roll_id: str
    has_engine: bool = False


class RollChanges:
    """Changes that wait for their line."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[RollChange] = deque()

    def ask(self, change: RollChange) -> RollChange:
        """Ask for a change; one behind a later line waits for that line. Returns it with its line."""
        with self._lock:
            if self._waiting and self._waiting[-1].line > change.line:
                change = replace(change, line=self._waiting[-1].line)
            self._waiting.append(change)
        return change

    def engine_takes_over(self, line: int) -> None:
        """The engine of the first change that brings one decides from `line` on, and with it the roll begins."""
        with self._lock:
            for place, change in enumerate(self._waiting):
                if change.has_engine:
                    self._waiting[place] = RollChange(line, change.roll_id)
                    return

    @property
    def next(self) -> RollChange | None:
        """The first that waits; None where that one waits for its engine."""
        with self._lock:
            return self._waiting[0] if self._waiting and not self._waiting[0].has_engine else None

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
