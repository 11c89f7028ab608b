from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import optimize, stats

from glass_edge.calibration.tail_blocks import BlockMaxima
from glass_edge.calibration.tail_fit import HALF_CHI2, fit_tail, survival, tail_region
from glass_edge.calibration.tail_level import choose_level, judge_level
from glass_edge.calibration.tail_promise import fitted_tail
from glass_edge.errors import InputError

WIDER = 1.5


def blocks_of(maxima: NDArray[np.float64], lengths_m: NDArray[np.float64] | None = None) -> BlockMaxima:
    zeros = np.zeros(len(maxima), np.int64)
    return BlockMaxima(maxima, np.ones(len(maxima)) if lengths_m is None else lengths_m, zeros, zeros)


def poisson_maxima(
    random: np.random.Generator, lengths_m: NDArray[np.float64], shape: float, per_m: float = 1.0
) -> NDArray[np.float64]:
    """Block maxima of a Poisson process of `per_m` generalised Pareto points a metre (scale 1); -1 without a point."""
    found = []
    for length in lengths_m:
        points = stats.genpareto.rvs(shape, size=random.poisson(per_m * length), random_state=random)
        found.append(points.max(initial=-1.0))
    return np.array(found)


@settings(deadline=None)
@given(st.floats(0, 50), st.floats(0.1, 10), st.sampled_from([-0.5, -0.2, -1e-4, 0.0, 1e-4, 0.3, 1.0]))
def test_the_survival_function_is_that_of_scipy(excess: float, scale: float, shape: float) -> None:
    expected = stats.genpareto.sf(excess, shape, scale=scale)
    assert survival(np.float64(excess), scale, shape) == pytest.approx(expected, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize("shape", [-0.3, 0.0, 0.4])
def test_a_tail_is_recovered_from_blocks_of_different_lengths(shape: float) -> None:
    random = np.random.default_rng(3)
    lengths_m = random.uniform(0.2, 1.5, 4000)
    fit = fit_tail(blocks_of(poisson_maxima(random, lengths_m, shape), lengths_m), 0.5)
    assert fit.shape == pytest.approx(shape, abs=0.07)
    assert fit.scale == pytest.approx(1 + 0.5 * shape, rel=0.07)  # of the excesses over a higher level
    assert fit.rate_per_m == pytest.approx(stats.genpareto.sf(0.5, shape), rel=0.06)


def own_log_likelihood(blocks: BlockMaxima, level: float, rate: float, scale: float, shape: float) -> float:
    """From the distribution of a block's maximum, written down anew: exp(-length rate survival)."""
    above = blocks.maxima > level
    excess, length = blocks.maxima[above] - level, blocks.lengths_m[above]
    total = -rate * blocks.lengths_m[~above].sum()
    total += (np.log(rate) + stats.genpareto.logpdf(excess, shape, scale=scale)).sum()
    return float(total - rate * (length * stats.genpareto.sf(excess, shape, scale=scale)).sum())


def test_the_limits_are_those_of_the_profile_likelihood() -> None:
    random = np.random.default_rng(5)
    lengths_m = random.uniform(0.5, 1.0, 120)
    blocks = blocks_of(poisson_maxima(random, lengths_m, 0.1), lengths_m)
    fit = fit_tail(blocks, 0.2)
    best = own_log_likelihood(blocks, 0.2, fit.rate_per_m, fit.scale, fit.shape)
    assert best == pytest.approx(fit.log_likelihood, abs=1e-6)
    for dispersion in (1.0, 2.5):
        slack = HALF_CHI2 * WIDER * dispersion
        for limit in tail_region(blocks, fit, dispersion).interval_at(3.0):

            def lost(pair: NDArray[np.float64], limit: float = limit) -> float:
                scale, shape = float(np.exp(pair[0])), float(pair[1])
                falls = stats.genpareto.sf(2.8, shape, scale=scale)
                if falls <= 0 or not -0.5 <= shape <= 1.0:
                    return 1e6
                value = own_log_likelihood(blocks, 0.2, limit / falls, scale, shape)
                return best - value if np.isfinite(value) else 1e6

            starts = [[np.log(fit.scale), fit.shape + step] for step in (-0.15, 0.15)]
            found = min(
                optimize.minimize(lost, start, method="Nelder-Mead", options={"maxiter": 90}).fun for start in starts
            )
            assert found == pytest.approx(slack, rel=0.03)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([-0.3, 0.0, 0.5]))
