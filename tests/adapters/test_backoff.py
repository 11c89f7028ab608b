from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from glass_edge.adapters.backoff import Backoff
from glass_edge.config.adapters import RetrySettings


@given(st.floats(0.01, 60), st.floats(1, 50), st.integers(0, 2**32), st.integers(1, 60))
def test_pauses_double_within_their_jitter_up_to_the_longest(first_s: float, times: float, seed: int, n: int) -> None:
    most_s = min(3600.0, first_s * times)
    backoff = Backoff(RetrySettings(first_s=first_s, most_s=most_s), random.Random(seed))
    full_s = first_s
    for _ in range(n):
        pause_s = backoff.pause_s()
        assert full_s / 2 <= pause_s <= full_s
        full_s = min(most_s, full_s * 2)


@given(st.floats(0, 1e6), st.integers(0, 2**32))
def test_the_receivers_wish_is_kept_as_far_as_the_longest_pause_allows(asked_s: float, seed: int) -> None:
    pause_s = Backoff(RetrySettings(first_s=1, most_s=60), random.Random(seed)).pause_s(asked_s)
    assert min(60.0, asked_s) <= pause_s <= min(60.0, max(1.0, asked_s))


def test_a_server_that_stays_away_for_years_overflows_nothing() -> None:
    backoff = Backoff(RetrySettings(first_s=0.5, most_s=60), random.Random(1))
    pauses_s = [backoff.pause_s() for _ in range(5000)]
    assert all(30 <= pause_s <= 60 for pause_s in pauses_s[7:])
