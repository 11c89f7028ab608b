from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inspection_peers import Scores
from scipy import ndimage

from glass_edge.errors import InputError
from glass_edge.inspection.smoothing import StripSmoother


def _chunked(smoother: StripSmoother, strip: Scores, cuts: Sequence[int]) -> Scores:
    parts = [smoother.push(part) for part in np.split(strip, cuts)]
    parts.append(smoother.flush())
    return np.concatenate([part for part in parts if len(part)])


@settings(deadline=None, max_examples=150)
@given(
    rows=st.integers(1, 60),
    cells=st.integers(1, 40),
    sigma=st.sampled_from([0.0, 0.1, 0.3, 0.5, 1.0, 1.7, 4.0, 9.0]),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_equals_scipy_on_the_whole_strip_whatever_the_pieces(
    rows: int, cells: int, sigma: float, seed: int, data: st.DataObject
) -> None:
    strip = np.random.default_rng(seed).normal(0, 10, (rows, cells)).astype(np.float32)
    cuts = sorted(data.draw(st.lists(st.integers(0, rows), max_size=6)))
    expected = ndimage.gaussian_filter(strip.astype(np.float64), sigma, mode="reflect", truncate=4.0)
    smoother = StripSmoother(sigma)
    np.testing.assert_allclose(_chunked(smoother, strip, cuts), expected, atol=1e-4)
    # The next segment starts afresh.
    np.testing.assert_allclose(_chunked(smoother, strip[::-1].copy(), []), expected[::-1], atol=1e-4)


@pytest.mark.parametrize("sigma", [0.0, 0.6, 2.0])
def test_a_row_is_held_back_for_the_radius_only(sigma: float) -> None:
    smoother = StripSmoother(sigma)
    emitted = 0
    for n in range(1, 50):
        emitted += len(smoother.push(np.zeros((1, 5), np.float32)))
        assert emitted == max(0, n - smoother.radius_rows)


def test_the_input_is_not_kept_or_changed() -> None:
    smoother = StripSmoother(0.0)
    rows = np.ones((3, 4), np.float32)
    out = smoother.push(rows)
    rows[:] = 7
    assert (out == 1).all()


def test_memory_does_not_grow_with_the_strip() -> None:
    smoother = StripSmoother(2.0)
    sizes = set()
    for _ in range(50):
        smoother.push(np.zeros((20, 5), np.float32))
        sizes.add(len(smoother._held))
    assert max(sizes) <= 20 + 2 * smoother.radius_rows


@pytest.mark.parametrize("sigma", [-1.0, float("nan"), float("inf")])
def test_an_impossible_sigma_is_refused(sigma: float) -> None:
    with pytest.raises(InputError, match="sigma"):
        StripSmoother(sigma)