def test_rates_and_limits_fall_with_the_threshold_and_hold_the_estimate(seed: int, shape: float) -> None:
    random = np.random.default_rng(seed)
    blocks = blocks_of(poisson_maxima(random, np.ones(80), shape))
    fit = fit_tail(blocks, 0.1)
    region = tail_region(blocks, fit)
    thresholds = np.linspace(0.1, 12, 40)
    rates = fit.rate_at(thresholds)
    limits = np.array([region.interval_at(float(x)) for x in thresholds])
    assert (np.diff(rates) <= 0).all()
    assert (np.diff(limits, axis=0) <= 1e-15).all()
    assert (limits[:, 0] <= rates * (1 + 1e-6)).all()
    assert (rates <= limits[:, 1] * (1 + 1e-6)).all()


def test_more_dispersion_gives_a_wider_interval() -> None:
    blocks = blocks_of(poisson_maxima(np.random.default_rng(1), np.ones(200), 0.0))
    fit = fit_tail(blocks, 0.1)
    narrow, wide = (tail_region(blocks, fit, one).interval_at(4.0) for one in (1.0, 4.0))
    assert wide[0] < narrow[0] < narrow[1] < wide[1]


def test_too_little_above_the_level_is_refused() -> None:
    with pytest.raises(InputError, match=r"4 blocks above logit 3\.5: 5"):
        fit_tail(blocks_of(np.arange(8.0)), 3.5)


def test_a_level_is_the_lowest_that_fits_and_none_is_taken_where_none_does() -> None:
    random = np.random.default_rng(8)
    blocks = blocks_of(poisson_maxima(random, np.ones(400), 0.1))
    level = choose_level(blocks)
    assert level is not None
    assert level.fit.n_exceeding == 200
    assert level.anderson_darling <= level.limit_10
    two_kinds = np.where(np.arange(400) % 25 == 0, 20.0, 0.0) + random.normal(0, 0.4, 400)
    assert choose_level(blocks_of(two_kinds)) is None
    bad = judge_level(blocks_of(two_kinds), float(np.quantile(two_kinds, 0.5)))
    assert bad.anderson_darling > bad.limit_1
    assert choose_level(blocks_of(random.exponential(size=59))) is None  # too few blocks


def test_intervals_hold_the_true_rate_and_promises_are_kept_on_seeded_samples() -> None:
    """The study of benchmarks/tail_fit.py, small: points that come alone, and a moving maximum over two blocks."""
    random = np.random.default_rng(2024)
    n, samples = 120, 30
    wanted = 1.0 / (5 * n)  # one alarm in five times the metres seen
    held, kept = {"alone": 0, "moving": 0}, {"alone": 0, "moving": 0}
    for _ in range(samples):
        alone = poisson_maxima(random, np.ones(n), 0.0)
        z = random.gumbel(size=2 * n + 3)
        halves = np.lib.stride_tricks.sliding_window_view(z, 4).max(axis=1)[: 2 * n]  # an alarm spans four halves
        moving = halves.reshape(n, 2).max(axis=1)

        def starts(x: float, halves: NDArray[np.float64] = halves) -> NDArray[np.int64]:
            above = halves >= x
            first = above & ~np.append(False, above[:-1])
            return first.reshape(n, 2).sum(axis=1)

        cases = {
            "alone": (alone, lambda x, alone=alone: (alone >= x).astype(np.int64), lambda x: np.exp(-x)),
            "moving": (moving, starts, lambda x: 2 * -np.expm1(-np.exp(-x))),
        }
        for name, (maxima, count, rate) in cases.items():
            tail = fitted_tail(blocks_of(maxima), count)
            assert tail is not None
            at = optimize.brentq(lambda x, rate=rate: rate(x) - wanted, 0, 20)
            _, low, high = tail.per_100m(at)
            held[name] += low <= 100 * wanted <= high
            kept[name] += rate(tail.threshold_for(100 * wanted)) <= wanted
    assert min(held.values()) >= 0.9 * samples, held
    assert min(kept.values()) >= 0.9 * samples, kept
