"""Grading against a second computation, and what holds for every roll."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from fabric_support import shape_of
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.config.grading import load_grading
from glass_edge.fabric.fault import Fault
from glass_edge.fabric.grading import Grader, grade_roll
from glass_edge.fabric.grading_table import GradingTable

WIDTH_MM = 1500
METRIC = load_grading("four-point-metric").table()
BUYER = replace(METRIC, edge_exclusion_mm=40, cap_points=6, running_above_mm=300, running_points=3, hole=())
TABLES = [METRIC, BUYER, load_grading("four-point-yards").table(), load_grading("ten-point").table()]


@st.composite
def faults(draw: st.DrawFn) -> list[Fault]:
    """Up to 40 faults on 6 m; whole millimetres, borders of metres and of edges more often than by chance."""
    places = st.integers(0, 6000) | st.sampled_from([0, 999, 1000, 1001, 2000, 3000])
    sides = st.integers(1, 400) | st.integers(1, 3000)
    found = []
    for number in range(1, 1 + draw(st.integers(0, 40))):
        width, length = draw(st.integers(1, 400)), draw(sides)
        across = draw(st.integers(0, WIDTH_MM - width) | st.sampled_from([0, WIDTH_MM - width]))
        flags = draw(st.booleans()), draw(st.integers(0, 9)) == 0
        merged = draw(st.none() | st.none() | st.just(1))
        found.append(Fault(number, shape_of(width, length), across, draw(places), width, length, *flags, merged))
    return found


def plain_points(table: GradingTable, rolls: list[Fault]) -> int:
    """Points summed unit by unit: for each stretch of cloth, what counts in it."""
    total = 0
    for unit in range(20):
        start, end = unit * table.unit.mm, (unit + 1) * table.unit.mm
        points = 0
        for fault in rolls:
            right = WIDTH_MM - table.edge_exclusion_mm
            in_edge = fault.right_mm <= table.edge_exclusion_mm or fault.across_mm >= right
            if fault.merged_into or in_edge:
                continue
            starts_here = start <= fault.along_mm < end
            touches = fault.along_mm < end and fault.end_mm > start
            running = fault.is_running or fault.length_mm > table.running_above_mm
            mine = [0]
            if starts_here and fault.is_hole and table.hole:
                mine.append(_row(table.hole, max(fault.width_mm, fault.length_mm)))
            elif starts_here:
                along, across = (table.warp, table.weft) if table.warp else (table.size, table.size)
                mine += [_row(along, fault.length_mm), _row(across, fault.width_mm)]
            if running and touches:
                mine.append(table.running_points)
            points += max(mine)
        total += min(points, table.cap_points)
    return total


def _row(steps: tuple, size: float) -> int:
    for step in steps:
        if step.up_to_mm is not None and size <= step.up_to_mm:
            return step.points
        if step.up_to_width is not None and size <= step.up_to_width * WIDTH_MM:
            return step.points
    return steps[-1].points


@pytest.mark.parametrize("table", TABLES, ids=lambda table: f"{table.name} {table.cap_points}")
@given(rolls=faults())
def test_the_points_are_those_of_a_plain_sum_over_the_units(table: GradingTable, rolls: list[Fault]) -> None:
    graded = grade_roll(table, rolls, width_mm=WIDTH_MM, woven_m=20, inspected_m=20)
    assert graded.grade.total_points == plain_points(table, rolls)
    assert sum(points.points for points in graded.faults) == graded.grade.total_points
    assert sum(unit.points for unit in graded.grade.units) == graded.grade.total_points
    assert all(0 <= unit.points <= table.cap_points for unit in graded.grade.units)
    for points in graded.faults:
        assert 0 <= points.points <= points.points_by_size
        assert (points.why_less is None) == (points.points == points.points_by_size)


@given(rolls=faults(), order=st.randoms(use_true_random=False))
def test_a_roll_graded_as_it_is_woven_is_graded_as_at_once(rolls: list[Fault], order: random.Random) -> None:
    grader = Grader(BUYER, WIDTH_MM)
    assert grader.total_points == 0
    shuffled = order.sample(rolls, len(rolls))
    for count, fault in enumerate(shuffled, start=1):
        grader.add(fault)
        at_once = grade_roll(BUYER, shuffled[:count], width_mm=WIDTH_MM, woven_m=9, inspected_m=8).grade
        assert grader.grade(woven_m=9, inspected_m=8) == at_once
        assert grader.total_points == at_once.total_points


@given(rolls=faults(), data=st.data())
def test_more_or_larger_defects_never_have_fewer_points(rolls: list[Fault], data: st.DataObject) -> None:
    for table in TABLES:
        before = grade_roll(table, rolls, width_mm=WIDTH_MM, woven_m=20, inspected_m=20).grade.total_points
        if not rolls:
            continue
        index = data.draw(st.integers(0, len(rolls) - 1))
        fewer = rolls[:index] + rolls[index + 1 :]
        without = grade_roll(table, fewer, width_mm=WIDTH_MM, woven_m=20, inspected_m=20).grade.total_points
        assert without <= before
        grown = replace(
            rolls[index],
            width_mm=rolls[index].width_mm + data.draw(st.integers(0, 500)),
            length_mm=rolls[index].length_mm + data.draw(st.integers(0, 2000)),
        )
        after = grade_roll(table, [*fewer, grown], width_mm=WIDTH_MM, woven_m=20, inspected_m=20).grade.total_points
        assert after >= before


def test_memory_grows_with_the_metres_and_not_with_the_defects() -> None:
    grader = Grader(METRIC, WIDTH_MM)
    for number in range(20_000):
        place = number * 7919 % 3000
        grader.add(Fault(number, shape_of(3, 3), 100, place, 3, 3))
    grade = grader.grade(woven_m=3, inspected_m=3)
    assert [(unit.unit, unit.points) for unit in grade.units] == [(0, 4), (1, 4), (2, 4)]
    assert sum(unit.points_before_cap for unit in grade.units) == 20_000
    kept = [value for value in vars(grader).values() if isinstance(value, dict | set | list)]
    assert sum(map(len, kept)) == 3
