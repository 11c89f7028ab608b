from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import mahalanobis
from sklearn.covariance import OAS

from glass_edge.errors import InputError
from glass_edge.glass.networks import Whitening
from glass_edge.glass.statistics import (
    GoodStatistics,
    PositionMean,
    StreamingMoments,
    shrink,
    squared_mahalanobis,
    whitening_matrix,
)


def correlated(n: int, d: int, seed: int = 0, offset: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + offset


def streamed(points: np.ndarray, cuts: list[int]) -> StreamingMoments:
    moments = StreamingMoments(points.shape[1])
    for chunk in np.split(points, sorted(cuts)):
        moments.add(chunk)
    return moments


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(0, 200), max_size=6), offset=st.sampled_from([0.0, 1e4]))
def test_moments_equal_numpy_however_cut(cuts: list[int], offset: float) -> None:
    points = correlated(200, 6, offset=offset)
    moments = streamed(points, cuts)
    assert moments.n_points == 200
    assert np.allclose(moments.mean, points.mean(axis=0), rtol=1e-12, atol=1e-9)
    assert np.allclose(moments.covariance(), np.cov(points.T), rtol=1e-8, atol=1e-8)


def test_float32_tensors_with_a_large_mean_lose_nothing() -> None:
    points = torch.randn(5000, 4, generator=torch.Generator().manual_seed(0)) + 1000
    moments = StreamingMoments(4)
    for chunk in points.split(700):
        moments.add(chunk)
    assert np.allclose(moments.covariance(), np.cov(points.double().numpy().T), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("method", ["zca", "pca", "cholesky"])
def test_whitened_points_have_unit_covariance(method: str) -> None:
    points = correlated(500, 8, seed=1, offset=3)
    statistics = GoodStatistics.from_moments(streamed(points, [100]), 0.0)
    whitening = Whitening(8)
    whitening.assign(statistics.mean, whitening_matrix(statistics.covariance, method))  # type: ignore[arg-type]
    white = whitening(torch.from_numpy(points).float()).double().numpy()
    assert np.allclose(np.cov(white.T), np.eye(8), atol=1e-4)
    assert np.allclose(white.mean(axis=0), 0, atol=1e-5)


def test_mahalanobis_equals_scipy_and_the_norm_of_whitened_points() -> None:
    points = correlated(300, 5, seed=2, offset=-7)
    statistics = GoodStatistics.from_moments(streamed(points, []), 0.1)
    distances = squared_mahalanobis(torch.from_numpy(points[:20]), statistics).numpy()
    inverse = np.linalg.inv(statistics.covariance)
    expected = [mahalanobis(point, statistics.mean, inverse) ** 2 for point in points[:20]]
    assert np.allclose(distances, expected, rtol=1e-9)
    zca = (points[:20] - statistics.mean) @ whitening_matrix(statistics.covariance, "zca").T
    assert np.allclose(distances, (zca**2).sum(axis=1), rtol=1e-9)


def test_oas_equals_scikit_learn() -> None:
    points = correlated(40, 12, seed=3)
    expected = OAS().fit(points)
    covariance = np.cov(points.T)
    actual = shrink(covariance, 40, "oas")
    assert np.allclose(actual * 39 / 40, expected.covariance_, rtol=1e-9)


def test_too_few_points_are_refused_with_a_remedy() -> None:
    few = streamed(correlated(6, 8), [])
    with pytest.raises(InputError, match="6 points of good cloth cannot give a covariance of 8 features"):
        GoodStatistics.from_moments(few, 0.0)
    assert GoodStatistics.from_moments(few, 0.2).n_points == 6
    with pytest.raises(InputError, match="1 points of good cloth have no covariance"):
        streamed(correlated(1, 8), []).covariance()


def test_features_that_never_vary_are_refused() -> None:
    points = correlated(100, 4)
    points[:, 2] = 5
    with pytest.raises(InputError, match="do not vary in every direction"):
        GoodStatistics.from_moments(streamed(points, []), 0.0)
    with pytest.raises(InputError, match="shrinkage = 2"):
        GoodStatistics.from_moments(streamed(points, []), 2.0)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(InputError, match="not finite"):
        StreamingMoments(2).add(np.array([[1.0, np.nan]]))
    with pytest.raises(ValueError, match=r"expected \(n, 2\)"):
        StreamingMoments(2).add(np.zeros((3, 3)))


def test_position_mean_over_uneven_batches() -> None:
    images = torch.randn(5, 6, 3, generator=torch.Generator().manual_seed(1))
    centre = PositionMean(6, 3)
    for batch in images.split(2):
        centre.add(batch.reshape(-1, 3))
    assert centre.n_images == 5
    assert torch.allclose(centre.mean(pooled=False), images.mean(dim=0), atol=1e-6)
    assert torch.allclose(centre.mean(pooled=True), images.mean(dim=(0, 1))[None], atol=1e-6)
    with pytest.raises(InputError, match="no good image"):
        PositionMean(6, 3).mean(pooled=True)
