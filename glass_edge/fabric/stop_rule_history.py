"""Places of the last ended defects, for the rules that look at several.

Promises: memory is bounded by `MOST`; whatever the order in which defects end, they are kept by place; what was let go
is known as `kept_from_mm`.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from typing import NamedTuple

from glass_edge.fabric.fault import Fault

MOST = 1024
"""Most defects kept; the oldest are let go first."""


class Place(NamedTuple):
    """Where an ended defect is (its middle), ordered by its place along."""

    along_mm: float
    across_mm: float
    width_mm: float
    defect_id: int


class History:
    """Ended defects of the last `keep_mm` of cloth."""

    def __init__(self, keep_mm: float) -> None:
        self._keep_mm = keep_mm
        self._places: list[Place] = []
        self._kept_from_mm = 0.0

    @property
    def kept_from_mm(self) -> float:
        """Every defect beyond this place is kept, mm along."""
        return self._kept_from_mm

    def __len__(self) -> int:
        return len(self._places)

    def add(self, fault: Fault) -> Place | None:
        """Keep an ended defect; returns its place, or None when that is too far back already to be kept."""
        place = Place(fault.centre_along_mm, fault.centre_across_mm, fault.width_mm, fault.defect_id)
        if place.along_mm < self._kept_from_mm:
            return None
        insort(self._places, place)
        first = max(bisect_left(self._places, (self._places[-1].along_mm - self._keep_mm,)), len(self._places) - MOST)
        if first > 0:
            self._kept_from_mm = self._places[first - 1].along_mm
            del self._places[:first]
        return place if place >= self._places[0] else None

    def near(self, place: Place, tolerance_mm: float, widest_mm: float = float("inf")) -> list[Place]:
        """Defects at the same place across as `place`, itself included, by their place along."""
        return [
            other
            for other in self._places
            if abs(other.across_mm - place.across_mm) <= tolerance_mm and other.width_mm <= widest_mm
        ]

    def all(self) -> Sequence[Place]:
        """All that are kept, by their place along."""
        return self._places


def tightest(places: Sequence[Place], place: Place, count: int) -> Sequence[Place]:
    """The `count` consecutive places with `place` among them that lie closest together along; empty: too few."""
    index = bisect_left(places, place)
    starts = range(max(index - count + 1, 0), min(index, len(places) - count) + 1)
    if index == len(places) or places[index] != place or not starts:
        return ()
    start = min(starts, key=lambda first: places[first + count - 1].along_mm - places[first].along_mm)
    return places[start : start + count]
