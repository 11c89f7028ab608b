from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inspection_peers import Pixels, Scores

from glass_edge.fabric.geometry import ClothSpan, WebBox
from glass_edge.inspection.crops import CropRing
from glass_edge.inspection.score_strip import ScoreStrip

WIDTH = 40


def _fill(
    ring: CropRing, n_lines: int, first_line: int = 100, block: int = 7, colour: bool = False
) -> tuple[Pixels, Scores]:
    """Lines whose pixels tell their place, scores at stride 4 over columns 8..31 that tell theirs."""
    rng = np.random.default_rng(0)
    lines = rng.integers(0, 256, (n_lines, WIDTH, 3) if colour else (n_lines, WIDTH), dtype=np.uint8)
    scores = rng.normal(size=(-(-n_lines // 4), 6)).astype(np.float32)
    for at in range(0, n_lines, block):
        ring.add_lines(first_line + at, lines[at : at + block])
    for row in range(0, len(scores), 3):
        part = scores[row : row + 3]
        end = min(n_lines, (row + len(part)) * 4)
        ring.add_scores(ScoreStrip(first_line + row * 4, first_line + end, 4, 2, part))
    return lines, scores


@pytest.mark.parametrize("colour", [False, True])
def test_image_and_scores_of_a_box_with_its_margin(colour: bool) -> None:
    ring = CropRing(1 << 20, crop_lines=100, margin_px=3, margin_lines=5)
    ring.begin(ClothSpan(0, WIDTH))
    lines, scores = _fill(ring, 90, colour=colour)
    crop = ring.cut(WebBox(12, 17, 130, 141))
    assert crop.box_px == WebBox(9, 20, 125, 146)
    assert np.array_equal(crop.image, lines[25:46, 9:20])
    assert crop.scores_box_px == WebBox(8, 20, 124, 148)
    assert np.array_equal(crop.logits, scores[6:12, 0:3])


def test_cells_outside_the_inspected_span_are_nan_and_the_cloth_bounds_the_image() -> None:
    ring = CropRing(1 << 20, 100, 4, 0)
    ring.begin(ClothSpan(5, 36))
    _, scores = _fill(ring, 40)
    crop = ring.cut(WebBox(5, 12, 100, 104))
    assert (crop.box_px.left_px, crop.box_px.right_px) == (5, 16)
    assert np.isnan(crop.logits[0, 0])
    assert np.array_equal(crop.logits[0, 1:], scores[0, :2])


def test_a_long_defect_gives_its_first_part() -> None:
    ring = CropRing(1 << 20, 20, 0, 2)
    ring.begin(ClothSpan(0, WIDTH))
    lines, _ = _fill(ring, 90)
    crop = ring.cut(WebBox(0, 4, 110, 180))
    assert (crop.box_px.first_line, crop.box_px.end_line) == (108, 128)
    assert np.array_equal(crop.image, lines[8:28, 0:4])


def test_memory_stays_within_the_budget_and_lost_lines_give_no_picture() -> None:
    ring = CropRing(4000, 100, 0, 0)
    ring.begin(ClothSpan(0, WIDTH))
    for k in range(200):
        ring.add_lines(k * 10, np.zeros((10, WIDTH), np.uint8))
        ring.add_scores(ScoreStrip(k * 10, k * 10 + 10, 5, 0, np.zeros((2, 8), np.float32)))
        assert ring.held_bytes <= 4000 + 2 * 8 * 4
    assert ring.cut(WebBox(0, 4, 0, 10)) is None
    assert ring.cut(WebBox(0, 4, 1990, 2000)) is not None
    half = ring.cut(WebBox(0, 4, 0, 2000))
    assert half.box_px.end_line == 2000
    assert half.box_px.first_line > 1000
    ring.begin(ClothSpan(0, WIDTH))
    assert ring.held_bytes == 0
    assert ring.cut(WebBox(0, 4, 1990, 2000)) is None


@given(
    left=st.integers(0, WIDTH - 1),
    width=st.integers(1, WIDTH),
    first=st.integers(100, 159),
    n_lines=st.integers(1, 60),
    least=st.integers(0, 80),
)
def test_a_picture_is_as_large_as_is_asked_for_where_there_is_cloth(
    left: int, width: int, first: int, n_lines: int, least: int
) -> None:
    box = WebBox(left, min(WIDTH, left + width), first, min(160, first + n_lines))
    crops = []
    for size in (0, least):
        ring = CropRing(1 << 20, 100, 2, 3, least_px=size)
        ring.begin(ClothSpan(0, WIDTH))
        lines, _ = _fill(ring, 60)
        crops.append(ring.cut(box))
    plain, large = crops
    assert plain is not None
    assert large is not None
    inner, outer = plain.box_px, large.box_px
    assert outer.left_px <= inner.left_px <= inner.right_px <= outer.right_px <= WIDTH
    assert 100 <= outer.first_line <= inner.first_line <= inner.end_line <= outer.end_line <= 160
    assert outer.right_px - outer.left_px == max(inner.right_px - inner.left_px, min(least, WIDTH))
    assert outer.end_line - outer.first_line == max(inner.end_line - inner.first_line, min(least, 60))
    shown = lines[outer.first_line - 100 : outer.end_line - 100, outer.left_px : outer.right_px]
    assert np.array_equal(large.image, shown)
