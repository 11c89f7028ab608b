"""The map's strips cover the roll once, and the texts fit."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("matplotlib")

from glass_edge.service.report_layout import STRIPS_A_PAGE, lay_out, round_step
from glass_edge.service.report_page import HEIGHT_MM, MARGIN_MM, WIDTH_MM, fitted, text_mm, wrapped


@settings(max_examples=200, deadline=None)
@given(
    roll_mm=st.floats(1, 2e6),
    across_mm=st.floats(10, 4000),
    unit_mm=st.sampled_from([1000.0, 914.4]),
    part=st.floats(0, 1, exclude_max=True),
)
def test_strips_partition_the_roll_and_lie_on_the_paper(
    roll_mm: float, across_mm: float, unit_mm: float, part: float
) -> None:
    layout = lay_out(roll_mm, across_mm, unit_mm)
    strips = layout.strips
    assert strips[0].start_mm == 0
    assert strips[-1].end_mm == pytest.approx(roll_mm)
    for before, after in itertools.pairwise(strips):
        assert before.end_mm == after.start_mm
        units = after.start_mm / unit_mm
        assert units == pytest.approx(round(units), abs=1e-6)  # no unit is torn
        assert after.along_per_mm == before.along_per_mm
    place_mm = part * roll_mm
    (shown,) = [strip for strip in strips if strip.shows(place_mm, place_mm)]
    assert shown.start_mm <= place_mm < shown.end_mm
    x = shown.x_mm(place_mm)
    assert shown.start_mm + (x - shown.left_mm) * shown.along_per_mm == pytest.approx(place_mm, abs=1e-6)
    for page in range(layout.pages):
        on_page = layout.on_page(page)
        assert 1 <= len(on_page) <= STRIPS_A_PAGE
        bottom = 0.0
        for strip in on_page:
            assert strip.left_mm + strip.length_mm <= WIDTH_MM - MARGIN_MM + 1e-6
            assert strip.cells_top_mm >= bottom
            assert strip.height_mm >= 20
            bottom = strip.top_mm + strip.height_mm
        assert layout.bottom_mm(page) < HEIGHT_MM - 25  # room for the legend


@given(st.floats(1e-6, 1e6))
def test_a_round_step_is_the_smallest_that_is_large_enough(at_least: float) -> None:
    steps = sorted(digit * 10.0**power for power in range(-8, 9) for digit in (1, 2, 5))
    assert round_step(at_least) == pytest.approx(next(step for step in steps if step >= at_least * (1 - 1e-9)))


def test_a_text_is_measured_as_it_is_drawn() -> None:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    text = "12 weft lines, 1500.25 mm"
    drawn_pt = TextPath((0, 0), text, prop=FontProperties(family="DejaVu Sans"), size=9).get_extents().width
    assert text_mm(text, 9) == pytest.approx(drawn_pt * 25.4 / 72, rel=0.03)


@given(st.text(st.characters(codec="latin-1", categories=["L", "N", "P", "Zs"]), max_size=120), st.floats(12, 120))
def test_fitted_and_wrapped_texts_fit(text: str, width_mm: float) -> None:
    assert text_mm(fitted(text, width_mm, 9), 9) <= width_mm + 1e-6
    rows = wrapped(text, width_mm, 9, 3)
    assert len(rows) <= 3
    assert all(text_mm(row, 9) <= width_mm + 1e-6 for row in rows)
    if not any("…" in row for row in rows):
        assert " ".join(rows).split() == text.split()


def test_no_length_is_a_strip_too() -> None:
    (strip,) = lay_out(0.0, 1500.0, 1000.0).strips
    assert math.isclose(strip.end_mm, 1000)
