"""Quantiles against numpy's, within the error that is promised."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glass_edge.calibration.quantile_histogram import QuantileHistogram

numbers = st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=300)
shares = st.floats(0.001, 1.0)


def error(value: float) -> float:
    return 0.001 * max(1.0, abs(value))


@settings(deadline=None)
@given(numbers, shares)
def test_a_quantile_is_within_the_promised_error(values: list[float], share: float) -> None:
    histogram = QuantileHistogram()
    histogram.add(np.array(values, np.float32))
    exact = float(np.sort(np.array(values))[max(1, math.ceil(share * len(values))) - 1])
    found = histogram.quantile(share)
    assert found is not None
    assert abs(found - exact) <= error(exact)


@settings(deadline=None)
@given(numbers, st.lists(st.integers(1, 50), max_size=10), st.integers(0, 5))
def test_parts_and_their_order_do_not_matter(values: list[float], cuts: list[int], n_nan: int) -> None:
    whole, parts, other = QuantileHistogram(), QuantileHistogram(), QuantileHistogram()
    array = np.array(values, np.float32)
    whole.add(array)
    pieces = np.split(array, np.unique(np.minimum(np.cumsum(cuts), len(array))).astype(int))
    for number, piece in enumerate(reversed(pieces)):
        (parts if number % 2 else other).add(np.concatenate([piece, np.full(n_nan, np.nan, np.float32)]))
    parts.merge(other)
    assert parts.count == whole.count == len(values)
    assert [parts.quantile(share) for share in (0.1, 0.5, 0.999)] == [
        whole.quantile(share) for share in (0.1, 0.5, 0.999)
    ]


def test_many_scores_like_a_rolls() -> None:
    random = np.random.default_rng(1)
    scores = random.normal(-6, 0.7, 400_000).astype(np.float32)
    histogram = QuantileHistogram()
    for strip in scores.reshape(-1, 10, 100):
        histogram.add(strip)
    for share in (0.5, 0.99, 0.999):
        exact = float(np.quantile(scores, share, method="inverted_cdf"))
        assert histogram.quantile(share) == pytest.approx(exact, abs=error(exact))


@pytest.mark.parametrize("value", [0.0, -0.0, 1e-30, 1 / 1024, 0.5, 1.0, 2.0, 3.9999998, 1e6, 1048575.9])
def test_the_borders_of_bins_are_within_the_error(value: float) -> None:
    for sign in (1, -1):
        histogram = QuantileHistogram()
        exact = float(np.float32(sign * value))
        histogram.add(np.array([exact], np.float32))
        assert abs(float(histogram.quantile(1.0) or 0) - exact) <= error(exact)


def test_what_is_no_score_is_left_out() -> None:
    histogram = QuantileHistogram()
    histogram.add(np.array([[np.nan, np.inf], [-np.inf, 1e30], [-1048577, 1048576]], np.float32))
    histogram.add(-np.full((2, 3), np.nan, np.float32))
    assert (histogram.count, histogram.quantile(0.5)) == (0, None)
    histogram.add(np.array([1.0, np.nan, 3.0], np.float32)[::2])
    assert histogram.count == 2
    assert histogram.quantile(0.5) == pytest.approx(1.0, abs=error(1.0))
    assert histogram.quantile(1.0) == pytest.approx(3.0, abs=error(3.0))
