"""The selvedge zone."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.fabric.geometry import ClothSpan
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.selvedge_zone import SelvedgeZone, lower_selvedges, zone_cells

STRIDE = 4


def strip(first_cell: int, cells: int, rows: int = 3) -> ScoreStrip:
    logits = np.random.default_rng(0).normal(size=(rows, cells)).astype(np.float32)
    return ScoreStrip(0, rows * STRIDE, STRIDE, first_cell, logits)


@given(
    left=st.integers(0, 200),
    width=st.integers(40, 400),
    beyond=st.integers(0, 100),
    zone=st.integers(0, 300),
    inset=st.integers(0, 8),
)
def test_a_cell_is_lowered_if_any_of_its_pixels_lies_in_a_zone(
    left: int, width: int, beyond: int, zone: int, inset: int
) -> None:
    cloth, image_width = ClothSpan(left, left + width), left + width + beyond
    first = -(-left // STRIDE) + inset
    cells = max(1, (left + width) // STRIDE - inset - first)
    scores = strip(first, cells)
    lowered = lower_selvedges(scores, cloth, image_width, SelvedgeZone(zone, 2.5))
    for cell in range(cells):
        pixels = range((first + cell) * STRIDE, (first + cell + 1) * STRIDE)
        in_left = left > 0 and zone > 0 and any(pixel < left + zone for pixel in pixels)
        in_right = beyond > 0 and zone > 0 and any(pixel >= left + width - zone for pixel in pixels)
        expected = scores.logits[:, cell] - (np.float32(2.5) if in_left or in_right else np.float32(0))
        assert np.array_equal(lowered.logits[:, cell], expected)


def test_cloth_that_leaves_the_picture_has_no_selvedge() -> None:
    scores = strip(4, 100)
    assert zone_cells(scores, ClothSpan(0, 448), 448, 64) == (0, 100)
    assert zone_cells(scores, ClothSpan(0, 416), 448, 64) == (0, 84)


def test_without_a_zone_the_strip_is_the_same() -> None:
    scores = strip(0, 10)
    assert lower_selvedges(scores, ClothSpan(8, 40), 48, None) is scores
    assert lower_selvedges(scores, ClothSpan(8, 40), 48, SelvedgeZone(16, 0.0)) is scores
