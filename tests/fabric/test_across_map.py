"""Maps across the web against polynomials and their inverses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.fabric.across_map import AcrossMap
from glass_edge.fabric.geometry import WebBox, WebScale, to_mm


def lens(width_px: int = 4096, every_px: int = 16) -> tuple[AcrossMap, np.polynomial.Polynomial]:
    """A map through knots of a cubic, and the cubic."""
    cubic = np.polynomial.Polynomial([300.0, 205.0, 0.5, -2.0])
    columns = np.arange(0, width_px + 1, every_px, dtype=np.float64)
    return AcrossMap(columns, cubic(2 * columns / width_px - 1)), cubic


def test_between_the_knots_the_map_is_the_curve_it_was_taken_from() -> None:
    drawn, cubic = lens()
    columns = np.linspace(0, 4096, 5001)
    assert np.abs(drawn.across_mm(columns) - cubic(2 * columns / 4096 - 1)).max() < 1e-4


@given(st.lists(st.floats(0.01, 5.0), min_size=1, max_size=30), st.floats(-50.0, 200.0))
def test_columns_and_millimetres_are_inverses(steps: list[float], column: float) -> None:
    columns = np.arange(len(steps) + 1, dtype=np.float64) * 3
    drawn = AcrossMap(columns, np.concatenate([[7.0], 7.0 + np.cumsum(steps)]))
    assert drawn.column_px(drawn.across_mm(column)) == pytest.approx(column, abs=1e-6)


def test_a_map_of_even_pixels_gives_the_boxes_of_no_map() -> None:
    even = AcrossMap(np.array([0.0, 1000.0]), np.array([5.0, 105.0]))
    box = WebBox(40, 90, 10, 30)
    plain = to_mm(box, WebScale(0.1, 0.2), left_selvedge_px=12, roll_first_line=4)
    mapped = to_mm(box, WebScale(0.1, 0.2, even), left_selvedge_px=12, roll_first_line=4)
    assert (mapped.across_mm, mapped.width_mm) == pytest.approx((plain.across_mm, plain.width_mm))
    assert (mapped.along_mm, mapped.length_mm) == (plain.along_mm, plain.length_mm)


def test_a_lens_moves_positions_by_what_it_bends() -> None:
    drawn, cubic = lens()
    box = to_mm(WebBox(3000, 3100, 0, 10), WebScale(0.1, 0.1, drawn), left_selvedge_px=200, roll_first_line=0)
    places = cubic(2 * np.array([200, 3000, 3100]) / 4096 - 1)
    assert box.across_mm == pytest.approx(places[1] - places[0], abs=1e-3)
    assert box.width_mm == pytest.approx(places[2] - places[1], abs=1e-3)


@pytest.mark.parametrize(
    ("columns", "places"),
    [([0.0], [1.0]), ([0.0, 1.0], [1.0]), ([0.0, 0.0], [1.0, 2.0]), ([0.0, 1.0], [2.0, 2.0]), ([0.0, np.nan], [1, 2])],
)
def test_what_is_no_map_is_refused(columns: list[float], places: list[float]) -> None:
    with pytest.raises(ValueError, match="knot"):
        AcrossMap(np.array(columns, np.float64), np.array(places, np.float64))
