"""Quantiles of a stream of numbers in bounded memory.

Promises: a quantile differs from that of all numbers by no more than 0.001 max(1, |x|), where x is its value; numbers
of 2 ** 20 and more either way, and NaN, are left out. Memory (240 KB) and the work a number do not depend on how many
came before; the order in which they come does not matter.

How: a histogram with 512 bins an octave, told apart by the leading bits of the float32 itself: the relative accuracy of
DDSketch (Masson, Rim and Lee, PVLDB 12, 2019) without a logarithm a number. Below 1/1024 all is zero.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_DROPPED_BITS = 14  # of 23 of the fraction: 9 are left, half a bin is 2 ** -10 of a number
_LOWEST = (127 - 10) << 9  # leading bits of 1/1024
_BINS = 30 << 9  # octaves up to 2 ** 20
_OF_A_SIGN = _BINS + 2  # one for zero, one for what is left out


class QuantileHistogram:
    """Counts numbers."""

    def __init__(self) -> None:
        # from the most negative to the greatest; the outermost two hold what is left out
        self._counts: NDArray[np.int64] = np.zeros(2 * _OF_A_SIGN, np.int64)

    @property
    def count(self) -> int:
        """Numbers counted."""
        return int(self._counts[1:-1].sum())

    def add(self, values: NDArray[np.float32]) -> None:
        """Count the numbers of a float32 array of any shape."""
        bits = np.ascontiguousarray(values, np.float32).ravel().view(np.int32)
        place = bits & 0x7FFFFFFF
        place >>= _DROPPED_BITS
        place -= _LOWEST - 1
        np.clip(place, 0, _BINS + 1, out=place)
        place ^= bits >> 31  # -1 - place where the number is negative
        place += _OF_A_SIGN
        self._counts += np.bincount(place, minlength=2 * _OF_A_SIGN)

    def merge(self, other: QuantileHistogram) -> None:
        """Count what another has counted, too."""
        self._counts += other._counts

    def quantile(self, share: float) -> float | None:
        """The least number that at least `share` of all, above 0 to 1, do not exceed; None when there is none."""
        total = self.count
        if total == 0:
            return None
        sums = np.cumsum(self._counts[1:-1])
        place = int(np.searchsorted(sums, max(1, math.ceil(share * total)))) + 1 - _OF_A_SIGN
        return _middle(place) if place >= 0 else -_middle(-1 - place)


def _middle(place: int) -> float:
    """The number in the middle of a bin."""
    if place == 0:
        return 0.0
    bits = (place - 1 + _LOWEST) << _DROPPED_BITS | 1 << (_DROPPED_BITS - 1)
    return float(np.array(bits, np.int32).view(np.float32))
