"""A strip with known marks against what a station reported while it passed.

Promises: the strip may lie anywhere along and across the web, upright; each defect counts for one mark and each mark
for one defect; among all places of the strip the one with most marks found is taken, and where so many other defects
lie beside it that marks could be found by chance, it shows nothing. What is shown is exact (see `binomial`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.binomial import at_least, trials_needed
from glass_edge.config.challenge import StripSettings
from glass_edge.errors import InputError

CONFIDENCE = 0.95
MOST_REPORTS = 300
_MOST_CHANCE = 0.02

Places = NDArray[np.float64]
"""(n, 2): along_mm, across_mm."""
Pairs = list[tuple[int, int]]
"""Numbers of a mark and of the place it was found at."""


@dataclass(frozen=True, slots=True)
class ChallengeResult:
    """What a challenge showed.

    Attributes:
        shown: marks that passed.
        found: of these.
        missed: the numbers of the others, from 0 in the order of the file.
        extra: defects reported meanwhile that belong to no mark.
        by_chance: probability that a mark is found though the station does not see it, from the extra ones beside it.
        detection_low: part of such marks that the station finds at least, with 95 % confidence.
        wanted: what must be shown.
        offset_mm: where the strip's origin lay (along, across); None when nothing was found.
    """

    shown: int
    found: int
    missed: tuple[int, ...]
    extra: int
    by_chance: float
    detection_low: float
    wanted: float
    offset_mm: tuple[float, float] | None

    @property
    def is_clear(self) -> bool:
        """Few enough other defects lie beside the strip."""
        return self.by_chance <= _MOST_CHANCE

    @property
    def is_passed(self) -> bool:
        """The strip shows the detection that is wanted."""
        return self.is_clear and self.detection_low >= self.wanted


def judge(strip: StripSettings, reported: Sequence[tuple[float, float]]) -> ChallengeResult:
    """Compare a strip with the places (along_mm, across_mm) of the defects reported while it passed.

    Raises:
        InputError: so many defects were reported that nothing can be told.
    """
    if len(reported) > MOST_REPORTS:
        raise InputError(
            f"{len(reported)} defects were reported while the strip passed, and {MOST_REPORTS} can be told apart; lead"
            " it past on clean cloth"
        )
    marks = np.array([(mark.along_mm, mark.across_mm) for mark in strip.marks], np.float64)
    places = np.array(reported, np.float64).reshape(-1, 2)
    offset, pairs = _best_place(marks, places, strip.reach_mm)
    hit = {mark for mark, _ in pairs}
    others = np.delete(places, [place for _, place in pairs], axis=0)
    return ChallengeResult(
        shown=len(marks),
        found=len(hit),
        missed=tuple(number for number in range(len(marks)) if number not in hit),
        extra=len(others),
        by_chance=0.0 if offset is None else _by_chance(marks + offset, others, strip.reach_mm),
        detection_low=at_least(len(hit), len(marks), CONFIDENCE),
        wanted=strip.at_least,
        offset_mm=offset,
    )


def marks_needed(strip: StripSettings) -> int:
    """Marks that must pass, all found, to show what the strip asks for."""
    return trials_needed(strip.at_least, confidence=CONFIDENCE)


def _best_place(marks: Places, places: Places, reach_mm: float) -> tuple[tuple[float, float] | None, Pairs]:
    """Offset at which most marks are found, the nearest in sum among equals, and the pairs there."""
    best: tuple[int, float] = (0, 0.0)
    offset: tuple[float, float] | None = None
    pairs: Pairs = []
    for candidate in (places[None] - marks[:, None]).reshape(-1, 2):
        distances = np.hypot(*(places[None] - (marks + candidate)[:, None]).transpose(2, 0, 1))
        if np.count_nonzero(distances.min(axis=1) <= reach_mm) < best[0]:
            continue
        found = _pairs(distances, reach_mm)
        score = (len(found), -sum(float(distances[pair]) for pair in found))
        if offset is None or score > best:
            best, offset, pairs = score, (float(candidate[0]), float(candidate[1])), found
    return offset, pairs


def _pairs(distances: Places, reach_mm: float) -> Pairs:
    """Marks (rows) and places (columns) that belong together: the nearest first, each once."""
    within = np.argwhere(distances <= reach_mm)
    order = np.argsort(distances[within[:, 0], within[:, 1]], kind="stable")
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for mark, place in within[order].tolist():
        if mark not in pairs and place not in taken:
            pairs[mark] = place
            taken.add(place)
    return list(pairs.items())


def _by_chance(marks: Places, others: Places, reach_mm: float) -> float:
    low, high = marks.min(axis=0) - reach_mm, marks.max(axis=0) + reach_mm
    inside = np.count_nonzero(np.all((others >= low) & (others <= high), axis=1))
    return 1 - math.exp(-inside * math.pi * reach_mm**2 / float(np.prod(high - low)))
