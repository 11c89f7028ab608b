"""The rate of alarms that was seen beside the rate that was promised.

Promises: the interval is exact for any count (Garwood, "Fiducial limits for the Poisson distribution", Biometrika 28,
1936) and assumes alarms that come independently; what the count cannot tell is not claimed: on cloth in production an
alarm may be a real defect, so without a person's verdict the rate is an upper bound of that of false ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from glass_edge.errors import InputError

CONFIDENCE = 0.95
MOST_ALARMS = 100_000


class Verdict(StrEnum):
    """How a promised rate stands against what was seen."""

    KEPT = "kept"
    """The whole interval is at or below the promise."""
    COMPATIBLE = "compatible"
    """The promise lies in the interval: more metres would tell."""
    EXCEEDED = "exceeded"
    """The whole interval is above the promise."""


@dataclass(frozen=True, slots=True)
class AlarmRate:
    """Alarms over a length of cloth; rates in 100 m.

    Attributes:
        alarms: announced defects that were counted.
        metres: cloth inspected.
        per_100m: their rate.
        low_per_100m, high_per_100m: its interval.
        are_false: every alarm counted was called false by a person, or the cloth is known to be good.
    """

    alarms: int
    metres: float
    per_100m: float
    low_per_100m: float
    high_per_100m: float
    are_false: bool = False

    def verdict(self, promised_per_100m: float) -> Verdict:
        """Whether the rate is compatible with at most `promised_per_100m`."""
        if self.high_per_100m <= promised_per_100m:
            return Verdict.KEPT
        return Verdict.COMPATIBLE if self.low_per_100m <= promised_per_100m else Verdict.EXCEEDED

    def describe(self, promised_per_100m: float) -> str:
        """A sentence, like `promised 0.5, observed 3 in 1000 m: 0.3 (0.06 to 0.88) in 100 m: compatible`."""
        verdict = self.verdict(promised_per_100m)
        text = (
            f"promised {promised_per_100m:g}, observed {self.alarms} in {self.metres:.4g} m: {self.per_100m:.2g} "
            f"({self.low_per_100m:.2g} to {self.high_per_100m:.2g}) in 100 m: {verdict}"
        )
        if self.are_false or verdict is Verdict.KEPT:
            return text
        return f"{text}; real defects are counted too, so false alarms may be fewer"


def alarm_rate(alarms: int, metres: float, *, are_false: bool = False, confidence: float = CONFIDENCE) -> AlarmRate:
    """The rate of a count.

    Args:
        alarms: announced defects, those that merged into others counted once; with verdicts, only the false ones.
        metres: cloth inspected, above 0; with verdicts, only cloth whose every alarm has one.
        are_false: see `AlarmRate`.
        confidence: of the two-sided interval, between 0 and 1.

    Raises:
        InputError: a negative count, no length, or no confidence.
    """
    if alarms < 0:
        raise InputError(f"{alarms} alarms: a count from 0 is needed")
    if not (math.isfinite(metres) and metres > 0):
        raise InputError(f"{metres:g} m of cloth: a length above 0 is needed")
    low, high = poisson_interval(alarms, confidence)
    factor = 100.0 / metres
    return AlarmRate(alarms, metres, factor * alarms, factor * low, factor * high, are_false)


def poisson_interval(count: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact two-sided limits of a Poisson mean from a count of it.

    The lower limit is the mean under which so many or more have half the error probability, the upper that under
    which so many or fewer have it.

    Raises:
        InputError: a count below 0 or above 100000, or a confidence outside of 0 to 1.
    """
    if not 0 <= count <= MOST_ALARMS:
        raise InputError(f"a count of {count}: 0 to {MOST_ALARMS} is needed")
    if not 0 < confidence < 1:
        raise InputError(f"confidence {confidence:g}: between 0 and 1 is needed")
    tail = (1 - confidence) / 2
    low = 0.0 if count == 0 else _where(lambda mean: _at_most(count - 1, mean), 1 - tail, count)
    return low, _where(lambda mean: _at_most(count, mean), tail, count)


def _where(falling: Callable[[float], float], value: float, near: int) -> float:
    """The mean at which a falling probability is `value`."""
    low, high = 0.0, near + 4.0
    while falling(high) > value:
        low, high = high, 2 * high
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if falling(middle) > value else (low, middle)
    return (low + high) / 2


def _at_most(count: int, mean: float) -> float:
    """Probability of `count` or fewer at a Poisson mean: its terms summed from the last one down."""
    if mean == 0:
        return 1.0
    term = math.exp(count * math.log(mean) - mean - math.lgamma(count + 1))
    if count > mean:  # the terms above are fewer: sum them instead
        total, k = 0.0, count + 1
        term *= mean / k
        while term > 1e-17 * (total or 1e-300) and term > 0:
            total += term
            k += 1
            term *= mean / k
        return 1.0 - total
    total = 0.0
    for k in range(count, -1, -1):
        total += term
        if term < 1e-17 * total:
            break
        term *= k / mean
    return total
