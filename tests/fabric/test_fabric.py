"""Geometry, classes of defects and sums over a roll."""

from __future__ import annotations

import pytest
from fabric_support import shape_of
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.fabric.defect import DefectShape
from glass_edge.fabric.geometry import ClothSpan, WebBox, WebScale, to_mm
from glass_edge.fabric.roll import RollTotals

BOXES = st.builds(
    lambda left, width, first, length: WebBox(left, left + width, first, first + length),
    st.integers(0, 9000),
    st.integers(1, 900),
    st.integers(0, 10**7),
    st.integers(1, 10**6),
)


@given(
    box=BOXES, left=st.integers(0, 9000), first=st.integers(0, 10**7), mm=st.floats(0.01, 5), line=st.floats(0.01, 5)
)
def test_millimetres_count_from_the_selvedge_and_the_start_of_the_roll(
    box: WebBox, left: int, first: int, mm: float, line: float
) -> None:
    found = to_mm(box, WebScale(mm, line), left_selvedge_px=left, roll_first_line=first)
    assert found.across_mm / mm + left == pytest.approx(box.left_px, abs=1e-6)
    assert (found.across_mm + found.width_mm) / mm + left == pytest.approx(box.right_px, abs=1e-6)
    assert found.along_mm / line + first == pytest.approx(box.first_line, abs=1e-3)
    assert (found.along_mm + found.length_mm) / line + first == pytest.approx(box.end_line, abs=1e-3)


@given(one=BOXES, two=BOXES)
def test_a_union_holds_both_and_is_the_smallest(one: WebBox, two: WebBox) -> None:
    both = one.union(two)
    assert both == two.union(one)
    assert {both.left_px, both.right_px, both.first_line, both.end_line} <= {
        *(one.left_px, one.right_px, one.first_line, one.end_line),
        *(two.left_px, two.right_px, two.first_line, two.end_line),
    }
    for box in (one, two):
        assert both.left_px <= box.left_px
        assert box.right_px <= both.right_px
        assert both.first_line <= box.first_line
        assert box.end_line <= both.end_line


@pytest.mark.parametrize(
    ("width_mm", "length_mm", "shape"),
    [
        (0.5, 0.5, DefectShape.POINT),
        (5, 5, DefectShape.POINT),
        (1, 40, DefectShape.WARP_LINE),
        (300, 1, DefectShape.WEFT_LINE),
        (10, 12, DefectShape.BLOCK),
        (10, 40, DefectShape.WARP_LINE),
        (10, 39.9, DefectShape.BLOCK),
    ],
)
def test_shapes(width_mm: float, length_mm: float, shape: DefectShape) -> None:
    assert shape_of(width_mm, length_mm) is shape


def test_what_makes_no_sense_is_refused() -> None:
    with pytest.raises(ValueError, match="mm_per_line is 0"):
        WebScale(0.1, 0)
    with pytest.raises(ValueError, match=r"\[5, 5\) is empty"):
        ClothSpan(5, 5)
    with pytest.raises(ValueError, match="empty box"):
        WebBox(0, 4, 7, 7)
    with pytest.raises(ValueError, match="60 lines inspected"):
        RollTotals(100, 60, 30, 0)
