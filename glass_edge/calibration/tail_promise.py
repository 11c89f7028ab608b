"""A threshold with a promised rate of false alarms, from good cloth.

Promises: what is promised is the upper end of the 95 % interval of the rate, not the estimate: the threshold is the
lowest at which that end is no more than what was asked; a rate that the metres cannot carry is refused with the metres
that would; the tail is never followed further than `MOST_BEYOND` times the metres seen.

Two ways, the better first. *Tail*: a Poisson process with generalised Pareto sizes above a level (`tail_fit`), its rate
times the alarms that one exceedance brings. *Largest block*: without a tail, the largest of n independent blocks is
exceeded by a new one with a probability of at most 1 - 0.025^(1/n), about 3.7 / n (Wilks, Annals of Mathematical
Statistics 12, 1941): 3.7 alarms in the metres seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from glass_edge.calibration.tail_blocks import AlarmCounter, BlockMaxima, Clustering, clustering
from glass_edge.calibration.tail_fit import CONFIDENCE, TailFit, TailRegion, tail_region
from glass_edge.calibration.tail_level import LEAST_EXCEEDING, SHARES, Level, choose_level
from glass_edge.errors import InputError

MOST_BEYOND = 10.0
"""One alarm in so many times the metres seen is the rarest that a tail is trusted with."""
LEAST_EFFECTIVE = 15.0
"""Exceedances by their dispersion: with fewer, where rolls or stretches differ much, the tail can be anything."""
_OF_NONE = -math.log((1 - CONFIDENCE) / 2)
"""Upper limit of a Poisson mean when nothing was seen: 3.69."""


@dataclass(frozen=True, slots=True)
class FittedTail:
    """Everything that is known of the tail: rates and their limits at any threshold from the level up."""

    level: Level
    region: TailRegion
    clusters: Clustering
    alarms_per_exceedance: float

    @property
    def effective(self) -> float:
        """As many independent exceedances the data are worth."""
        return self.clusters.exceeding / self.clusters.dispersion

    @property
    def fit(self) -> TailFit:
        """The most likely tail."""
        return self.level.fit

    def per_100m(self, logit: float) -> tuple[float, float, float]:
        """Estimate and limits of the rate at a threshold, announced defects in 100 m."""
        factor = 100.0 * self.alarms_per_exceedance
        low, high = self.region.interval_at(logit)
        return factor * float(self.fit.rate_at(logit)), factor * low, factor * high

    def threshold_for(self, rate_per_100m: float) -> float:
        """The lowest threshold whose upper limit is no more than the rate.

        Raises:
            InputError: the limit is below it at the level already.
        """
        at_level = self.per_100m(self.fit.level_logit)[2]
        if at_level <= rate_per_100m:
            raise InputError(
                f"{rate_per_100m:g} false alarms in 100 m is more than good cloth gives above the level of the tail "
                f"(at most {at_level:.3g}); ask for less, or take shorter blocks (--block-m)"
            )
        return self._where(lambda logit: self.per_100m(logit)[2], rate_per_100m)

    def threshold_by_estimate(self, rate_per_100m: float) -> float:
        """Where the estimate is the rate: what is not promised; the level where it is no more even there."""
        return self._where(lambda logit: self.per_100m(logit)[0], rate_per_100m)

    def _where(self, falling: Callable[[float], float], rate: float) -> float:
        low, step = self.fit.level_logit, self.fit.scale
        while falling(low + step) > rate:
            low, step = low + step, 2 * step
        high = low + step
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if falling(middle) > rate else (low, middle)
        return high


@dataclass(frozen=True, slots=True)
class Promise:
    """A threshold and what it promises. Rates are announced defects in 100 m of good cloth.

    Attributes:
        asked_per_100m: what was asked.
        threshold_logit: the threshold.
        estimate_per_100m: most likely rate at the threshold; None without a tail.
        low_per_100m, high_per_100m: its interval; the upper end is the promise.
        confidence: of the interval.
        method: "tail" or "largest block".
        block_rate_per_m: alarmed blocks a metre at the threshold, estimated (an upper limit without a tail).
        clusters: at the level of the tail (at the upper quarter of the blocks without one).
        alarms_per_exceedance: announced defects by exceedances.
        tail: None without one.
    """

    asked_per_100m: float
    threshold_logit: float
    estimate_per_100m: float | None
    low_per_100m: float
    high_per_100m: float
    confidence: float
    method: Literal["tail", "largest block"]
    block_rate_per_m: float
    clusters: Clustering
    alarms_per_exceedance: float
    tail: FittedTail | None


def fitted_tail(blocks: BlockMaxima, count_alarms: AlarmCounter) -> FittedTail | None:
    """The tail, or None where the blocks are too few or none fits."""
    level = choose_level(blocks)
    if level is None:
        return None
    clusters = clustering(blocks, level.fit.level_logit, count_alarms)
    upper = clustering(blocks, _half_of_those_above(blocks, level.fit.level_logit), count_alarms)
    factor = max(clusters.alarms_per_exceedance, upper.alarms_per_exceedance)  # high peaks may break up, or stand alone
    return FittedTail(level, tail_region(blocks, level.fit, clusters.dispersion), clusters, factor)


def promise(blocks: BlockMaxima, asked_per_100m: float, count_alarms: AlarmCounter) -> Promise:
    """The threshold for a rate of false alarms.

    Args:
        blocks: maxima of good cloth.
        asked_per_100m: most announced defects in 100 m of good cloth.
        count_alarms: counts announced defects of the same cloth at a threshold.

    Raises:
        InputError: the rate is no number above 0, or the cloth cannot carry it; the message says how many metres can.
    """
    if not (math.isfinite(asked_per_100m) and asked_per_100m > 0):
        raise InputError(f"{asked_per_100m:g} false alarms in 100 m: a number above 0 is needed")
    carried = 100.0 / (MOST_BEYOND * blocks.metres)
    tail = fitted_tail(blocks, count_alarms) if asked_per_100m >= carried * (1 - 1e-9) else None
    if tail is not None:
        _require_alike(blocks, tail)
        logit = tail.threshold_for(asked_per_100m)
        estimate, low, high = tail.per_100m(logit)
        rate = float(tail.fit.rate_at(logit))
        return Promise(
            asked_per_100m, logit, estimate, low, high, CONFIDENCE, "tail", rate, tail.clusters,
            tail.alarms_per_exceedance, tail,
        )  # fmt: skip
    return _from_largest(blocks, asked_per_100m, count_alarms)


def metres_needed(asked_per_100m: float, block_m: float) -> float:
    """Metres of good cloth that a tail needs for a rate, in blocks of `block_m` metres."""
    return max(100.0 / (MOST_BEYOND * asked_per_100m), math.ceil(LEAST_EXCEEDING / SHARES[0]) * block_m)


def _require_alike(blocks: BlockMaxima, tail: FittedTail) -> None:
    if tail.effective >= LEAST_EFFECTIVE:
        return
    more = math.ceil(10 * LEAST_EFFECTIVE / tail.effective) / 10
    rolls = f"{blocks.rolls} roll{'s' if blocks.rolls > 1 else ''}"
    raise InputError(
        f"rolls or stretches of this good cloth differ so much (dispersion {tail.clusters.dispersion:.3g}) that its "
        f"{tail.clusters.exceeding} exceedances count as {tail.effective:.1f}: {LEAST_EFFECTIVE:g} are the least for a "
        f"promise. Give about {more:g} times as much cloth, of other rolls too (it was {rolls} of "
        f"{blocks.metres:.4g} m); or, where one roll is unlike the others, look at it first"
    )


def _from_largest(blocks: BlockMaxima, asked_per_100m: float, count_alarms: AlarmCounter) -> Promise:
    quarter = float(np.quantile(blocks.maxima, 0.75, method="lower"))
    if quarter == blocks.maxima.max():
        quarter = float(np.nextafter(blocks.maxima.min(), -np.inf))
    clusters = clustering(blocks, quarter, count_alarms)
    factor = max(1.0, clusters.alarms_per_exceedance)
    rate_per_m = _OF_NONE * clusters.dispersion / blocks.metres
    high = 100.0 * factor * rate_per_m
    if high > asked_per_100m:
        raise InputError(_refusal(blocks, asked_per_100m, high))
    logit = float(np.nextafter(np.float32(blocks.maxima.max()), np.float32(np.inf)))
    return Promise(
        asked_per_100m, logit, None, 0.0, high, CONFIDENCE, "largest block", rate_per_m, clusters, factor, None
    )


def _refusal(blocks: BlockMaxima, asked: float, without_tail: float) -> str:
    metres, n = blocks.metres, blocks.maxima.size
    block_m = metres / n
    needed = metres_needed(asked, block_m)
    carried = 100.0 / (MOST_BEYOND * metres)
    few = n * SHARES[0] < LEAST_EXCEEDING
    if metres * (1 + 1e-9) < 100.0 / (MOST_BEYOND * asked):
        why = f"one alarm in {100 / asked:.4g} m is more than {MOST_BEYOND:g} times the {metres:.3g} m seen"
    elif few:
        why = f"{n} blocks are too few for a tail ({math.ceil(LEAST_EXCEEDING / SHARES[0])} are the least)"
    else:
        why = (
            "no level was found above which the block maxima have a generalised Pareto tail; look at the largest "
            "blocks: defects among the good cloth, or cloth of two kinds"
        )
        return (
            f"{asked:g} false alarms in 100 m cannot be promised from {metres:.3g} m of good cloth: {why}. Without a "
            f"tail {100 * _OF_NONE / asked:.0f} m would be needed, and this cloth carries {without_tail:.3g} in 100 m"
        )
    by_tail = "" if few else f" {_up(carried):g} in 100 m at best with a tail and"
    return (
        f"{asked:g} false alarms in 100 m cannot be promised from {metres:.3g} m of good cloth: {why}. Give "
        f"{needed:.3g} m or more. What was given carries{by_tail} {_up(without_tail):g} in 100 m without one"
    )


def _up(value: float) -> float:
    """Rounded up to two digits."""
    digits = 10.0 ** (math.floor(math.log10(value)) - 1)
    return math.ceil(value / digits - 1e-9) * digits


def _half_of_those_above(blocks: BlockMaxima, level_logit: float) -> float:
    above = blocks.maxima[blocks.maxima > level_logit]
    return float(np.quantile(above, 0.5, method="lower"))
