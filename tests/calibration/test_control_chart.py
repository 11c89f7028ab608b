"""Charts against scipy's t, known processes and a second computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats

from glass_edge.calibration.control_chart import Baseline, ChartRules, baseline_of, draw_chart, student_limit

RULES = ChartRules(level_sigmas=5.0, trend_sigmas=4.0, trend_weight=0.1, clear_rolls=3)
FLOOR = 1e-6
values = st.lists(st.floats(-50, 50), min_size=3, max_size=60)


def normal(n: int, seed: int, correlation: float = 0.0) -> np.ndarray:
    steps = np.random.default_rng(seed).standard_normal(n)
    out = np.empty(n)
    out[0] = steps[0]
    for k in range(1, n):
        out[k] = correlation * out[k - 1] + math.sqrt(1 - correlation**2) * steps[k]
    return out


@pytest.mark.parametrize("freedom", [5, 9, 19, 49, 199])
@pytest.mark.parametrize("sigmas", [2.0, 3.0, 3.5, 4.0, 5.0])
def test_the_limit_is_that_of_students_t_or_a_little_wider(sigmas: float, freedom: int) -> None:
    exact = float(stats.t.isf(stats.norm.sf(sigmas), freedom))
    assert exact * (1 - 1e-4) <= student_limit(sigmas, freedom) <= exact * (1.02 if freedom >= 9 else 1.1)


def test_a_baseline_of_independent_rolls_has_their_mean_and_spread() -> None:
    found = [baseline_of(list(3 + 0.5 * normal(50, seed)), FLOOR) for seed in range(200)]
    assert np.mean([one.centre for one in found]) == pytest.approx(3, abs=0.02)
    assert np.mean([one.sigma for one in found]) == pytest.approx(0.5, rel=0.08)
    assert np.median([one.correlation for one in found]) < 0.1


def test_rolls_that_are_alike_count_for_fewer() -> None:
    found = [baseline_of(list(normal(100, seed, 0.6)), FLOOR) for seed in range(100)]
    assert np.mean([one.correlation for one in found]) == pytest.approx(0.6, abs=0.08)
    assert np.median([one.rolls for one in found]) == pytest.approx(100 * 0.4 / 1.6, rel=0.3)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.lists(st.integers(0, 29), max_size=9, unique=True), st.floats(20, 1e6), st.booleans())
def test_odd_rolls_in_the_baseline_are_left_out(seed: int, places: list[int], far: float, is_below: bool) -> None:
    rolls = normal(30, seed)
    clean = baseline_of(list(np.delete(rolls, places)), FLOOR)
    rolls[places] = -far if is_below else far
    found = baseline_of(list(rolls), FLOOR)
    assert set(places) <= set(np.flatnonzero(found.is_odd))
    if found.is_odd.sum() == len(places) and not clean.is_odd.any():
        assert (found.centre, found.sigma) == pytest.approx((clean.centre, clean.sigma))


def test_what_hardly_varies_has_the_least_spread() -> None:
    found = baseline_of([0.0] * 20, 0.5)
    assert (found.sigma, found.centre) == (0.5, 0.0)
    assert not draw_chart(found, [1.0, -1.0, 0.5], RULES).is_alarm


@pytest.mark.parametrize("wrong", [[1.0, 2.0], [1.0, 2.0, math.nan], [1.0, 2.0, math.inf]])
def test_no_baseline_of_what_is_none(wrong: list[float]) -> None:
    with pytest.raises(ValueError, match="3 or more finite"):
        baseline_of(wrong, FLOOR)


def trend_by_its_sum(away: np.ndarray, weight: float) -> float:
    """The EWMA as Roberts writes it: a sum over all values."""
    n = len(away)
    return float(sum(weight * (1 - weight) ** (n - 1 - k) * away[k] for k in range(n)))


@settings(deadline=None)
@given(values, st.floats(0.05, 1.0), st.floats(0, 0.8))
def test_the_chart_is_a_second_computation_of_its_formulas(
    later: list[float], weight: float, correlation: float
) -> None:
    rules = ChartRules(3.0, 3.0, weight, clear_rolls=2)
    base = Baseline(2.0, 5.0, correlation, 40.0, 39.0, np.zeros(40, np.bool_))
    chart = draw_chart(base, later, rules)
    reach = 5.0 * student_limit(3.0, 39) * math.sqrt(1 + 1 / 40)
    assert chart.level_reach == pytest.approx(reach)
    cut = np.clip(np.array(later) - 2.0, -reach, reach)
    for k, point in enumerate(chart.points):
        trend = trend_by_its_sum(cut[: k + 1], weight)
        assert point.trend == pytest.approx(2.0 + trend, abs=1e-9)
        assert point.is_level_out == (abs(later[k] - 2.0) > reach)
        assert point.is_trend_out == (abs(point.trend - 2.0) > point.trend_reach)
    outs = [point.is_level_out or point.is_trend_out for point in chart.points]
    lasting = False
    for k, point in enumerate(chart.points):
        lasting = outs[k] or (lasting and outs[k - 1])  # over after two rolls in a row in control
        assert point.is_alarm == lasting


def test_the_variance_of_the_trend_is_that_of_a_correlated_process() -> None:
    weight, correlation, n = 0.1, 0.5, 200
    ends = [trend_by_its_sum(normal(n, seed, correlation)[-100:], weight) for seed in range(3000)]
    base = Baseline(0.0, 1.0, correlation, 1e9, 1e9, np.zeros(1, np.bool_))
    chart = draw_chart(base, [0.0] * n, ChartRules(3.0, 1.0, weight, clear_rolls=1))
    assert chart.points[-1].trend_reach == pytest.approx(np.std(ends), rel=0.05)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(0.01, 1000), st.floats(-1e4, 1e4), st.integers(10, 40))
def test_units_do_not_matter(seed: int, scale: float, shift: float, n: int) -> None:
    rolls = normal(n + 30, seed)
    rolls[n + 15 :] += 3
    one = draw_chart(baseline_of(list(rolls[:n]), FLOOR), list(rolls[n:]), RULES)
    other = scale * rolls + shift
    two = draw_chart(baseline_of(list(other[:n]), FLOOR * scale), list(other[n:]), RULES)
    away = [abs(abs(p.value - one.baseline.centre) / one.level_reach - 1) for p in one.points]
    away += [abs(abs(p.trend - one.baseline.centre) / p.trend_reach - 1) for p in one.points]
    assume(min(away) > 1e-6)
    assert [p.is_alarm for p in one.points] == [p.is_alarm for p in two.points]


@settings(deadline=None)
@given(st.integers(0, 10_000), st.floats(15, 1e6))
def test_one_odd_roll_is_soon_forgotten(seed: int, far: float) -> None:
    rolls = normal(50, seed)
    base = baseline_of(list(rolls[:40]), FLOOR)
    later = [far, *([base.centre] * 10)]
    chart = draw_chart(base, later, RULES)
    assert chart.points[0].is_alarm
    assert not chart.is_alarm


def test_an_upper_limit_alone_lets_what_is_low_pass() -> None:
    base = baseline_of(list(normal(30, 1)), FLOOR)
    assert draw_chart(base, [-40.0] * 5, RULES).is_alarm
    assert not draw_chart(base, [-40.0] * 5, RULES, upper_only=True).is_alarm
    assert draw_chart(base, [40.0] * 5, RULES, upper_only=True).is_alarm


@pytest.mark.parametrize(("n", "most"), [(10, 0.03), (20, 0.02), (50, 0.02)])
def test_stable_rolls_seldom_alarm_however_short_the_baseline(n: int, most: float) -> None:
    alarms = 0
    for seed in range(1500):
        rolls = normal(n + 100, seed)
        chart = draw_chart(baseline_of(list(rolls[:n]), FLOOR), list(rolls[n:]), RULES)
        alarms += any(point.is_alarm for point in chart.points)
    assert alarms / 1500 <= most


@pytest.mark.parametrize(("shift", "within"), [(3.0, 20), (5.0, 8)])
def test_a_level_that_jumped_is_seen(shift: float, within: int) -> None:
    seen = 0
    for seed in range(300):
        rolls = normal(20 + within, seed)
        chart = draw_chart(baseline_of(list(rolls[:20]), FLOOR), list(rolls[20:] + shift), RULES)
        seen += any(point.is_alarm for point in chart.points)
    assert seen / 300 >= 0.9
