"""Places of the cloth against a look-up line by line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import ndimage

from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.inspection.cloth_place import (
    OUTSIDE_LOGIT,
    ClothPlace,
    PlaceTrack,
    reflect_outside,
    silence_outside,
)
from glass_edge.inspection.cloth_width import ClothWidth
from glass_edge.inspection.score_strip import ScoreStrip


def track_of(moves: list[int]) -> PlaceTrack:
    track = PlaceTrack()
    track.begin(ClothPlace(0, ClothSpan(100, 200), ClothSpan(112, 188)))
    for number, line in enumerate(moves):
        cloth = ClothSpan(101 + number, 210 + number)
        track.move(ClothPlace(line, cloth, ClothSpan(112 + 4 * number, 188 + 4 * number)))
    return track


@given(st.lists(st.integers(1, 400), unique=True, max_size=6), st.integers(0, 100), st.integers(1, 300))
def test_each_row_has_the_place_known_at_its_first_line(moves: list[int], first_line: int, n_lines: int) -> None:
    moves = sorted(moves)
    track = track_of(moves)
    rows = -(-n_lines // 4)
    logits = np.arange(rows, dtype=np.float32)[:, None]
    strip = ScoreStrip(first_line, first_line + n_lines, 4, 0, logits)
    seen: list[tuple[int, int]] = []
    for part, place in track.pieces(strip):
        for row in range(part.logits.shape[0]):
            assert part.logits[row, 0] == (part.first_line + 4 * row - first_line) // 4
            seen.append((part.first_line + 4 * row, place.cloth.left_px))
    lines = [first_line + 4 * row for row in range(rows)]
    assert seen == [(line, 100 + sum(move <= line for move in moves)) for line in lines]


def test_the_hull_holds_every_place_of_the_lines_and_forgetting_keeps_the_rest() -> None:
    track = track_of([50, 90])
    assert track.hull(0, 50) == ClothSpan(100, 200)
    assert track.hull(10, 91) == ClothSpan(100, 211)
    assert track.hull(60, 200) == ClothSpan(101, 211)
    track.forget_before(60)
    assert track.at(60).cloth == ClothSpan(101, 210)
    assert track.at(95).cloth == track.last.cloth == ClothSpan(102, 211)


def test_smoothing_a_strip_that_is_reflected_outside_is_smoothing_the_inside_alone() -> None:
    rng = np.random.default_rng(0)
    strip = ScoreStrip(0, 120, 4, 10, rng.normal(size=(30, 40)).astype(np.float32))
    inspected = ClothSpan(72, 160)  # cells 18 to 40 of the web: 8 to 30 of the strip
    filled = ndimage.gaussian_filter(reflect_outside(strip, inspected), 1.5, mode="reflect", truncate=4)
    alone = ndimage.gaussian_filter(strip.logits[:, 8:30], 1.5, mode="reflect", truncate=4)
    assert np.abs(filled[:, 8:30] - alone).max() < 1e-6


def test_cells_outside_are_silent_and_those_inside_as_they_were() -> None:
    strip = ScoreStrip(0, 8, 4, 10, np.ones((2, 6), np.float32))
    judged = silence_outside(strip, ClothSpan(44, 56)).logits
    assert judged.tolist() == [[OUTSIDE_LOGIT, 1, 1, 1, OUTSIDE_LOGIT, OUTSIDE_LOGIT]] * 2
    assert silence_outside(strip, ClothSpan(40, 64)) is strip
    assert (silence_outside(strip, ClothSpan(400, 404)).logits == OUTSIDE_LOGIT).all()


def test_the_width_is_told_where_both_selvedges_are_seen() -> None:
    width = ClothWidth(WebScale(0.5, 1.0))
    assert (width.now_mm, width.figures) == (None, None)
    width.add(ClothSpan(0, 90), 100, 10)
    assert (width.now_mm, width.figures) == (None, None)
    width.add(ClothSpan(10, 90), 100, 30)
    width.add(ClothSpan(10, 94), 100, 10)
    figures = width.figures
    assert figures is not None
    assert width.now_mm == 42.0
    assert (figures.least_mm, figures.greatest_mm) == (40.0, 42.0)
    assert figures.mean_mm == pytest.approx((40 * 30 + 42 * 10) / 40)
