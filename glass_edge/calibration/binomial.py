"""What hits of trials say about a probability.

Promises: intervals and bounds are exact, for any counts (Clopper and Pearson, "The use of confidence or fiducial limits
illustrated in the case of the binomial", Biometrika 26, 1934).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from glass_edge.errors import InputError

_MOST_TRIALS = 100_000


def clopper_pearson(hits: int, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a probability.

    Raises:
        InputError: counts or confidence are impossible.
    """
    if not 0 <= hits <= trials or not 0 < trials <= _MOST_TRIALS:
        raise InputError(f"{hits} hits of {trials}: 1 to {_MOST_TRIALS} trials are needed, and no more hits than that")
    if not 0 < confidence < 1:
        raise InputError(f"confidence {confidence:g}: between 0 and 1 is needed")
    tail = (1 - confidence) / 2
    low = 0.0 if hits == 0 else 1 - _where(lambda miss: _at_most(trials - hits, trials, miss), tail)
    high = 1.0 if hits == trials else _where(lambda hit: _at_most(hits, trials, hit), tail)
    return low, high


def at_least(hits: int, trials: int, confidence: float = 0.95) -> float:
    """Lower bound that the probability is above with this confidence: 29 of 29 show 0.902, 59 of 59 show 0.950.

    Raises:
        InputError: as `clopper_pearson`.
    """
    return clopper_pearson(hits, trials, 2 * confidence - 1)[0]


def trials_needed(probability: float, misses: int = 0, confidence: float = 0.95) -> int:
    """Least number of trials that, with so many misses, still show `probability`.

    Raises:
        InputError: more than any strip has.
    """
    low, high = misses, misses + 1
    while at_least(high - misses, high, confidence) < probability:
        low, high = high, 2 * high
        if high > _MOST_TRIALS:
            raise InputError(f"probability {probability:g} cannot be shown by {_MOST_TRIALS} trials; ask for less")
    while high - low > 1:
        middle = (low + high) // 2
        is_enough = at_least(middle - misses, middle, confidence) >= probability
        low, high = (low, middle) if is_enough else (middle, high)
    return high


def _where(falling: Callable[[float], float], value: float) -> float:
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if falling(middle) > value else (low, middle)
    return 0.5 * (low + high)


def _at_most(count: int, trials: int, probability: float) -> float:
    """Probability of `count` or fewer."""
    log_hit, log_miss = math.log(probability), math.log1p(-probability)
    total = math.lgamma(trials + 1)
    return math.fsum(
        math.exp(total - math.lgamma(k + 1) - math.lgamma(trials - k + 1) + k * log_hit + (trials - k) * log_miss)
        for k in range(count + 1)
    )
