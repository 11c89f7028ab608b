"""Each stop rule by sequences made by hand, and what no sequence may break."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from fabric_support import shape_of
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.config.stop_rule import StopSettings
from glass_edge.fabric.defect import DefectPhase
from glass_edge.fabric.fault import Fault
from glass_edge.fabric.stop_rule import StopJudge
from glass_edge.fabric.stop_rule_history import MOST, History, tightest
from glass_edge.fabric.stop_rule_patterns import MOST_OPEN, OpenPatterns
from glass_edge.fabric.stop_rule_values import DenseRule, RepeatRule, StopCause, StopDecision, StopRules

NO_LIMIT = StopRules(min_interval_s=0, min_interval_mm=0)
ALL_RULES = StopSettings(enabled=True).rules()
assert ALL_RULES is not None
NEW, UPDATE, END = DefectPhase.NEW, DefectPhase.UPDATE, DefectPhase.END


def fault(
    number: int, along_mm: float, length_mm: float = 4, across_mm: float = 800, width_mm: float = 4, **flags: object
) -> Fault:
    return Fault(number, shape_of(width_mm, length_mm), across_mm, along_mm, width_mm, length_mm, **flags)


class Loom:
    """Pushes reports with a loom that weaves 10 mm a second; keeps what was asked, with the moment."""

    def __init__(self, rules: StopRules) -> None:
        self.judge = StopJudge(rules)
        self.asked: list[tuple[float, float, StopDecision]] = []

    def push(self, given: Fault, phase: DefectPhase, roll_mm: float | None = None) -> StopDecision | None:
        roll_mm = given.end_mm + 50 if roll_mm is None else roll_mm
        decision = self.judge.push(given, phase, roll_mm=roll_mm, now_s=roll_mm / 10)
        if decision is not None:
            self.asked.append((roll_mm, roll_mm / 10, decision))
        return decision

    def ended(self, *faults: Fault) -> list[StopDecision | None]:
        return [self.push(one, END) for one in faults]


def test_no_rule_asks_for_nothing() -> None:
    loom = Loom(NO_LIMIT)
    assert loom.ended(*(fault(n, 10 * n, is_hole=True) for n in range(1, 50))) == [None] * 49


def test_a_hole_asks_at_once_and_only_once() -> None:
    loom = Loom(replace(NO_LIMIT, hole=True))
    assert loom.push(fault(1, 100), NEW) is None
    decision = loom.push(fault(1, 100, 8, is_hole=True), UPDATE)
    assert decision is not None
    assert decision.cause is StopCause.HOLE
    assert decision.reason == "hole #1 of 4.0 x 8.0 mm at 802 mm across, 0.10 m along"
    assert (decision.defect_id, decision.along_mm, decision.across_mm) == (1, 100, 802)
    assert loom.push(fault(1, 100, 9, is_hole=True), UPDATE) is None
    assert loom.push(fault(1, 100, 9, is_hole=True), END) is None
    assert loom.push(fault(2, 300, is_hole=True), NEW) is not None
    assert loom.push(fault(3, 310, is_hole=True), END) is not None  # known as a hole at its end only


def test_two_parts_of_a_hole_that_grow_together_ask_once() -> None:
    loom = Loom(replace(NO_LIMIT, hole=True))
    assert loom.push(fault(1, 100), NEW) is None
    assert loom.push(fault(2, 101, across_mm=820, is_hole=True), NEW) is not None
    assert loom.push(fault(2, 101, across_mm=820, is_hole=True, merged_into=1), END) is None
    assert loom.push(fault(1, 100, 30, width_mm=24, is_hole=True), UPDATE) is None
    assert loom.push(fault(1, 100, 30, width_mm=24, is_hole=True), END) is None
    # the younger part of a hole that was asked about does not ask either
    assert loom.push(fault(5, 500, is_hole=True), NEW) is not None
    assert loom.push(fault(6, 501, is_hole=True, merged_into=5), END) is None


def test_a_warp_line_asks_while_it_is_open() -> None:
    loom = Loom(replace(NO_LIMIT, running_above_mm=500))
    assert loom.push(fault(7, 1000, 300), NEW) is None
    assert loom.push(fault(7, 1000, 500), UPDATE) is None
    decision = loom.push(fault(7, 1000, 510), UPDATE)
    assert decision is not None
    assert decision.cause is StopCause.RUNNING
    assert decision.reason == "#7 at 802 mm across, 1.00 m along still runs after 510 mm; 500 mm are allowed"
    assert loom.push(fault(7, 1000, 900), UPDATE) is None
    assert loom.push(fault(7, 1000, 950), END) is None
    assert loom.push(fault(8, 3000, 700), END) is None  # over before it was reported
    assert loom.push(fault(9, 4000, 700, width_mm=600), UPDATE) is None  # no line
    assert loom.push(fault(10, 5000, 700, width_mm=600, is_running=True), UPDATE) is not None


def test_a_held_back_request_comes_when_its_cause_lasts() -> None:
    rules = StopRules(min_interval_s=20, min_interval_mm=300, hole=True, running_above_mm=100)
    loom = Loom(rules)
    assert loom.push(fault(1, 0, is_hole=True), NEW, roll_mm=10) is not None
    assert loom.push(fault(2, 20, 120), UPDATE, roll_mm=150) is None  # 14 s and 140 mm later
    assert loom.push(fault(3, 100, is_hole=True), NEW, roll_mm=160) is None
    assert loom.push(fault(3, 100, is_hole=True), END, roll_mm=170) is None
    assert loom.push(fault(2, 20, 200), UPDATE, roll_mm=300) is None  # 29 s, but 290 mm
    assert loom.judge.held_back == 4
    decision = loom.push(fault(2, 20, 230), UPDATE, roll_mm=310)
    assert decision is not None
    assert decision.defect_id == 2


def test_many_defects_on_little_cloth_ask_once_until_it_is_better() -> None:
    loom = Loom(replace(NO_LIMIT, dense=DenseRule(defects=4, within_mm=1000)))
    first = loom.ended(*(fault(n, 330 * n, across_mm=50 * n) for n in (1, 2, 3, 4)))
    assert first[:3] == [None] * 3
    assert first[3] is not None
    assert first[3].reason == ("4 defects within 0.99 m, from 0.33 m along; 4 within 1 m are too many")
    assert first[3].defect_ids == (1, 2, 3, 4)
    assert loom.ended(fault(5, 1650), fault(6, 1900)) == [None, None]  # as dense as before
    assert loom.ended(fault(7, 4000), fault(8, 4010), fault(9, 4020)) == [None] * 3
    assert loom.ended(fault(10, 4030))[0] is not None
    wide = Loom(replace(NO_LIMIT, dense=DenseRule(defects=4, within_mm=1000)))
    assert wide.ended(*(fault(n, 334 * n) for n in range(1, 30))) == [None] * 29  # 4 on 1.002 m


def test_what_ends_late_counts_where_it_is() -> None:
    loom = Loom(replace(NO_LIMIT, dense=DenseRule(defects=3, within_mm=500)))
    assert loom.ended(fault(1, 1000), fault(2, 1400), fault(3, 9000)) == [None] * 3
    # too far back by now: nothing before 8.5 m is kept
    assert loom.push(fault(4, 1100, 100), END, roll_mm=9100) is None
    again = Loom(replace(NO_LIMIT, dense=DenseRule(defects=3, within_mm=500)))
    assert again.ended(fault(1, 1000), fault(2, 1400)) == [None] * 2
    assert again.push(fault(3, 1100, 100), END, roll_mm=1500) is not None


def test_merged_defects_do_not_count_twice() -> None:
    rules = replace(NO_LIMIT, dense=DenseRule(3, 1000), repeat=RepeatRule(3, 3, 1000, 50))
    loom = Loom(rules)
    parts = [fault(n, 100 + n, merged_into=1) for n in range(2, 12)]
    assert loom.ended(*parts, fault(1, 100, 20)) == [None] * 11
    assert loom.ended(fault(20, 200)) == [None]
    assert loom.ended(fault(21, 300))[0] is not None  # three in all


def test_a_broken_end_that_breaks_again_asks_once() -> None:
    loom = Loom(replace(NO_LIMIT, repeat=RepeatRule(defects=3, across_tolerance_mm=3, within_mm=5000, widest_mm=50)))
    elsewhere = [fault(100 + n, 500 * n, across_mm=20 * n) for n in range(20)]
    assert loom.ended(*elsewhere) == [None] * 20
    ends = [
        fault(1, 10_100, 200, across_mm=400),
        fault(2, 11_900, 60, across_mm=402),
        fault(3, 14_800, 90, across_mm=401),
    ]
    found = loom.ended(*ends)
    assert found[:2] == [None] * 2
    assert found[2] is not None
    assert found[2].cause is StopCause.REPEAT
    assert found[2].defect_ids == (1, 2, 3)
    assert found[2].reason == "3 defects at 403 mm across within 4.64 m; 3 within 5 m are too many at one place"
    assert loom.ended(fault(4, 15_000, across_mm=403), fault(5, 16_000, across_mm=404)) == [None] * 2
    # mended for more than 5 m, then it breaks again
    again = loom.ended(*(fault(n, 22_000 + 300 * n, across_mm=402) for n in (6, 7, 8)))
    assert again[:2] == [None] * 2
    assert again[2] is not None


def test_full_width_faults_are_no_repeat_of_a_place() -> None:
    loom = Loom(replace(NO_LIMIT, repeat=RepeatRule(3, 3, 5000, 50)))
    assert loom.ended(*(fault(n, 100 * n, across_mm=5, width_mm=1490) for n in range(1, 20))) == [None] * 19


def periodic_rules() -> StopRules:
    return replace(NO_LIMIT, periodic=ALL_RULES.periodic)


def test_a_roller_mark_is_one_request_with_its_period() -> None:
    loom = Loom(periodic_rules())
    marks = [fault(n, 730 + 628.3 * n, across_mm=500) for n in range(40)]
    others = [fault(100 + n, 411.7 * n, across_mm=31 * n) for n in range(25)]
    loom.ended(*sorted(marks + others, key=lambda one: one.along_mm))
    assert len(loom.asked) == 1
    decision = loom.asked[0][2]
    assert decision.cause is StopCause.PERIODIC
    assert decision.period_mm == pytest.approx(628.3)
    assert decision.defect_ids == (0, 1, 2, 3, 4)
    assert decision.reason == (
        "every 628.3 mm a defect at 502 mm across: 5 of 5 places up to 3.25 m along; "
        "chance gives that with less than 0.0001"
    )


def test_a_roller_mark_asks_again_after_it_was_away() -> None:
    loom = Loom(periodic_rules())
    marks = [fault(n, 600 * n) for n in range(10)] + [fault(50 + n, 40_000 + 600 * n) for n in range(10)]
    loom.ended(*marks)
    # the fifth at first, with little cloth behind it; later four are enough: chance has more places to go
    assert [decision.defect_id for _, _, decision in loom.asked] == [4, 53]


def test_a_roller_mark_with_misses_and_other_defects_is_found_on_a_whole_roll() -> None:
    rng = np.random.default_rng(7)
    found = 0
    for _ in range(20):
        loom = Loom(periodic_rules())
        marks = [fault(n, 628.3 * n + rng.normal(0, 1) + 5, across_mm=500) for n in range(40) if rng.random() > 0.2]
        others = [
            fault(100 + n, rng.uniform(0, 25_000), across_mm=rng.uniform(0, 1500), width_mm=rng.uniform(1, 50))
            for n in range(40)
        ]
        loom.ended(*sorted(marks + others, key=lambda one: one.end_mm))
        found += any(abs(decision.period_mm - 628.3) < 2 for _, _, decision in loom.asked)
        assert all(abs(decision.across_mm - 502) < 6 for _, _, decision in loom.asked)
    assert found >= 19


def test_rolls_of_scattered_defects_have_no_period() -> None:
    rng = np.random.default_rng(8)
    rules = replace(NO_LIMIT, periodic=replace(ALL_RULES.periodic, across_tolerance_mm=50))  # 10 at a place
    defects = asked = 0
    for _ in range(4):
        loom = Loom(rules)
        places = np.sort(rng.uniform(0, 100_000, 500))
        loom.ended(*(fault(n, along, across_mm=rng.uniform(0, 1000)) for n, along in enumerate(places)))
        defects, asked = defects + 500, asked + len(loom.asked)
    assert asked <= max(1, 1e-4 * defects)


def test_a_period_says_more_than_a_repeat_and_silences_it() -> None:
    rules = replace(periodic_rules(), repeat=RepeatRule(5, 3, 5000, 50))
    loom = Loom(rules)
    loom.ended(*(fault(n, 600 * n) for n in range(20)))
    assert [decision.cause for _, _, decision in loom.asked] == [StopCause.PERIODIC]


def test_the_limits_hold_over_the_end_of_a_roll() -> None:
    judge = StopJudge(StopRules(min_interval_s=10, min_interval_mm=1000, hole=True))
    assert judge.push(fault(1, 9500, is_hole=True), NEW, roll_mm=9600, now_s=0) is not None
    judge.begin_roll(10_000)
    assert judge.push(fault(1, 100, is_hole=True), NEW, roll_mm=200, now_s=90) is None  # 600 mm later
    assert judge.push(fault(2, 550, is_hole=True), NEW, roll_mm=600, now_s=9) is None  # 9 s later
    assert judge.push(fault(2, 550, is_hole=True), UPDATE, roll_mm=600, now_s=10) is not None


reports = st.lists(
    st.tuples(
        st.integers(1, 12),  # id
        st.integers(0, 3000),  # length
        st.sampled_from([3, 40, 700]),  # width
        st.sampled_from([100, 101, 700]),  # across
        st.booleans(),  # hole
        st.sampled_from([NEW, UPDATE, END, END, END]),
        st.none() | st.integers(1, 12),  # merged into
        st.integers(0, 400),  # cloth since the last report
        st.integers(0, 40),  # seconds since the last report
    ),
    max_size=60,
)


@given(given_reports=reports, min_s=st.integers(0, 100), min_mm=st.integers(0, 2000))
def test_requests_never_come_faster_than_allowed(given_reports: list[tuple], min_s: int, min_mm: int) -> None:
    dense, repeat = DenseRule(3, 2000), RepeatRule(2, 3, 3000, 50)
    judge = StopJudge(replace(ALL_RULES, min_interval_s=min_s, min_interval_mm=min_mm, dense=dense, repeat=repeat))
    roll_mm = now_s = 0
    asked: list[tuple[int, int]] = []
    for number, length, width, across, is_hole, phase, merged, more_mm, more_s in given_reports:
        roll_mm, now_s = roll_mm + more_mm, now_s + more_s
        one = fault(
            number,
            max(roll_mm - length, 0),
            length,
            across,
            width,
            is_hole=is_hole,
            merged_into=merged if phase is END and merged != number else None,
        )
        decision = judge.push(one, phase, roll_mm=roll_mm, now_s=now_s)
        if decision is not None:
            assert decision.defect_id == number
            assert decision.along_mm == one.along_mm
            assert any(character.isdigit() for character in decision.reason)
            asked.append((roll_mm, now_s))
    for before, after in pairwise(asked):
        assert after[0] - before[0] >= min_mm
        assert after[1] - before[1] >= min_s


def test_memory_is_bounded() -> None:
    history = History(keep_mm=1e9)
    for number in range(3 * MOST):
        history.add(fault(number, 10.0 * number))
    assert len(history) == MOST
    assert history.kept_from_mm == 10.0 * (2 * MOST - 1) + 2
    assert history.add(fault(1, 5.0)) is None
    patterns = OpenPatterns(1000)
    places = history.all()
    for place in places[: 2 * MOST_OPEN]:
        patterns.open("repeat", place)
    assert len(patterns) == MOST_OPEN
    patterns.forget(1e9)
    assert len(patterns) == 0


@given(places=st.lists(st.integers(0, 1000), min_size=1, max_size=30), count=st.integers(1, 6), data=st.data())
def test_the_tightest_group_is_the_tightest(places: list[int], count: int, data: st.DataObject) -> None:
    history = History(keep_mm=1e9)
    added = [history.add(fault(number, along)) for number, along in enumerate(places)]
    index = data.draw(st.integers(0, len(places) - 1))
    group = tightest(history.all(), added[index], count)
    if len(places) < count:
        assert not group
        return
    assert added[index] in group
    ordered = sorted(added)
    spans = [
        ordered[start + count - 1].along_mm - ordered[start].along_mm
        for start in range(len(ordered) - count + 1)
        if added[index] in ordered[start : start + count]
    ]
    assert group[-1].along_mm - group[0].along_mm == min(spans)
