"""A threshold from verdicts: its price is what counting says, and nothing is proposed that was not judged."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.calibration.verdict_threshold import price, propose, steps
from glass_edge.errors import InputError

_peaks = st.lists(st.floats(2, 20, width=32), min_size=1, max_size=30)


@given(false=_peaks, real=_peaks, most_missed=st.floats(0, 1))
def test_the_proposal_is_the_best_of_all_thresholds(false: list[float], real: list[float], most_missed: float) -> None:
    best = propose(2.0, false, real, most_missed=most_missed)
    assert best.logit >= 2.0
    assert best.real_missed == sum(peak < best.logit for peak in real) <= most_missed * len(real)
    assert best.false_left == sum(peak >= best.logit for peak in false)
    # any other threshold, between any two peaks, leaves as many false alarms or misses more than allowed
    for logit in [*false, *real, *(peak + 1e-4 for peak in false + real)]:
        if sum(peak < logit for peak in real) <= most_missed * len(real):
            assert sum(peak >= logit for peak in false) >= best.false_left


def test_prices_rise_with_the_threshold() -> None:
    found = steps(2.0, [2.5, 3.0, 6.0], [4.0, 5.0])
    assert [(one.false_left, one.real_missed) for one in found] == [(3, 0), (2, 0), (1, 0), (0, 2)]
    assert propose(2.0, [2.5, 3.0, 6.0], [4.0, 5.0], most_missed=0.0).false_left == 1


def test_what_is_missed_has_exact_bounds() -> None:
    none = price(3.0, [2.0], [4.0] * 29)
    assert none.miss_high == pytest.approx(1 - 0.025 ** (1 / 29))
    assert (price(3.0, [2.0], []).miss_low, price(3.0, [2.0], []).miss_high) == (0.0, 1.0)


def test_without_verdicts_of_both_kinds_nothing_is_proposed() -> None:
    with pytest.raises(InputError, match="no defect was judged false"):
        propose(2.0, [], [3.0], most_missed=0.1)
    with pytest.raises(InputError, match="judge some"):
        propose(2.0, [3.0], [], most_missed=0.1)
