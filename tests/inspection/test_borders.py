from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import ndimage

from glass_edge.inspection.borders import reflect_101, symmetric


@pytest.mark.parametrize("n", [1, 2, 3, 7])
def test_reflect_101_is_numpys_reflect_and_opencvs(n: int) -> None:
    values = np.arange(n, dtype=np.float32)
    pad = 3 * n + 2
    ours = values[reflect_101(np.arange(-pad, n + pad), n)]
    assert np.array_equal(ours, np.pad(values, pad, mode="reflect"))
    if n > pad - 2 * n:  # OpenCV is asked only for what fits once
        return
    theirs = cv2.copyMakeBorder(values[None], 0, 0, n - 1, n - 1, cv2.BORDER_REFLECT_101)[0]
    assert np.array_equal(ours[pad - n + 1 : pad + 2 * n - 1], theirs)


@pytest.mark.parametrize("n", [1, 2, 5])
def test_symmetric_is_scipys_reflect(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    pad = 2 * n + 3
    weights = np.zeros(2 * pad + 1)
    for shift in (-pad, -1, 0, n, pad):
        weights[:] = 0
        weights[pad + shift] = 1
        expected = ndimage.correlate1d(values, weights, mode="reflect")
        assert np.allclose(values[symmetric(np.arange(n) + shift, n)], expected)
