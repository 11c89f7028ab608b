"""Statistics of good cloth: streaming moments, shrinkage, whitening, the Mahalanobis distance.

Promises: moments are accumulated in float64 and do not depend on how the points are split into chunks (but for
rounding); a covariance that the data cannot support is refused instead of inverted.

Sources: T. Chan, G. Golub, R. LeVeque, "Updating formulae and a pairwise algorithm for computing sample variances",
1979; Y. Chen, A. Wiesel, Y. Eldar, A. Hero, "Shrinkage algorithms for MMSE covariance estimation", IEEE TSP 2010 (OAS).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray
from torch import Tensor

from glass_edge.errors import InputError

Shrinkage = float | Literal["oas"]
WhiteningMethod = Literal["zca", "pca", "cholesky"]


class StreamingMoments:
    """Mean and covariance of points that come in chunks.

    Attributes:
        n_points: points seen.
        mean: float64 (d,).
    """

    def __init__(self, n_features: int) -> None:
        self.n_points = 0
        self.mean: NDArray[np.float64] = np.zeros(n_features)
        self._scatter: NDArray[np.float64] = np.zeros((n_features, n_features))

    def add(self, points: Tensor | NDArray[np.floating]) -> None:
        """Take in points (n, d), any float type and device.

        Raises:
            ValueError: another shape.
            InputError: a value that is not finite.
        """
        chunk = points.detach().cpu().double().numpy() if isinstance(points, Tensor) else np.asarray(points, np.float64)
        if chunk.ndim != 2 or chunk.shape[1] != self.mean.size:
            raise ValueError(f"points have shape {chunk.shape}, expected (n, {self.mean.size})")
        if not len(chunk):
            return
        chunk_mean = chunk.mean(axis=0)
        if not np.isfinite(chunk_mean).all():
            raise InputError("features of good cloth are not finite: the weights of the backbone do not fit the images")
        centred = chunk - chunk_mean
        shift = chunk_mean - self.mean
        total = self.n_points + len(chunk)
        self._scatter += centred.T @ centred + np.outer(shift, shift) * (self.n_points * len(chunk) / total)
        self.mean = self.mean + shift * (len(chunk) / total)
        self.n_points = total

    def covariance(self) -> NDArray[np.float64]:
        """Unbiased covariance, float64 (d, d).

        Raises:
            InputError: fewer than two points.
        """
        if self.n_points < 2:
            raise InputError(f"{self.n_points} points of good cloth have no covariance; give more good images")
        return self._scatter / (self.n_points - 1)


class PositionMean:
    """Mean over images of features at each position, for the centre of registered parts or (pooled) of cloth.

    The adaptor is affine, so the centre of the adapted features is the adapted mean: it need be computed only once.
    """

    def __init__(self, n_positions: int, n_features: int) -> None:
        self.n_images = 0
        self._sum: NDArray[np.float64] = np.zeros((n_positions, n_features))

    def add(self, points: Tensor) -> None:
        """Take in the points (n_images * n_positions, d) of whole images, ordered image, position."""
        values = points.detach().cpu().double().numpy().reshape(-1, *self._sum.shape)
        self._sum += values.sum(axis=0)
        self.n_images += len(values)

    def mean(self, *, pooled: bool) -> Tensor:
        """float32 (n_positions, d), or (1, d) over all positions if `pooled`.

        Raises:
            InputError: no image was added.
        """
        if not self.n_images:
            raise InputError("no good image to take the centre of; give good images")
        mean = self._sum / self.n_images
        return torch.from_numpy(mean.mean(axis=0, keepdims=True) if pooled else mean).float()


def oas_intensity(covariance: NDArray[np.float64], n_points: int) -> float:
    """Shrinkage intensity in [0, 1] of the oracle approximating estimator, from a covariance of `n_points`.

    The estimator is written for the covariance divided by n; the difference to n - 1 is taken into account.
    """
    size = len(covariance)
    biased = covariance * ((n_points - 1) / n_points)
    mean_square = float(np.mean(biased**2))
    scale = float(np.trace(biased)) / size
    denominator = (n_points + 1) * (mean_square - scale**2 / size)
    return 1.0 if denominator <= 0 else min(1.0, (mean_square + scale**2) / denominator)


def shrink(covariance: NDArray[np.float64], n_points: int, shrinkage: Shrinkage) -> NDArray[np.float64]:
    """(1 - s) covariance + s (mean variance) I.

    Args:
        covariance: (d, d).
        n_points: points it was made from.
        shrinkage: s in [0, 1], or 'oas' to choose it from the data.

    Raises:
        InputError: s is outside [0, 1], or the result cannot be inverted.
    """
    size = len(covariance)
    intensity = oas_intensity(covariance, n_points) if shrinkage == "oas" else float(shrinkage)
    if not 0 <= intensity <= 1:
        raise InputError(f"shrinkage = {intensity}: give a number from 0 to 1 or 'oas'")
    if intensity == 0 and n_points <= size:
        raise InputError(
            f"{n_points} points of good cloth cannot give a covariance of {size} features; "
            f"give more good images (more than {size} points) or a shrinkage above 0"
        )
    scale = float(np.trace(covariance)) / size
    shrunk = (1 - intensity) * covariance
    shrunk[np.diag_indices(size)] += intensity * scale
    smallest, largest = scipy.linalg.eigvalsh(shrunk)[[0, -1]]
    if not smallest > largest * size * np.finfo(np.float64).eps:
        raise InputError(
            "the features of good cloth do not vary in every direction, so their covariance cannot be inverted; "
            "give more varied good images or a shrinkage above 0"
        )
    return shrunk


def whitening_matrix(covariance: NDArray[np.float64], method: WhiteningMethod) -> NDArray[np.float64]:
    """W with W C W^T = I, float64 (d, d).

    Args:
        covariance: C, positive definite.
        method: 'zca' (symmetric: stays nearest to the features), 'pca' (principal directions, largest variance first)
            or 'cholesky' (triangular).
    """
    if method == "cholesky":
        factor = scipy.linalg.cholesky(covariance, lower=True)
        return np.asarray(scipy.linalg.solve_triangular(factor, np.eye(len(covariance)), lower=True))
    values, vectors = scipy.linalg.eigh(covariance)
    rows = (vectors / np.sqrt(values)).T
    return np.ascontiguousarray(vectors @ rows if method == "zca" else rows[::-1])


@dataclass(frozen=True, slots=True)
class GoodStatistics:
    """What good cloth looks like in feature space.

    Attributes:
        mean: float64 (d,).
        covariance: float64 (d, d), shrunk, invertible.
        n_points: points behind them.
    """

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    n_points: int

    @classmethod
    def from_moments(cls, moments: StreamingMoments, shrinkage: Shrinkage) -> GoodStatistics:
        """Shrink the covariance of `moments`; raises InputError where it cannot be inverted."""
        covariance = shrink(moments.covariance(), moments.n_points, shrinkage)
        return cls(moments.mean.copy(), covariance, moments.n_points)


def squared_mahalanobis(points: Tensor, statistics: GoodStatistics) -> Tensor:
    """Squared Mahalanobis distance of points (n, d) to good cloth, float64 (n,).

    Expectation d for good points of a Gaussian.
    """
    inverse_factor = whitening_matrix(statistics.covariance, "cholesky")
    centred = points.double() - torch.from_numpy(statistics.mean).to(points.device)
    white: Tensor = centred @ torch.from_numpy(inverse_factor).to(points.device).T
    return white.square().sum(dim=1)
