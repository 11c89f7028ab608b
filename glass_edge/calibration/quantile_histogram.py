"""Quantiles of a stream of numbers in bounded memory.

Promises: a quantile differs from that of all numbers by no more than 0.001 sqrt(1 + x**2), where x is its value, as
long as that lies within a million either way; memory (120 KB) and the work a number do not depend on how many came
before; the order in which they come does not matter.

How: a histogram that is even in arsinh(x), fine near zero and relative far from it; as the logarithmic buckets of
DDSketch (Masson, Rim and Lee, PVLDB 12, 2019), for numbers of either sign.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

_BINS_A_UNIT = 512  # half of a bin is 0.00098 of arsinh(x), whose slope is 1 / sqrt(1 + x**2)
_REACH = math.asinh(1e6)
_BINS = math.ceil(2 * _REACH * _BINS_A_UNIT)


class QuantileHistogram:
    """Counts numbers."""

    def __init__(self) -> None:
        self._counts: NDArray[np.int64] = np.zeros(_BINS, np.int64)

    @property
    def count(self) -> int:
        """Numbers counted."""
        return int(self._counts.sum())

    def add(self, values: NDArray[np.float32]) -> None:
        """Count the numbers of an array of any shape; NaN are left out."""
        places = np.arcsinh(values[~np.isnan(values)])
        places = np.clip((places + _REACH) * _BINS_A_UNIT, 0, _BINS - 1).astype(np.int64)
        self._counts += np.bincount(places, minlength=_BINS)

    def merge(self, other: QuantileHistogram) -> None:
        """Count what another has counted, too."""
        self._counts += other._counts

    def quantile(self, share: float) -> float | None:
        """The least number that at least `share` of all, above 0 to 1, do not exceed; None when there is none."""
        total = self.count
        if total == 0:
            return None
        sums = np.cumsum(self._counts)
        place = int(np.searchsorted(sums, max(1, math.ceil(share * total))))
        return math.sinh((place + 0.5) / _BINS_A_UNIT - _REACH)
