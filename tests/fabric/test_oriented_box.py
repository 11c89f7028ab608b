"""The smallest rectangle against a search over all directions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.fabric.defect import DefectShape, oriented_shape
from glass_edge.fabric.oriented_box import smallest_box


def rectangle(length: float, width: float, direction_deg: float) -> np.ndarray:
    angle = np.radians(direction_deg)
    along = np.array([np.sin(angle), np.cos(angle)])
    across = np.array([along[1], -along[0]])
    return np.array([a * length / 2 * along + b * width / 2 * across for a in (-1, 1) for b in (-1, 1)])


@given(st.floats(2.0, 1000.0), st.floats(0.1, 0.6), st.floats(-89.0, 90.0))
def test_a_rectangle_is_measured_however_it_lies(length: float, aspect: float, direction: float) -> None:
    found = smallest_box(rectangle(length, length * aspect, direction) + np.array([5000.0, 80000.0]))
    assert (found.length_mm, found.width_mm) == pytest.approx((length, length * aspect), rel=1e-4)
    assert found.direction_deg is not None
    turned = (found.direction_deg - direction + 90) % 180 - 90
    assert turned == pytest.approx(0, abs=0.05)


@given(st.integers(0, 5000), st.integers(3, 30))
def test_no_other_direction_gives_a_smaller_one(seed: int, n: int) -> None:
    points = np.random.default_rng(seed).normal(size=(n, 2)) * [3.0, 40.0]
    found = smallest_box(points)
    areas = []
    for angle in np.radians(np.arange(0, 180, 0.25)):
        turned = points @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        areas.append(np.prod(np.ptp(turned, axis=0)))
    assert found.length_mm * found.width_mm <= min(areas) * (1 + 1e-4)


def test_a_square_has_no_direction_and_a_dot_no_size() -> None:
    assert smallest_box(rectangle(10, 10, 30)).direction_deg is None
    dot = smallest_box(np.array([[3.0, 4.0]]))
    assert (dot.length_mm, dot.width_mm, dot.direction_deg) == (0, 0, None)


@pytest.mark.parametrize(
    ("length", "width", "direction", "shape"),
    [
        (100, 2, 0, DefectShape.WARP_LINE),
        (100, 2, -19, DefectShape.WARP_LINE),
        (100, 2, 71, DefectShape.WEFT_LINE),
        (100, 2, 90, DefectShape.WEFT_LINE),
        (100, 2, 45, DefectShape.BLOCK),
        (20, 8, 0, DefectShape.BLOCK),
        (4.9, 0.5, 0, DefectShape.POINT),
    ],
)
def test_lines_are_told_by_their_lean(length: float, width: float, direction: float, shape: DefectShape) -> None:
    corners = rectangle(length, width, direction)
    across, along = np.ptp(corners, axis=0)
    assert oriented_shape(smallest_box(corners), float(across), float(along)) is shape
