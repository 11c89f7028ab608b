"""The period detector against chance, and against rollers with missed and additional marks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from glass_edge.config.stop_rule import PeriodicStopSettings
from glass_edge.fabric.stop_rule_period import NEWEST, Period, PeriodRule, find_period

RULE = PeriodicStopSettings().to_rule()
WINDOW_MM = RULE.within_mm


def first_found(positions: np.ndarray, rule: PeriodRule) -> tuple[float, Period] | None:
    """Where a period is found first when the defects come one after the other."""
    for last in positions:
        column = positions[(positions <= last) & (positions > last - rule.within_mm)]
        if (found := find_period(list(column), min(rule.within_mm, float(last)), rule)) is not None:
            return float(last), found
    return None


def test_equal_steps_are_found_and_measured() -> None:
    found = find_period([1000 + 620.5 * turn for turn in range(6)], 5000, RULE)
    assert found is not None
    assert found.period_mm == pytest.approx(620.5)
    assert (found.teeth, found.hits) == (6, 6)
    assert found.chance < RULE.false_alarm


def test_a_missed_turn_and_defects_between_do_not_hide_it() -> None:
    turns = [100 + 500.0 * turn for turn in range(9) if turn not in (3, 6)]
    others = [333.0, 1904.0, 2790.0, 3011.0]
    found = find_period(sorted(turns + others), 5000, RULE)
    assert found is not None
    assert found.period_mm == pytest.approx(500)
    assert (found.teeth, found.hits) == (9, 7)


@pytest.mark.parametrize(
    "along_mm",
    [
        [],
        [100.0],
        [0.0, 500.0, 1000.0],  # three have equal steps easily
        [0.0, 41.0, 82.0, 123.0, 164.0, 205.0],  # below the shortest period
        [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 3500.0, 7000.0, 10500.0, 14000.0, 17500.0],  # above the longest
    ],
)
def test_what_is_no_period(along_mm: list[float]) -> None:
    assert find_period(along_mm, WINDOW_MM, RULE) is None


def test_a_short_window_says_nothing() -> None:
    assert find_period([0.0, 60.0, 120.0, 180.0], 10.0, RULE) is None
    few_places = replace(RULE, along_tolerance_mm=24)
    assert find_period([0.0, 60.0, 120.0, 180.0], 181.0, few_places) is None  # any tooth is hit by chance


@pytest.mark.parametrize(("false_alarm", "defects"), [(0.1, 3), (0.01, 4), (1e-3, 4)])
def test_chance_makes_no_more_periods_than_stated(false_alarm: float, defects: int) -> None:
    rng = np.random.default_rng(1)
    rule = replace(RULE, false_alarm=false_alarm, defects=defects)
    # tighter combs come by chance more often in short windows, so several densities and windows
    tried = found = 0
    for count in (4, 6, 10, 16):
        for window_mm in (2000.0, WINDOW_MM):
            for _ in range(400):
                positions = np.sort(rng.uniform(0, window_mm, count))
                positions[-1] = window_mm  # the newest is where one looks from
                tried += 1
                found += find_period(positions.tolist(), window_mm, rule) is not None
    assert found <= false_alarm * tried + 3 * np.sqrt(false_alarm * tried)


def test_chance_makes_no_more_periods_than_stated_on_whole_rolls() -> None:
    rng = np.random.default_rng(2)
    rule = replace(RULE, false_alarm=0.02)
    defects = found = 0
    for _ in range(12):
        positions = np.sort(rng.uniform(0, 300_000, rng.poisson(120)))  # 8 at a place in the window
        for last in positions:
            column = positions[(positions <= last) & (positions > last - WINDOW_MM)]
            found += find_period(column.tolist(), min(WINDOW_MM, float(last)), rule) is not None
        defects += len(positions)
    assert found <= 0.02 * defects


@pytest.mark.parametrize("period_mm", [130.0, 620.0, 1500.0])
@pytest.mark.parametrize("others_in_window", [0, 5])
def test_a_roller_is_found_though_one_mark_in_five_is_missed(period_mm: float, others_in_window: int) -> None:
    rng = np.random.default_rng(3)
    found = turns_needed = 0
    for _ in range(60):
        start = rng.uniform(0, period_mm)
        marks = start + period_mm * np.arange(30) + rng.normal(0, 1, 30)  # mm, as a box of cells wavers
        marks = np.clip(marks[rng.random(30) > 0.2], 0, None)
        others = rng.uniform(0, marks[-1], rng.poisson(others_in_window * marks[-1] / WINDOW_MM))
        place = first_found(np.sort(np.concatenate([marks, others])), RULE)
        if place is not None and abs(place[1].period_mm - period_mm) < 5:
            found += 1
            turns_needed += (place[0] - start) / period_mm + 1
    assert found >= 57  # 95 %
    assert turns_needed / found < 12


def test_only_the_newest_are_looked_at() -> None:
    rng = np.random.default_rng(4)
    many = np.sort(rng.uniform(0, 10_000, 3000)).tolist()
    assert find_period(many, 10_000, RULE) is None
    comb = [10_000 + 300.0 * turn for turn in range(NEWEST)]
    found = find_period(many + comb, 20_000, RULE)
    assert found is not None
    assert (found.period_mm, found.hits) == (pytest.approx(300), NEWEST)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"defects": 2}, "at least 3"),
        ({"min_period_mm": 10.0}, "must exceed twice along_tolerance_mm"),
        ({"max_period_mm": 40.0}, "below max_period_mm"),
        ({"within_mm": 149.0}, "give at least 150"),
    ],
)
def test_a_rule_that_cannot_work_is_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(RULE, **change)
