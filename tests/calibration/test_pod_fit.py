from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import optimize, stats

from glass_edge.calibration.binomial import at_least, clopper_pearson, trials_needed
from glass_edge.calibration.pod_fit import HitCounts, PodFit, fit_pod
from glass_edge.calibration.pod_fit_table import Side, pod_curve
from glass_edge.errors import InputError

SIZES = np.geomspace(0.5, 16, 6)
CRITICAL = stats.norm.ppf(0.95) ** 2


def counts(found: list[int], planted: int = 20, sizes: NDArray[np.float64] = SIZES) -> HitCounts:
    return HitCounts(sizes, np.full(len(found), planted), np.array(found))


def penalised(parameters: NDArray[np.float64], one: HitCounts) -> float:
    """Firth's penalised log likelihood, written down as in the paper."""
    logs = np.log(one.sizes_mm)
    eta = parameters[0] + parameters[1] * logs
    pod = np.clip(1 / (1 + np.exp(-eta)), 1e-15, 1 - 1e-15)
    design = np.stack([np.ones_like(logs), logs], axis=1)
    information = design.T @ (design * (one.planted * pod * (1 - pod))[:, None])
    plain = (one.found * np.log(pod) + (one.planted - one.found) * np.log1p(-pod)).sum()
    return float(plain + 0.5 * np.linalg.slogdet(information)[1])


def best(one: HitCounts) -> optimize.OptimizeResult:
    return optimize.minimize(
        lambda at: -penalised(at, one), [0.0, 1.0], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12}
    )


@pytest.mark.parametrize("found", [[0, 0, 3, 15, 20, 20], [1, 0, 4, 9, 15, 19], [2, 5, 9, 12, 15, 18]])
def test_the_estimate_is_the_maximum_of_the_penalised_likelihood(found: list[int]) -> None:
    one = counts(found)
    fit, truth = fit_pod(one), best(one)
    assert [fit.intercept, fit.slope] == pytest.approx(list(truth.x), abs=1e-5)


@pytest.mark.parametrize("found", [[0, 0, 3, 15, 20, 20], [2, 5, 9, 12, 15, 18]])
@pytest.mark.parametrize("size_mm", [1.0, 5.0])
def test_bounds_are_those_of_the_profile_likelihood(found: list[int], size_mm: float) -> None:
    one = counts(found)
    fit, top = fit_pod(one), -best(one).fun
    at = np.log(size_mm)

    def deviance(logit: float) -> float:
        profile = optimize.minimize_scalar(
            lambda slope: -penalised(np.array([logit - slope * at, slope]), one), bounds=(0, 20), method="bounded"
        )
        return float(2 * (top + profile.fun) - CRITICAL)

    middle = fit.intercept + fit.slope * at
    low = optimize.brentq(deviance, middle - 8, middle)
    high = optimize.brentq(deviance, middle, middle + 8)
    assert float(fit.lower(size_mm)) == pytest.approx(1 / (1 + np.exp(-low)), abs=2e-4)
    assert float(fit.upper(size_mm)) == pytest.approx(1 / (1 + np.exp(-high)), abs=2e-4)


def test_the_size_of_the_bound_is_where_the_lower_curve_has_it() -> None:
    fit = fit_pod(counts([0, 0, 3, 15, 20, 20]))
    assert float(fit.lower(fit.size_bound_at(0.9))) == pytest.approx(0.9, abs=1e-6)
    assert float(fit.pod(fit.size_at(0.9))) == pytest.approx(0.9, abs=1e-9)
    assert fit.size_bound_at(0.9) > fit.size_at(0.9)


def test_two_groups_in_a_saturated_model_add_half_a_hit_and_half_a_miss() -> None:
    """With as many sizes as parameters Firth's estimate is (hits + 1/2) / (n + 1); a third size of weight 0 is none."""
    sizes = np.array([1.0, 4.0, 4.0000001])
    fit = fit_pod(HitCounts(sizes, np.array([20, 15, 5]), np.array([4, 13, 4])))
    assert fit.pod([1.0, 4.0]) == pytest.approx([4.5 / 21, 17.5 / 21], abs=1e-6)


def test_separated_counts_have_a_finite_curve_between_the_two_sizes() -> None:
    fit = fit_pod(counts([0, 0, 0, 20, 20, 20]))
    assert 0 < fit.slope < 50
    assert SIZES[2] < fit.size_at(0.5) < SIZES[3]
    assert fit.size_at(0.9) < fit.size_bound_at(0.9) < SIZES[4]


