from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from glass_edge.calibration.alarm_rate import Verdict, alarm_rate, poisson_interval
from glass_edge.errors import InputError

_INTERVALS = [poisson_interval(count) for count in range(70)]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 20_000), st.sampled_from([0.8, 0.9, 0.95, 0.99, 0.999]))
def test_the_interval_is_garwoods(count: int, confidence: float) -> None:
    tail = (1 - confidence) / 2
    low, high = poisson_interval(count, confidence)
    assert low == pytest.approx(stats.chi2.ppf(tail, 2 * count) / 2 if count else 0.0, rel=1e-6)
    assert high == pytest.approx(stats.chi2.ppf(1 - tail, 2 * count + 2) / 2, rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(st.floats(0.05, 20.0))
def test_the_interval_holds_the_true_mean_at_least_as_often_as_it_says(mean: float) -> None:
    held = 0.0
    for count in range(70):
        low, high = _INTERVALS[count]
        held += stats.poisson.pmf(count, mean) * (low <= mean <= high)
    assert held >= 0.95 - 1e-6


def test_observed_beside_promised() -> None:
    rate = alarm_rate(3, 1000.0)
    assert rate.verdict(0.5) is Verdict.COMPATIBLE
    assert rate.describe(0.5) == (
        "promised 0.5, observed 3 in 1000 m: 0.3 (0.062 to 0.88) in 100 m: compatible; real defects are counted "
        "too, so false alarms may be fewer"
    )
    assert alarm_rate(0, 1000.0).verdict(0.5) is Verdict.KEPT
    assert alarm_rate(0, 100.0).verdict(0.5) is Verdict.COMPATIBLE  # 100 m cannot tell
    exceeded = alarm_rate(12, 1000.0, are_false=True)
    assert exceeded.verdict(0.5) is Verdict.EXCEEDED
    assert exceeded.describe(0.5).endswith("1.2 (0.62 to 2.1) in 100 m: exceeded")


@pytest.mark.parametrize(
    ("alarms", "metres", "match"),
    [(-1, 10.0, "a count from 0"), (1, 0.0, "a length above 0"), (1, float("nan"), "length"), (200_000, 1.0, "100000")],
)
def test_what_cannot_be_is_refused(alarms: int, metres: float, match: str) -> None:
    with pytest.raises(InputError, match=match):
        alarm_rate(alarms, metres)
    with pytest.raises(InputError, match="confidence"):
        poisson_interval(1, 1.0)
