"""Block maxima of good cloth, and how far neighbouring blocks depend on each other.

Promises: a block is a stretch of the whole inspected width; what several alarms at one spot, bad stretches and bad
rolls take from the worth of the data is one factor, `dispersion`, that is measured.

Exceeding blocks that follow each other within a stretch of cloth are one cluster (the runs method with a run of one
block; Smith and Weissman, "Estimating the extremal index", JRSS B 56, 1994). The extremal index is clusters by
exceeding blocks; independent blocks give 1 less the share of exceeding ones. The dispersion is variance by mean of the
alarms in single blocks, in four together and in whole rolls (the largest counts; 1 for a Poisson process).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import InputError

AlarmCounter = Callable[[float], NDArray[np.int64]]
"""Alarms that begin in each block, int64 (blocks,), when the threshold is the given logit: defects as announced."""


@dataclass(frozen=True, slots=True)
class BlockMaxima:
    """Blocks of good cloth in the order of the web.

    Attributes:
        maxima: float64 (blocks,), largest smoothed logit of each.
        lengths_m: float64 (blocks,), metres of cloth inspected in each.
        stretch: int64 (blocks,), number of the unbroken stretch of cloth a block lies in, never falling.
        roll: int64 (blocks,), number of its roll.

    Raises:
        InputError: no block, different lengths, or values that are no numbers.
    """

    maxima: NDArray[np.float64]
    lengths_m: NDArray[np.float64]
    stretch: NDArray[np.int64]
    roll: NDArray[np.int64]

    def __post_init__(self) -> None:
        shapes = {part.shape for part in (self.maxima, self.lengths_m, self.stretch, self.roll)}
        if len(shapes) != 1 or self.maxima.ndim != 1 or not self.maxima.size:
            raise InputError(f"blocks of shapes {shapes}: one row each, of the same length, is needed")
        if not np.isfinite(self.maxima).all() or not (self.lengths_m > 0).all():
            raise InputError("block maxima of good cloth that are no numbers, or blocks without length")

    @property
    def metres(self) -> float:
        """Metres of all blocks."""
        return float(self.lengths_m.sum())

    @property
    def rolls(self) -> int:
        """Different rolls."""
        return len(np.unique(self.roll))


@dataclass(frozen=True, slots=True)
class Clustering:
    """How the exceedances of a level cluster.

    Attributes:
        level_logit: the level.
        exceeding: blocks whose maximum is above it.
        clusters: runs of them.
        extremal_index: clusters by exceeding blocks.
        extremal_index_by_chance: what independent blocks would give.
        alarms: defects that would be announced at the level.
        alarms_per_exceedance: alarms by exceedances, those that hide behind another in their block allowed for.
        dispersion: how many times the variance of a rate exceeds that of independent exceedances, from 1.
    """

    level_logit: float
    exceeding: int
    clusters: int
    extremal_index: float
    extremal_index_by_chance: float
    alarms: int
    alarms_per_exceedance: float
    dispersion: float


def clustering(blocks: BlockMaxima, level_logit: float, count_alarms: AlarmCounter) -> Clustering:
    """Measure the clusters above a level.

    Raises:
        InputError: nothing is above the level.
    """
    above = blocks.maxima > level_logit
    exceeding = int(np.count_nonzero(above))
    if exceeding == 0:
        raise InputError(f"no block of good cloth is above logit {level_logit:g}")
    alarms = count_alarms(level_logit)
    n, total = above.size, max(1, int(alarms.sum()))
    exceedances = -n * np.log1p(-min(exceeding / n, 1 - 0.5 / n))
    index, by_chance = extremal_index(blocks, level_logit)
    groups = (np.arange(n), _fours(blocks.stretch), blocks.roll)
    variance_by_mean = max(_variance_by_mean(alarms, blocks.lengths_m, group) for group in groups)
    return Clustering(
        level_logit=level_logit,
        exceeding=exceeding,
        clusters=round(index * exceeding),
        extremal_index=index,
        extremal_index_by_chance=by_chance,
        alarms=total,
        alarms_per_exceedance=float(total / exceedances),
        dispersion=max(1.0, variance_by_mean * float(exceedances) / total),
    )


def _variance_by_mean(alarms: NDArray[np.int64], lengths_m: NDArray[np.float64], group: NDArray[np.int64]) -> float:
    """Of the alarms in each group of blocks, groups of different length allowed for; 1 where it cannot be told."""
    _, index = np.unique(group, return_inverse=True)
    found, metres = np.bincount(index, weights=alarms), np.bincount(index, weights=lengths_m)
    expected = metres * (alarms.sum() / metres.sum())
    if len(found) < 2 or not alarms.any():
        return 1.0
    return float(np.sum((found - expected) ** 2 / expected) / (len(found) - 1))


def _fours(stretch: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of the group of four neighbouring blocks that each block is in."""
    starts = np.flatnonzero(np.diff(stretch, prepend=stretch[0] - 1))
    within = np.arange(stretch.size) - np.repeat(starts, np.diff(np.append(starts, stretch.size)))
    return np.cumsum(within % 4 == 0)


def extremal_index(blocks: BlockMaxima, level_logit: float) -> tuple[float, float]:
    """Clusters by exceeding blocks, and what independent blocks would give; both 1 when nothing exceeds the level."""
    above = blocks.maxima > level_logit
    exceeding = max(1, int(np.count_nonzero(above)))
    neighbours = float(np.mean(blocks.stretch[1:] == blocks.stretch[:-1])) if above.size > 1 else 0.0
    index = float(np.count_nonzero(_first_of_clusters(above, blocks.stretch)) / exceeding) if above.any() else 1.0
    return index, 1.0 - neighbours * float(np.mean(above))


def _first_of_clusters(above: NDArray[np.bool_], stretch: NDArray[np.int64]) -> NDArray[np.bool_]:
    first = above.copy()
    first[1:] &= ~(above[:-1] & (stretch[1:] == stretch[:-1]))
    return first