def _monotone(fit: PodFit) -> None:
    sizes = np.geomspace(0.05, 100, 60)
    for curve in (fit.pod(sizes), fit.lower(sizes), fit.upper(sizes)):
        assert (np.diff(curve) >= -1e-12).all()
        assert np.isfinite(curve).all()
    assert (fit.lower(sizes) <= fit.pod(sizes) + 1e-12).all()
    assert (fit.pod(sizes) <= fit.upper(sizes) + 1e-12).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "found",
    [
        [0] * 6,
        [20] * 6,
        [0, 0, 0, 0, 0, 20],
        [0, 20, 20, 20, 20, 20],
        [20, 10, 0, 0, 0, 0],
        [0, 1, 0, 0, 1, 0],
        [18] * 6,
    ],
)
def test_curves_of_all_kinds_of_counts_rise_and_lie_in_their_bounds(found: list[int]) -> None:
    _monotone(fit_pod(counts(found)))
    _monotone(fit_pod(counts([n // 20 for n in found], planted=1)))
    _monotone(fit_pod(counts([n * 50 for n in found], planted=1000)))


def test_all_found_and_none_found_state_no_size_beyond_those_planted() -> None:
    everything, nothing = pod_curve(counts([60] * 6, planted=60)), pod_curve(counts([0] * 6))
    assert (everything.a90.side, everything.a90_95.side, everything.a90_95.mm) == (Side.BELOW, Side.BELOW, SIZES[0])
    assert (nothing.a50.side, nothing.a90.side, nothing.a90_95.side) == (Side.ABOVE,) * 3
    assert str(nothing.a90_95) == "> 16"
    assert str(everything.a90) == "< 0.5"


def test_a_curve_that_never_reaches_nine_tenths_says_so() -> None:
    curve = pod_curve(counts([0, 1, 3, 6, 10, 14]))
    assert curve.a50.side is Side.WITHIN
    assert (curve.a90.side, curve.a90_95.side) == (Side.ABOVE, Side.ABOVE)


def test_too_few_defects_carry_an_a90_and_no_a90_95() -> None:
    curve = pod_curve(counts([0, 1, 1, 2, 3, 3], planted=3))
    assert curve.a90.side is Side.WITHIN
    assert curve.a90_95.side is Side.ABOVE


def test_counts_that_no_curve_fits_state_nothing() -> None:
    curve = pod_curve(counts([0, 0, 100, 100, 40, 100], planted=100))
    assert not curve.fits
    assert [row.is_off_curve for row in curve.rows][4]
    assert str(curve.a90_95) == "not stated"
    assert curve.a50.mm is None


@pytest.mark.parametrize(("hits", "trials"), [(0, 10), (10, 10), (3, 17), (299, 300), (1, 1)])
@pytest.mark.parametrize("confidence", [0.95, 0.99])
def test_exact_intervals_are_quantiles_of_the_beta_distribution(hits: int, trials: int, confidence: float) -> None:
    tail = (1 - confidence) / 2
    low = stats.beta.ppf(tail, hits, trials - hits + 1) if hits else 0.0
    high = stats.beta.isf(tail, hits + 1, trials - hits) if hits < trials else 1.0
    assert clopper_pearson(hits, trials, confidence) == pytest.approx((low, high), abs=1e-10)


@pytest.mark.parametrize(("probability", "misses"), [(0.9, 0), (0.95, 0), (0.9, 1), (0.95, 2), (0.5, 3)])
def test_the_least_number_of_trials_is_the_least(probability: float, misses: int) -> None:
    trials = trials_needed(probability, misses)
    # with one detection rate p, at most `misses` of n are missed with probability sum C(n,k) (1-p)^k p^(n-k)
    miss = 1 - probability

    def chance(n: int) -> float:
        return sum(math.comb(n, k) * miss**k * probability ** (n - k) for k in range(misses + 1))

    assert chance(trials) <= 0.05 < chance(trials - 1)
    assert at_least(trials - misses, trials) >= probability
    assert (trials_needed(0.9), trials_needed(0.95)) == (29, 59)


@pytest.mark.slow
def test_the_bound_covers_the_true_size_as_often_as_it_says() -> None:
    """300 studies of a known curve; 95 % is 285, and 274 to 294 is where 300 draws of 0.95 lie 99 times in 100."""
    rng, slope, a50 = np.random.default_rng(20), 3.0, 2.0
    a90 = a50 * 9 ** (1 / slope)
    pod = 1 / (1 + np.exp(-slope * np.log(SIZES / a50)))
    covered, estimates = 0, []
    for _ in range(300):
        fit = fit_pod(HitCounts(SIZES, np.full(6, 30), rng.binomial(30, pod)))
        covered += fit.size_bound_at(0.9) >= a90
        estimates.append(fit.size_at(0.9))
    assert 274 <= covered <= 294
    assert np.median(estimates) == pytest.approx(a90, rel=0.03)


@pytest.mark.parametrize(
    ("sizes", "planted", "found", "said"),
    [
        ([1, 2], [5, 5], [0, 5], "three or more"),
        ([1, 2, 2], [5, 5, 5], [0, 1, 5], "rising"),
        ([0, 1, 2], [5, 5, 5], [0, 1, 5], "above 0"),
        ([1, 2, 3], [5, 0, 5], [0, 0, 5], "one or more of each size"),
        ([1, 2, 3], [5, 5, 5], [0, 6, 5], "more than were planted"),
    ],
)
def test_impossible_counts_are_refused(sizes: list[float], planted: list[int], found: list[int], said: str) -> None:
    with pytest.raises(InputError, match=said):
        HitCounts(np.array(sizes, float), np.array(planted), np.array(found))


def test_impossible_intervals_are_refused() -> None:
    with pytest.raises(InputError, match="no more hits"):
        clopper_pearson(3, 2)
    with pytest.raises(InputError, match="confidence"):
        clopper_pearson(1, 2, 1.0)
    with pytest.raises(InputError, match="confidence"):
        fit_pod(counts([0, 1, 2, 3, 4, 5]), 0.3)
