"""Probability of detection over size from hits and misses.

Promises: the estimate is finite for any counts, also where small sizes are all missed and large ones all found, which
has no maximum likelihood; the curve never falls with size; bounds are pointwise, one-sided, by the likelihood ratio.

Model: logit POD = intercept + slope ln(size), slope at least 0. The likelihood carries Firth's penalty, half the
logarithm of the determinant of the information (Firth, "Bias reduction of maximum likelihood estimates", Biometrika 80,
1993; for separated data: Heinze and Schemper, "A solution to the problem of separation in logistic regression",
Statistics in Medicine 21, 2002). Bounds: the parameters whose penalised likelihood lies within half the chi-square
quantile of the largest, as MIL-HDBK-1823A does for hits and misses with the plain likelihood; a bound of the curve is
the extreme of the curves in that region.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import ArrayLike, NDArray

from glass_edge.errors import InputError

CONFIDENCE = 0.95
Vector = NDArray[np.float64]

_SLOPES = 121  # of the region
_GRID, _ZOOMS = 13, 10
_STEPS, _CLOSE = 80, 1e-10
_FAR_LOGIT = 40.0
_LEAST_LOG_WEIGHT = -600.0  # so that no weight is 0


@dataclass(frozen=True, slots=True)
class HitCounts:
    """Planted and found defects by size.

    Attributes:
        sizes_mm: float64 (k,), rising, at least 3.
        planted: int64 (k,), above 0.
        found: int64 (k,), at most as many.
    """

    sizes_mm: Vector
    planted: NDArray[np.int64]
    found: NDArray[np.int64]

    def __post_init__(self) -> None:
        sizes, planted, found = self.sizes_mm, self.planted, self.found
        if len(sizes) < 3 or not (np.isfinite(sizes) & (sizes > 0)).all() or not (np.diff(sizes) > 0).all():
            raise InputError(f"sizes {list(map(float, sizes))} mm: three or more are needed, above 0 and rising")
        if planted.shape != sizes.shape or found.shape != sizes.shape or (planted < 1).any():
            raise InputError(f"{list(map(int, planted))} defects were planted: one or more of each size are needed")
        if (found < 0).any() or (found > planted).any():
            raise InputError(f"{list(map(int, found))} found of {list(map(int, planted))}: more than were planted")


@dataclass(frozen=True, slots=True)
class PodFit:
    """A fitted curve and the region of its parameters.

    Attributes:
        intercept: logit POD at 1 mm.
        slope: rise of the logit with ln(size); 0: the size does not matter.
        confidence: of each bound by itself.
        slopes: float64 (m,), of the region.
        lowest, highest: float64 (m,), intercepts between which the region lies at each slope.
    """

    intercept: float
    slope: float
    confidence: float
    slopes: Vector
    lowest: Vector
    highest: Vector

    def pod(self, sizes_mm: ArrayLike) -> Vector:
        """Probability of detection, float64 of the shape of the sizes."""
        return _expit(self.intercept + self.slope * np.log(sizes_mm))

    def lower(self, sizes_mm: ArrayLike) -> Vector:
        """Lower bound of it."""
        return _expit(np.min(self.lowest + np.multiply.outer(np.log(sizes_mm), self.slopes), axis=-1))

    def upper(self, sizes_mm: ArrayLike) -> Vector:
        """Upper bound of it."""
        return _expit(np.max(self.highest + np.multiply.outer(np.log(sizes_mm), self.slopes), axis=-1))

    def size_at(self, pod: float) -> float:
        """Size found with probability `pod`, mm; 0 or infinite where no size has it."""
        return float(_sizes(pod, np.array([self.intercept]), np.array([self.slope]))[0])

    def size_bound_at(self, pod: float) -> float:
        """Size from which on the lower bound is `pod`, mm: with the stated confidence the true size is no larger."""
        return float(_sizes(pod, self.lowest, self.slopes).max())


def fit_pod(counts: HitCounts, confidence: float = CONFIDENCE) -> PodFit:
    """The curve of counts and its bounds.

    Args:
        counts: hits and misses by size.
        confidence: of each bound, from 0.5 to 1.
    """
    if not 0.5 < confidence < 1:
        raise InputError(f"confidence {confidence:g}: between 0.5 and 1 is needed")
    logs = np.log(counts.sizes_mm)
    centre = float(np.average(logs, weights=counts.planted))
    likelihood = _Likelihood(logs - centre, counts.planted.astype(np.float64), counts.found.astype(np.float64))
    slope, largest = _best_slope(likelihood)
    middle = float(likelihood.best_intercepts(np.array([slope]))[0])
    floor = largest - 0.5 * NormalDist().inv_cdf(confidence) ** 2
    slopes = _region_slopes(likelihood, slope, floor)
    top = likelihood.best_intercepts(slopes)
    lowest = likelihood.intercepts_at(floor, slopes, top, -1) - slopes * centre
    highest = likelihood.intercepts_at(floor, slopes, top, 1) - slopes * centre
    return PodFit(middle - slope * centre, slope, confidence, slopes, lowest, highest)


class _Likelihood:
    """Penalised log likelihood at intercepts and slopes, float64 (m,) each; sizes count from their middle."""

    def __init__(self, logs: Vector, planted: Vector, found: Vector) -> None:
        self._logs, self._planted, self._found = logs, planted, found
        self._reach = float(np.abs(logs).max())

    def at(self, intercepts: Vector, slopes: Vector) -> tuple[Vector, Vector, Vector]:
        """Its value, its derivative by the intercept, and the information of the intercept."""
        eta = intercepts[:, None] + slopes[:, None] * self._logs
        pod = _expit(eta)
        log_weights = -np.logaddexp(0, eta) - np.logaddexp(0, -eta)
        top = log_weights.max(axis=1, keepdims=True)
        weights = self._planted * np.exp(np.maximum(log_weights - top, _LEAST_LOG_WEIGHT))  # by the largest weight
        total = weights.sum(axis=1, keepdims=True)
        away = self._logs - (weights * self._logs).sum(axis=1, keepdims=True) / total
        spread = (weights * away**2).sum(axis=1, keepdims=True)
        penalty = top[:, 0] + 0.5 * np.log(total[:, 0] * spread[:, 0])
        value = (self._found * eta - self._planted * np.logaddexp(0, eta)).sum(axis=1) + penalty
        leverage = weights / total + weights * away**2 / spread  # diagonal of the hat matrix, by sizes
        score = (self._found - self._planted * pod + leverage * (0.5 - pod)).sum(axis=1)
        return value, score, np.exp(top[:, 0]) * total[:, 0]

    def best_intercepts(self, slopes: Vector) -> Vector:
        """The best intercept for each slope."""

        def falling(intercepts: Vector) -> tuple[Vector, Vector]:
            _, score, information = self.at(intercepts, slopes)
            return score, -information

        return _root(falling, -self.reach(slopes), self.reach(slopes))

    def profile(self, slopes: Vector) -> Vector:
        """Its value at the best intercept for each slope."""
        return self.at(self.best_intercepts(slopes), slopes)[0]

    def intercepts_at(self, level: float, slopes: Vector, top: Vector, side: int) -> Vector:
        """Where it falls to a level, below (`side` -1) or above (1) the best intercepts `top`."""

        def falling(intercepts: Vector) -> tuple[Vector, Vector]:
            value, score, _ = self.at(intercepts, slopes)
            return side * (value - level), side * score

        far = top + side * self.reach(slopes)
        return _root(falling, np.minimum(top, far), np.maximum(top, far))

    def reach(self, slopes: Vector) -> Vector:
        """An intercept this far off makes every size sure or hopeless."""
        return np.asarray(_FAR_LOGIT + slopes * self._reach)


def _best_slope(likelihood: _Likelihood) -> tuple[float, float]:
    """The best slope from 0 up, and the likelihood there: a grid, made finer around its best."""
    ladder = np.exp2(np.arange(-3.0, 14.0))
    values = likelihood.profile(ladder)
    low, high = 0.0, float(ladder[min(int(np.argmax(values)) + 1, len(ladder) - 1)])
    for _ in range(_ZOOMS):
        grid = np.linspace(low, high, _GRID)
        values = likelihood.profile(grid)
        best = int(np.argmax(values))
        low, high = float(grid[max(0, best - 1)]), float(grid[min(_GRID - 1, best + 1)])
    return float(grid[best]), float(values[best])


def _region_slopes(likelihood: _Likelihood, best: float, floor: float) -> Vector:
    """Slopes of the region from end to end, closer at the ends, where the region closes like a root."""
    first = 0.0
    if likelihood.profile(np.zeros(1))[0] < floor:
        first = _crossing(likelihood, floor, 0.0, best)
    far = max(2 * best, 1.0)
    while likelihood.profile(np.array([far]))[0] >= floor:
        far *= 2
    last = _crossing(likelihood, floor, far, best)
    share = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, _SLOPES))
    return np.asarray(np.unique(np.append(first + (last - first) * share, best)))


def _crossing(likelihood: _Likelihood, floor: float, outside: float, inside: float) -> float:
    """The slope at which the profile reaches the floor; what is returned lies inside."""
    for _ in range(_ZOOMS):
        grid = np.linspace(outside, inside, _GRID)
        place = int(np.argmax(likelihood.profile(grid) >= floor))
        outside, inside = float(grid[max(0, place - 1)]), float(grid[place])
    return inside


def _root(falling: Callable[[Vector], tuple[Vector, Vector]], low: Vector, high: Vector) -> Vector:
    """Where a function, given with its derivative, falls through zero, for each element.

    Newton's steps; the bracket is halved where one leads out of it.
    """
    at = 0.5 * (low + high)
    for _ in range(_STEPS):
        value, derivative = falling(at)
        low, high = np.where(value > 0, at, low), np.where(value > 0, high, at)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            after = at - value / derivative
        after = np.where((after > low) & (after < high), after, 0.5 * (low + high))
        if np.abs(after - at).max() < _CLOSE:
            return after
        at = after
    return at


def _sizes(pod: float, intercepts: Vector, slopes: Vector) -> Vector:
    """Sizes at which lines of logits reach `pod`, mm; 0: everywhere; infinite: nowhere."""
    wanted = np.log(pod / (1 - pod)) - intercepts
    with np.errstate(divide="ignore", over="ignore"):
        # at slope 0 the size does not matter: at or above it everywhere, or nowhere
        return np.asarray(np.where(slopes > 0, np.exp(wanted / slopes), np.where(wanted <= 0, 0.0, np.inf)))


def _expit(eta: ArrayLike) -> Vector:
    return np.asarray(np.exp(-np.logaddexp(0, -np.asarray(eta, np.float64))))
