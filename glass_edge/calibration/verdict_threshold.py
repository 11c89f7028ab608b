"""Another threshold from persons' verdicts, with its price.

Promises: a defect is reported where its highest score reaches the threshold, so what a higher one would no longer
report is counted, not estimated; what holds for cloth to come is said with exact bounds; a lower threshold is never
proposed: of what it would find nobody judged anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from glass_edge.calibration.binomial import clopper_pearson
from glass_edge.errors import InputError

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class ThresholdPrice:
    """What a threshold would have done to the judged defects.

    Attributes:
        logit: the threshold.
        false_left, false_all: false alarms that would still be reported, and all.
        real_missed, real_all: real defects that would not, and all.
        miss_low, miss_high: part of such real defects that is missed, 95 % interval; 0 and 1 without any.
    """

    logit: float
    false_left: int
    false_all: int
    real_missed: int
    real_all: int
    miss_low: float
    miss_high: float


def price(logit: float, false_peaks: Sequence[float], real_peaks: Sequence[float]) -> ThresholdPrice:
    """What the threshold `logit` would have done to defects with these highest scores."""
    false_left = int(np.count_nonzero(np.asarray(false_peaks) >= logit))
    missed = int(np.count_nonzero(np.asarray(real_peaks) < logit))
    low, high = clopper_pearson(missed, len(real_peaks), CONFIDENCE) if len(real_peaks) else (0.0, 1.0)
    return ThresholdPrice(logit, false_left, len(false_peaks), missed, len(real_peaks), low, high)


def steps(present: float, false_peaks: Sequence[float], real_peaks: Sequence[float]) -> list[ThresholdPrice]:
    """The thresholds worth looking at, ascending: the present one, and one just above each false alarm's peak."""
    above = [float(np.nextafter(np.float32(peak), np.float32(np.inf))) for peak in sorted(set(false_peaks))]
    return [price(logit, false_peaks, real_peaks) for logit in [present, *(one for one in above if one > present)]]


def propose(
    present: float, false_peaks: Sequence[float], real_peaks: Sequence[float], *, most_missed: float
) -> ThresholdPrice:
    """The lowest threshold with the fewest false alarms of those that miss at most `most_missed` of the real defects.

    Args:
        present: the threshold that decides now.
        false_peaks, real_peaks: highest logits of the defects judged so; all are at `present` or above.
        most_missed: part of the real defects judged that may be missed, 0 to 1.

    Raises:
        InputError: nothing was judged false, or no real defect says what a higher threshold costs.
    """
    if not false_peaks:
        raise InputError("no defect was judged false: there is nothing a higher threshold would be for")
    if not real_peaks:
        raise InputError("no defect was judged real: what a higher threshold would cost is not known; judge some")
    allowed = [one for one in steps(present, false_peaks, real_peaks) if one.real_missed <= most_missed * one.real_all]
    if not allowed:  # real defects below the present threshold, which a changed bundle could have left behind
        raise InputError(
            f"the present threshold {present:g} already misses more of the judged real defects than allowed"
        )
    return min(allowed, key=lambda one: (one.false_left, one.logit))
