from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.calibration.threshold import block_maxima, threshold_from_good
from glass_edge.errors import InputError


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_blocks_cover_every_cell_once_with_at_least_the_asked_size(
    rows: int, cells: int, block_rows: int, block_cells: int, seed: int
) -> None:
    strip = np.random.default_rng(seed).normal(size=(rows, cells)).astype(np.float32)
    n_rows, n_cells = max(1, rows // block_rows), max(1, cells // block_cells)
    expected = []
    for i in range(n_rows):
        for j in range(n_cells):
            part = strip[
                i * rows // n_rows : (i + 1) * rows // n_rows, j * cells // n_cells : (j + 1) * cells // n_cells
            ]
            assert part.shape[0] >= min(block_rows, rows)
            assert part.shape[1] >= min(block_cells, cells)
            expected.append(part.max())
    assert np.array_equal(block_maxima(strip, block_rows, block_cells), np.array(expected, np.float32))


def test_a_quantile_that_the_blocks_carry_is_an_order_statistic() -> None:
    maxima = np.random.default_rng(0).permutation(np.arange(1, 101)).astype(np.float32)
    evidence = threshold_from_good(maxima, 0.9, margin=0.25, good_cloth_lines=512)
    assert evidence.logit == 90.25
    assert (maxima <= 90).mean() >= 0.9 > (maxima <= 89).mean()
    assert (evidence.quantile, evidence.n_blocks, evidence.good_cloth_lines) == (0.9, 100, 512)
    assert threshold_from_good(maxima, 0.99).logit == 99


def test_a_quantile_beyond_the_blocks_is_the_maximum_and_says_so() -> None:
    maxima = np.arange(20, dtype=np.float32)
    evidence = threshold_from_good(maxima, 0.999, margin=1.0)
    assert evidence.logit == 20.0
    assert evidence.quantile == pytest.approx(20 / 21)
    assert "needs more blocks" in evidence.method
    assert "20 blocks" in evidence.method
    assert threshold_from_good(maxima, 0.95).logit == 18
    assert threshold_from_good(np.array([3.0]), 0.5).quantile == 0.5  # a single block is exceeded every second time


def test_the_maximum_of_n_blocks_is_exceeded_by_the_next_one_in_one_of_n_plus_one() -> None:
    rng = np.random.default_rng(1)
    n, trials = 9, 20_000
    draws = rng.gumbel(size=(trials, n + 1))
    thresholds = [threshold_from_good(row[:n], 0.999) for row in draws[:200]]
    assert [t.logit for t in thresholds] == pytest.approx(draws[:200, :n].max(axis=1))
    exceeded = (draws[:, n] > draws[:, :n].max(axis=1)).mean()
    assert exceeded == pytest.approx(1 - thresholds[0].quantile, abs=0.01)


@pytest.mark.parametrize(
    ("maxima", "quantile", "margin", "word"),
    [
        ([], 0.9, 0.0, "at least one good strip"),
        ([1.0, float("nan")], 0.9, 0.0, "no numbers"),
        ([1.0], 0.0, 0.0, "quantile = 0"),
        ([1.0], 1.1, 0.0, "quantile = 1.1"),
        ([1.0], 0.9, -1.0, "margin = -1"),
        ([1.0], 0.9, float("inf"), "margin = inf"),
    ],
)
def test_what_cannot_give_a_threshold_is_refused(
    maxima: list[float], quantile: float, margin: float, word: str
) -> None:
    with pytest.raises(InputError, match=word):
        threshold_from_good(np.array(maxima), quantile, margin=margin)


def test_strips_that_hold_no_scores_are_refused() -> None:
    with pytest.raises(InputError, match="at least one cell"):
        block_maxima(np.zeros((3, 3), np.float32), 0, 1)
    with pytest.raises(InputError, match="rows and columns"):
        block_maxima(np.zeros((0, 3), np.float32), 1, 1)
    with pytest.raises(InputError, match="no numbers"):
        block_maxima(np.full((2, 2), np.inf, np.float32), 1, 1)
