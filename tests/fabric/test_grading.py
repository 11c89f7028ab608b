"""Grades against figures worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fabric_support import shape_of

from glass_edge.config.grading import load_grading
from glass_edge.errors import InputError
from glass_edge.fabric.defect import Defect, DefectPhase, DefectShape
from glass_edge.fabric.fault import Fault
from glass_edge.fabric.geometry import MmBox, WebBox
from glass_edge.fabric.grading import Grader, grade_roll, points_per_100_m2, points_per_100_yd2
from glass_edge.fabric.grading_result import WhyLess
from glass_edge.fabric.grading_table import QualityLimits
from glass_edge.fabric.oriented_box import OrientedBox

METRIC = load_grading("four-point-metric").table()
YARDS = load_grading("four-point-yards").table()
TEN = load_grading("ten-point").table()


def fault(
    number: int,
    along_mm: float,
    length_mm: float,
    across_mm: float = 700.0,
    width_mm: float = 5.0,
    *,
    is_hole: bool = False,
    is_running: bool = False,
    merged_into: int | None = None,
) -> Fault:
    shape = shape_of(width_mm, length_mm)
    return Fault(number, shape, across_mm, along_mm, width_mm, length_mm, is_hole, is_running, merged_into)


def test_points_on_an_area_are_those_of_the_standards_formulae() -> None:
    assert points_per_100_yd2(24, 120, 46) == pytest.approx(15.65, abs=0.005)
    assert points_per_100_m2(29, 100, 1500) == pytest.approx(19.33, abs=0.005)


def test_a_roll_of_24_points_on_120_yards_of_46_inches() -> None:
    # 12 faults of 1 point, 4 of 2 and 1 hole of 4, each in a yard of its own
    faults = [fault(n, 914.4 * n, 50) for n in range(12)]
    faults += [fault(n, 914.4 * n, 100) for n in range(20, 24)]
    faults += [fault(30, 914.4 * 30, 30, is_hole=True)]
    grade = grade_roll(YARDS, faults, width_mm=46 * 25.4, woven_m=120 * 0.9144, inspected_m=120 * 0.9144).grade
    assert grade.total_points == 24
    assert grade.points_per_100_yd2 == pytest.approx(15.652, abs=0.0005)
    assert grade.points_per_100_m2 == pytest.approx(15.652 / 0.83612736, abs=0.001)  # 1 yd2 is 0.83612736 m2
    assert grade.is_first_quality


def test_a_roll_of_29_points_on_100_metres_of_1500_mm() -> None:
    faults = [fault(n, 1000 * n, 240) for n in range(7)] + [fault(9, 50_000, 74)]
    grade = grade_roll(METRIC, faults, width_mm=1500, woven_m=100, inspected_m=100).grade
    assert grade.total_points == 29
    assert grade.points_per_100_m2 == pytest.approx(19.333, abs=0.0005)


# A roll 14 m long and 1500 mm wide, four points a metre at most, 25 mm beside each selvedge do not count.
#   fault                                                      metre  by size  in the metre before  counts
ROLL = [
    (fault(1, 100, 20), 0, 1, 1, None),  #                                          0 -> 1
    (fault(2, 400, 75), 0, 1, 1, None),  #                      up to 75 mm         1 -> 2
    (fault(3, 700, 5, width_mm=76), 0, 2, 2, None),  #          across              2 -> 4
    (fault(4, 950, 60), 0, 1, 0, WhyLess.CAPPED),  #            ends in metre 1     4, full
    (fault(5, 1000, 4, width_mm=150), 1, 2, 2, None),  #        starts on the border: 0 -> 2
    (fault(6, 1990, 231), 1, 4, 2, WhyLess.CAPPED),  #          4 points, 2 fit     2 -> 4
    (fault(7, 2000, 4, width_mm=230), 2, 3, 3, None),  #                            0 -> 3
    (fault(8, 2500, 25, width_mm=25, is_hole=True), 2, 2, 1, WhyLess.CAPPED),  #    3 -> 4
    (fault(9, 3100, 3, width_mm=26, is_hole=True), 3, 4, 4, None),  #               0 -> 4
    (fault(10, 3500, 2, width_mm=2, is_hole=True), 3, 2, 0, WhyLess.CAPPED),  #     4, full
    (fault(11, 4200, 300, across_mm=0, width_mm=25), 4, 4, 0, WhyLess.EDGE),  #     wholly in the left edge
    (fault(12, 4300, 80, across_mm=10, width_mm=20), 4, 2, 2, None),  #             reaches out of it: 0 -> 2
    (fault(13, 4400, 9, across_mm=1475, width_mm=20), 4, 1, 0, WhyLess.EDGE),  #    wholly in the right edge
    (fault(14, 5200, 2800), 5, 12, 12, None),  #                metres 5, 6 and 7; 8 is only touched at its border
    (fault(15, 6100, 10), 6, 1, 0, WhyLess.CAPPED),  #                              4, full
    (fault(16, 7990, 20), 7, 1, 0, WhyLess.CAPPED),  #          starts in 7         4, full
    (fault(17, 6500, 400, merged_into=14), 6, 4, 0, WhyLess.MERGED),
    (fault(18, 9500, 600, is_running=True), 9, 8, 8, None),  #  metres 9 and 10
    (fault(19, 8500, 151), 8, 3, 3, None),  #                                       0 -> 3
    (fault(20, 12990, 40), 12, 1, 1, None),  #                                      0 -> 1
]
POINTS_BY_METRE = {0: 4, 1: 4, 2: 4, 3: 4, 4: 2, 5: 4, 6: 4, 7: 4, 8: 3, 9: 4, 10: 4, 12: 1}  # 42 in all


def test_twenty_defects_worked_out_by_hand() -> None:
    table = replace(METRIC, edge_exclusion_mm=25.0)
    graded = grade_roll(table, [row[0] for row in ROLL], width_mm=1500, woven_m=14, inspected_m=13.5)
    counted = {points.defect_id: points for points in graded.faults}
    for given, metre, by_size, points, why_less in ROLL:
        found = counted[given.defect_id]
        assert (found.first_unit, found.points_by_size, found.points, found.why_less) == (
            metre,
            by_size,
            points,
            why_less,
        ), given
    grade = graded.grade
    assert {unit.unit: unit.points for unit in grade.units} == POINTS_BY_METRE
    assert grade.total_points == sum(POINTS_BY_METRE.values()) == 42
    assert grade.points_per_100_m2 == pytest.approx(207.407, abs=0.0005)  # 42 x 100 000 / (13.5 x 1500)
    assert grade.points_per_100_yd2 == pytest.approx(173.419, abs=0.0005)  # x 0.83612736
    assert (grade.defects, grade.holes, grade.continuous_units) == (17, 3, 3)
    assert (grade.is_complete, grade.uninspected_m) == (False, 0.5)
    assert grade.remarks == ("0.500 m of 14.000 m were not inspected; the grade is that of the 13.500 m that were",)
    assert grade.reasons == ("207.41 points per 100 m2; first quality allows 48",)


@pytest.mark.parametrize(
    ("length_mm", "width_mm", "points"),
    [
        (25.4, 5, 1),
        (25.5, 5, 3),
        (127, 5, 3),
        (128, 5, 5),
        (254, 5, 5),
        (255, 5, 10),
        (914, 5, 10),
        (5, 25.4, 1),
        (5, 127, 3),
        (5, 128, 5),
        (5, 750, 5),  # half the width
        (5, 751, 10),
        (5, 1500, 10),
        (300, 400, 10),  # 10 along, 5 across: the higher
    ],
)
def test_the_ten_point_table(length_mm: float, width_mm: float, points: int) -> None:
    assert TEN.size_points(fault(1, 0, length_mm, 0, width_mm), 1500) == points


def test_ten_points_a_yard_and_no_more_points_than_yards() -> None:
    long_end = fault(1, 914.4 * 3.5, 914.4 * 2)  # yards 3, 4 and 5
    beside = fault(2, 914.4 * 4.1, 20)
    graded = grade_roll(TEN, [long_end, beside], width_mm=1500, woven_m=27.432, inspected_m=27.432)
    assert [unit.points for unit in graded.grade.units] == [10, 10, 10]
    assert graded.grade.is_first_quality  # 30 points on 30 yards
    shorter = grade_roll(TEN, [long_end, beside], width_mm=1500, woven_m=27, inspected_m=27).grade
    assert shorter.reasons == ("1.02 points per yard; first quality allows 1",)


def test_a_size_that_is_the_limit_but_for_float_rounding_is_the_limit() -> None:
    rounded = 0.1 * 3 * 250  # 75.00000000000001
    assert rounded > 75
    assert METRIC.size_points(fault(1, 0, rounded), 1500) == 1
    border = 0.7 * 10 / 7 * 1000 * 3 - 1e-10
    assert Grader(METRIC, 1500).add(fault(1, border, 5)).first_unit == 3


def test_each_limit_of_first_quality_is_a_reason() -> None:
    limits = QualityLimits(
        points_per_100_m2=1, points_per_100_yd2=1, points_per_unit=0.1, continuous_units=1, holes=0, uninspected_m=0.5
    )
    faults = [fault(1, 0, 1500), fault(2, 3000, 5, is_hole=True)]
    grade = grade_roll(replace(METRIC, limits=limits), faults, width_mm=1000, woven_m=10, inspected_m=9).grade
    assert grade.reasons == (
        "111.11 points per 100 m2; first quality allows 1",
        "92.9 points per 100 yd2; first quality allows 1",
        "1.11 points per metre; first quality allows 0.1",
        "2 consecutive metres with a running defect; first quality allows 1",
        "1 holes; first quality allows 0",
        "1 m not inspected; first quality allows 0.5",
    )
    exact = QualityLimits(points_per_100_m2=40)
    grade = grade_roll(replace(METRIC, limits=exact), [fault(1, 0, 300)], width_mm=1000, woven_m=10, inspected_m=10)
    assert grade.grade.is_first_quality  # 40 of 40


def test_a_roll_of_which_nothing_was_inspected_is_not_of_first_quality() -> None:
    grade = Grader(METRIC, 1500).grade(woven_m=10, inspected_m=0)
    assert grade.reasons == ("nothing was inspected",)
    assert (grade.points_per_100_m2, grade.points_per_100_yd2) == (None, None)
    assert grade.remarks


@pytest.mark.parametrize(("width_mm", "cap"), [(1500, 4), (1600, 4), (1999, 4), (2000, 5), (3200, 8)])
def test_a_cap_can_grow_with_the_width(width_mm: float, cap: int) -> None:
    table = replace(METRIC, cap_width_mm=1600)
    faults = [fault(number, 10 * number, 300) for number in range(1, 4)]
    assert grade_roll(table, faults, width_mm=width_mm, woven_m=1, inspected_m=1).grade.total_points == cap


def test_points_on_an_area_can_leave_out_the_edges() -> None:
    table = replace(METRIC, edge_exclusion_mm=50, area_excludes_edges=True)
    grade = grade_roll(table, [fault(1, 0, 300)], width_mm=1100, woven_m=10, inspected_m=10).grade
    assert grade.points_per_100_m2 == pytest.approx(40)  # 4 points on 10 m x 1 m


def test_what_makes_no_sense_is_refused() -> None:
    grader = Grader(METRIC, 1500)
    for woven_m, inspected_m in ((1, 2), (-1, -1), (1, -1), (float("nan"), 0)):
        with pytest.raises(ValueError, match="is not possible"):
            grader.grade(woven_m=woven_m, inspected_m=inspected_m)
    with pytest.raises(ValueError, match="same defect_id"):
        grade_roll(METRIC, [fault(1, 0, 5), fault(1, 9, 5)], width_mm=1500, woven_m=1, inspected_m=1)
    with pytest.raises(InputError, match="edge_exclusion_mm = 25 on either side"):
        Grader(replace(METRIC, edge_exclusion_mm=25), 50)
    with pytest.raises(InputError, match="give a width above 0"):
        Grader(METRIC, 0)
    with pytest.raises(ValueError, match="no possible place"):
        fault(1, float("nan"), 5)


def test_a_fault_is_the_defect_at_its_moment() -> None:
    box = MmBox(across_mm=10, along_mm=20, width_mm=4, length_mm=6)
    shape = DefectShape.BLOCK
    defect = Defect(7, DefectPhase.END, shape, WebBox(1, 2, 3, 4), box, 1, 0.9, 0.8, 2.0, is_hole=True, merged_into=3)
    found = Fault.of(defect)
    assert found == Fault(7, shape, 10, 20, 4, 6, is_hole=True, is_running=False, merged_into=3)
    askew = replace(defect, oriented=OrientedBox(7.0, 1.0, 30.0), is_hole=False, is_running=True)
    assert Fault.of(askew, is_running=True) == replace(found, is_hole=False, is_running=True, askew_mm=7.0)
    assert not Fault.of(askew).is_running
    assert (found.right_mm, found.end_mm, found.centre_across_mm, found.centre_along_mm) == (14, 26, 12, 23)


def test_a_table_can_only_be_made_consistent() -> None:
    with pytest.raises(ValueError, match="last step"):
        replace(METRIC, hole=METRIC.size[:2])
    with pytest.raises(ValueError, match="as size, or as warp and weft"):
        replace(TEN, weft=())


def test_a_fault_that_lies_askew_counts_by_its_longest_side() -> None:
    crease = fault(1, 0, 60, width_mm=60)
    assert METRIC.size_points(crease, 1500) == 1
    assert METRIC.size_points(replace(crease, askew_mm=84.0), 1500) == 2
    assert METRIC.size_points(replace(crease, is_hole=True, askew_mm=84.0), 1500) == 4
    assert TEN.size_points(replace(crease, askew_mm=300.0), 1500) == 3  # along and across count, each by itself
    with pytest.raises(ValueError, match="no possible place"):
        replace(crease, askew_mm=-1.0)
