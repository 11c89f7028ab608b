"""The wide line's map: within 1e-3 mm of the cameras' own scales, growing, and half-way at the seams."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glass_edge.calibration.line_scale import LineScale
from glass_edge.calibration.web_map import across_map, even_scale, own_span, place_cameras
from glass_edge.fabric.geometry import ClothSpan


def bent(start_mm: float, width_mm: float, width_px: int, bend: float, skew: float) -> LineScale:
    half = width_mm / 2
    return LineScale(
        width_px=width_px,
        mm_per_px=width_mm / width_px,
        mm_per_line=0.1,
        coefficients=(start_mm + half, half, skew * half, bend * half, 0.0, -bend * half / 3),
        first_px=width_px * 0.03,
        last_px=width_px * 0.96,
        bars=40,
        residual_rms_px=0,
        residual_max_px=0,
    )


@settings(max_examples=40, deadline=None)
@given(
    bends=st.lists(st.floats(-0.04, 0.04), min_size=1, max_size=3),
    skew=st.floats(-0.02, 0.02),
    width_px=st.integers(1024, 4096),
)
def test_the_map_is_that_of_the_cameras(bends: list[float], skew: float, width_px: int) -> None:
    scales = {f"{n}": bent(n * 370.0, 400.0 + 10 * n, width_px + 100 * n, bend, skew) for n, bend in enumerate(bends)}
    places = place_cameras(scales)
    across = across_map(places)
    left = 0
    for place in places:
        own = np.arange(place.first_px, place.end_px + 1)
        off = across.across_mm(own - place.first_px + left) - place.web_mm(own)
        away = np.ones(len(own), bool)
        away[0], away[-1] = place is places[0], place is places[-1]
        assert np.abs(off[away]).max() < 1e-3
        assert np.abs(off).max() <= 0.51 * place.scale.local_mm_per_px(own).max()
        between = own[:-1] + 0.5
        off = across.across_mm(between - place.first_px + left) - place.web_mm(between)
        inner = slice(0 if place is places[0] else 1, None if place is places[-1] else -1)
        assert np.abs(off[inner]).max() < 1e-3
        left += place.end_px - place.first_px
    assert (np.diff(across.across_mm(np.arange(left + 1))) > 0).all()
    single = next(iter(scales.values()))
    columns = np.linspace(0, single.width_px, 5001)
    straight = single.to_across_map()
    assert np.abs(straight.across_mm(columns) - single.across_mm(columns)).max() < 1e-3
    assert len(straight.columns_px) < 400


def test_even_cameras_give_an_even_map_and_know_which_of_their_columns_are_cloth() -> None:
    places = place_cameras({"b": even_scale(576, 44.8, 0.1, 0.1), "a": even_scale(576, 0.0, 0.1, 0.1)})
    assert [(one.name, one.first_px, one.end_px) for one in places] == [("a", 0, 512), ("b", 64, 576)]
    columns = np.linspace(-50, 1100, 77)
    np.testing.assert_allclose(across_map(places).across_mm(columns), columns * 0.1, atol=1e-9)
    left, right = places
    # Cloth of columns 200 to 900: the left camera sees it to its end, the right one up to 900 - 448.
    assert own_span(places, left, ClothSpan(200, 900)) == ClothSpan(200, 576)
    assert own_span(places, right, ClothSpan(200, 900)) == ClothSpan(0, 452)
    assert own_span(places, right, ClothSpan(10, 440)) is None
    assert left.column_px(10.0) == pytest.approx(100.0)
