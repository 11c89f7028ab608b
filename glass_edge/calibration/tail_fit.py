"""The tail of block maxima of good cloth: a Poisson process of exceedances with generalised Pareto sizes.

Promises: blocks below the level count with the length in which nothing exceeded, blocks above it with their maximum, so
that two exceedances in one block are no bias; the interval of a rate is that of the profile likelihood, widened by the
measured dispersion; both its ends fall with the threshold, whatever the data.

Model: exceedances of x >= u come as a Poisson process of rate(x) = rate_u (1 + shape (x - u) / scale)^(-1 / shape) a
metre (Davison and Smith, "Models for exceedances over high thresholds", JRSS B 52, 1990); the maximum of a block of
length l is at most x with probability exp(-l rate(x)). The shape is held in [-0.5, 1]: below, maximum likelihood is not
regular (Smith, Biometrika 72, 1985), above, the mean is infinite. The likelihood of dependent data is divided by the
dispersion (Chandler and Bate, Biometrika 94, 2007).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.tail_blocks import BlockMaxima
from glass_edge.errors import InputError

SHAPE_RANGE = (-0.5, 1.0)
CONFIDENCE = 0.95
HALF_CHI2 = 3.841458820694124 / 2
"""Half the 95 % point of chi-square with one degree of freedom."""
_WIDER = 1.5
"""The likelihood is divided by this too: without it the interval held the true rate in 86 to 98 % of the samples of
`benchmarks/tail_fit.py`, for the level is chosen by the same data and no sample is large."""
_COARSE, _FINE, _ZOOMS, _REGION = 41, 13, 6, 45
_CELLS = 4_000_000  # most numbers of a grid held at once
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TailFit:
    """A fitted tail.

    Attributes:
        level_logit: the level u.
        rate_per_m: exceedances of the level a metre, blocks with several of them allowed for.
        shape, scale: of the generalised Pareto distribution of the excesses (scale in logits).
        n_exceeding: blocks above the level.
        log_likelihood: its maximum.
    """

    level_logit: float
    rate_per_m: float
    shape: float
    scale: float
    n_exceeding: int
    log_likelihood: float

    def rate_at(self, logit: float | Floats) -> Floats:
        """Exceedances of `logit` (from the level up) a metre."""
        return self.rate_per_m * survival(np.asarray(logit, np.float64) - self.level_logit, self.scale, self.shape)


@dataclass(frozen=True, slots=True)
class TailRegion:
    """Everything the data do not exclude: for each shape and scale the largest and smallest rate at the level.

    Attributes:
        level_logit: the level u.
        shape, scale: float64 (points,).
        high_per_m, low_per_m: float64 (points,), exceedances of the level a metre.
    """

    level_logit: float
    shape: Floats
    scale: Floats
    high_per_m: Floats
    low_per_m: Floats

    def interval_at(self, logit: float) -> tuple[float, float]:
        """Lower and upper limit of the exceedances of `logit` (from the level up) a metre."""
        falls = survival(np.float64(logit - self.level_logit), self.scale, self.shape)
        return float(np.min(self.low_per_m * falls)), float(np.max(self.high_per_m * falls))


def survival(excess: Floats | np.float64, scale: Floats | float, shape: Floats | float) -> Floats:
    """Probability that a generalised Pareto excess is at least `excess` (from 0); shapes broadcast."""
    shape = np.where(np.abs(shape) < 1e-8, 1e-8, shape)
    inside = np.maximum(1.0 + shape * excess / scale, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.exp(-np.log(inside) / shape))


def fit_tail(blocks: BlockMaxima, level_logit: float) -> TailFit:
    """Maximum likelihood.

    Raises:
        InputError: fewer than 5 blocks above the level, or all of them equal.
    """
    data = _Data(blocks, level_logit)
    mean = float(data.excess.mean())
    shapes = np.linspace(*SHAPE_RANGE, _COARSE)
    scales = np.log(mean) + np.linspace(-2.0, 1.5, _COARSE)
    for _ in range(_ZOOMS):
        values = data.log_likelihood(*_mesh(shapes, scales))
        i, j = np.unravel_index(int(np.argmax(values)), (len(shapes), len(scales)))
        best = float(shapes[i]), float(scales[j]), float(values.max())
        step_shape, step_scale = shapes[1] - shapes[0], scales[1] - scales[0]
        low, high = np.clip([best[0] - 2 * step_shape, best[0] + 2 * step_shape], *SHAPE_RANGE)
        shapes = np.linspace(low, high, _FINE)
        scales = np.linspace(best[1] - 2 * step_scale, best[1] + 2 * step_scale, _FINE)
    shape, scale = best[0], float(np.exp(best[1]))
    rate = len(data.excess) / float(data.exposure(np.array([shape]), np.array([scale]))[0])
    return TailFit(level_logit, rate, shape, scale, len(data.excess), best[2])


def tail_region(blocks: BlockMaxima, fit: TailFit, dispersion: float = 1.0) -> TailRegion:
    """The 95 % region of one figure (profile likelihood with one degree of freedom).

    Args:
        blocks: those that were fitted.
        fit: of them.
        dispersion: by which the likelihood is divided, from 1 (smaller is taken as 1).
    """
    data = _Data(blocks, fit.level_logit)
    wider = _WIDER * max(1.0, dispersion)
    slack, spread = HALF_CHI2 * wider, np.sqrt(wider / fit.n_exceeding)
    shapes = fit.shape + np.linspace(-6, 6, _REGION) * (1 + abs(fit.shape)) * spread
    scales = np.log(fit.scale) + np.linspace(-8, 8, _REGION) * spread
    for _ in range(2):  # the second time within the box of what the first has found
        shapes = np.unique(np.append(np.clip(shapes, *SHAPE_RANGE), fit.shape))
        scales = np.unique(np.append(scales, np.log(fit.scale)))
        shape, scale = _mesh(shapes, scales)
        left = slack - (fit.log_likelihood - data.log_likelihood(shape, scale))
        inside = left >= 0
        shape, scale, left = shape[inside], scale[inside], left[inside]
        shapes, scales = _box(shape, shapes), _box(np.log(scale), scales)
    middle = fit.n_exceeding / data.exposure(shape, scale)
    high, low = _rate_limits(left / fit.n_exceeding)
    return TailRegion(fit.level_logit, shape, scale, middle * high, middle * low)


class _Data:
    """Blocks as the likelihood needs them."""

    def __init__(self, blocks: BlockMaxima, level_logit: float) -> None:
        above = blocks.maxima > level_logit
        self.excess = blocks.maxima[above] - level_logit
        self.lengths_m = blocks.lengths_m[above]
        self.below_m = float(blocks.lengths_m[~above].sum())
        if len(self.excess) < 5 or float(np.ptp(self.excess)) == 0:
            raise InputError(f"{len(self.excess)} blocks above logit {level_logit:g}: 5 that differ are the least")

    def exposure(self, shape: Floats, scale: Floats) -> Floats:
        """Metres by which the rate at the level is multiplied in the likelihood."""
        return self._sums(shape, scale)[0]

    def log_likelihood(self, shape: Floats, scale: Floats) -> Floats:
        """At the best rate, float64 (points,); -inf where an excess is impossible."""
        exposure, density = self._sums(shape, scale)
        n = len(self.excess)
        return np.where(np.isfinite(density), n * np.log(n / np.minimum(exposure, 1e300)) - n + density, -np.inf)

    def _sums(self, shape: Floats, scale: Floats) -> tuple[Floats, Floats]:
        """Metres of exposure and log density of all excesses for each pair of shape and scale."""
        exposure, density = np.empty(len(shape)), np.empty(len(shape))
        step = max(1, _CELLS // len(self.excess))
        for first in range(0, len(shape), step):
            part = slice(first, first + step)
            xi = np.where(np.abs(shape[part]) < 1e-8, 1e-8, shape[part])[:, None]
            with np.errstate(divide="ignore", invalid="ignore"):
                logs = np.log(np.maximum(1.0 + xi / scale[part, None] * self.excess, 0.0))
                exposure[part] = self.below_m + np.exp(-logs / xi) @ self.lengths_m
                density[part] = -len(self.excess) * np.log(scale[part]) - (1 + 1 / xi[:, 0]) * logs.sum(axis=1)
        impossible = ~np.isfinite(density)
        return np.where(impossible, np.inf, exposure), np.where(impossible, -np.inf, density)


def _mesh(shapes: Floats, log_scales: Floats) -> tuple[Floats, Floats]:
    shape, scale = np.meshgrid(shapes, np.exp(log_scales), indexing="ij")
    return shape.ravel(), scale.ravel()


def _box(inside: Floats, grid: Floats) -> Floats:
    """A finer grid over the values inside and one step of the old grid around them."""
    step = float(np.max(np.diff(grid), initial=0.0))
    return np.linspace(inside.min() - step, inside.max() + step, _REGION)


def _rate_limits(left: Floats) -> tuple[Floats, Floats]:
    """Both r with log r - r + 1 = -left: how far a Poisson rate may be from its best; by Newton's method in log r."""
    limits = []
    for sign in (1.0, -1.0):
        start = np.sqrt(2 * left) + left if sign > 0 else -np.sqrt(2 * left) - left
        t = np.asarray(start, np.float64)
        for _ in range(60):
            slope = 1.0 - np.exp(t)
            value = t - np.exp(t) + 1.0 + left
            t = np.where(np.abs(slope) > 1e-12, t - value / np.where(slope == 0, 1, slope), t)
        limits.append(np.exp(t))
    return limits[0], limits[1]
