"""What has been asked for already: places where defects go on, and the limits between two requests.

Promises: a place stays open as long as its defects go on, and is closed a stretch of cloth after the last of them;
memory is bounded by `MOST_OPEN`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from glass_edge.fabric.stop_rule_history import Place

MOST_OPEN = 64
"""Most places remembered; the one that was opened first is let go first."""


@dataclass(slots=True)
class _Open:
    cause: str
    across_mm: float
    until_mm: float


class OpenPatterns:
    """Places across where several defects caused a request.

    Args:
        keep_mm: cloth without a further defect of the kind after which the cause is over, mm.
    """

    def __init__(self, keep_mm: float) -> None:
        self._keep_mm = keep_mm
        self._open: list[_Open] = []

    def __len__(self) -> int:
        return len(self._open)

    def open(self, cause: str, place: Place) -> None:
        """A request was made for this cause at this place."""
        self._open.append(_Open(cause, place.across_mm, place.along_mm + self._keep_mm))
        del self._open[:-MOST_OPEN]

    def is_open(self, causes: Collection[str], place: Place, tolerance_mm: float) -> bool:
        """Whether one of `causes` was asked for at this place and goes on with the defect there, which it then does."""
        found = False
        for pattern in self._open:
            # Members of one pattern lie within the tolerance of its newest, so two newest within twice of each other.
            if pattern.cause in causes and abs(pattern.across_mm - place.across_mm) <= 2 * tolerance_mm:
                pattern.across_mm = place.across_mm
                pattern.until_mm = max(pattern.until_mm, place.along_mm + self._keep_mm)
                found = True
        return found

    def forget(self, along_mm: float) -> None:
        """Close what did not go on up to this place along, mm."""
        self._open = [pattern for pattern in self._open if pattern.until_mm >= along_mm]


class RateLimit:
    """At most one request in so much time and so much cloth, whichever takes longer.

    Args:
        min_interval_s: shortest time between two, s.
        min_interval_mm: least cloth between two, mm.
    """

    def __init__(self, min_interval_s: float, min_interval_mm: float) -> None:
        self._min_interval_s = min_interval_s
        self._min_interval_mm = min_interval_mm
        self._last: tuple[float, float] | None = None

    def allows(self, roll_mm: float, now_s: float) -> bool:
        """Whether a request may be made now."""
        if self._last is None:
            return True
        last_mm, last_s = self._last
        return now_s - last_s >= self._min_interval_s and roll_mm - last_mm >= self._min_interval_mm

    def note(self, roll_mm: float, now_s: float) -> None:
        """A request is made now."""
        self._last = (roll_mm, now_s)

    def shift(self, by_mm: float) -> None:
        """Count metres from another start."""
        if self._last is not None:
            self._last = (self._last[0] + by_mm, self._last[1])
