"""Indices that continue a strip beyond its ends.

Promises: any position maps inside [0, n), also several lengths away from the strip; `reflect_101` is OpenCV's
BORDER_REFLECT_101 (the edge is not repeated), `symmetric` is scipy.ndimage's mode 'reflect' (the edge is repeated).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def reflect_101(positions: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Map positions (any shape, any sign) into a strip of `n` items, mirrored at the first and last item's centre."""
    if n == 1:
        return np.zeros_like(positions)
    wrapped = np.mod(positions, 2 * (n - 1))
    return np.asarray(np.minimum(wrapped, 2 * (n - 1) - wrapped), np.int64)


def symmetric(positions: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Map positions (any shape, any sign) into a strip of `n` items, mirrored at its outer edges."""
    wrapped = np.mod(positions, 2 * n)
    return np.asarray(np.minimum(wrapped, 2 * n - 1 - wrapped), np.int64)
