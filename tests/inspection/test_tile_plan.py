from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.inspection.tile_plan import TileGeometry, plan_tiles


@st.composite
def _cases(draw: st.DrawFn) -> tuple[TileGeometry, int, ClothSpan]:
    halo = 16 * draw(st.integers(0, 3))
    inner_h, inner_w = (16 * draw(st.integers(1, 8)) for _ in range(2))
    stride = draw(st.sampled_from([1, 2, 4, 8, 16]))
    advance = 16 * draw(st.integers(1, inner_h // 16))
    geometry = TileGeometry(inner_h + 2 * halo, inner_w + 2 * halo, halo, stride, advance)
    width = draw(st.integers(1, 700))
    left = draw(st.integers(0, width - 1))
    right = draw(st.integers(left + 1, width))
    return geometry, width, ClothSpan(left, right)


@given(_cases())
def test_every_cell_of_the_span_comes_from_inside_one_tile(case: tuple[TileGeometry, int, ClothSpan]) -> None:
    geometry, width, span = case
    plan = plan_tiles(width, span, geometry)
    s, halo = geometry.stride_px, geometry.halo_px
    cells = []
    for column in plan.columns:
        assert column.origin_px % 16 == 0
        for cell in range(column.first_cell, column.end_cell):
            in_tile = cell * s - column.origin_px
            assert halo <= in_tile
            assert in_tile + s <= geometry.width_px - halo
        assert column.tile_cell * s == column.first_cell * s - column.origin_px
        cells += range(column.first_cell, column.end_cell)
    touched = sorted({x // s for x in range(span.left_px, span.right_px)})
    assert cells == touched == list(range(plan.first_cell, plan.first_cell + plan.n_cells))
    # No tile more than the span needs, in grid steps.
    grid_span = -(-span.right_px // 16) * 16 - span.left_px // 16 * 16
    assert len(plan.columns) == -(-grid_span // geometry.inner_width_px)


@given(_cases())
def test_the_source_columns_are_the_reflected_image(case: tuple[TileGeometry, int, ClothSpan]) -> None:
    geometry, width, span = case
    image = np.arange(width)
    pad = geometry.width_px + 16
    reflected = np.pad(image, pad, mode="reflect") if width > 1 else np.zeros(width + 2 * pad, int)
    for column in plan_tiles(width, span, geometry).columns:
        expected = reflected[pad + column.origin_px : pad + column.origin_px + geometry.width_px]
        assert np.array_equal(image[column.source], expected)


def test_overlapping_tiles_share_the_overlap_by_depth() -> None:
    plan = plan_tiles(160, ClothSpan(0, 160), TileGeometry(96, 128, 16, 4, 64))
    assert [column.origin_px for column in plan.columns] == [-16, 48]
    assert [(column.first_cell, column.end_cell) for column in plan.columns] == [(0, 20), (20, 40)]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ((60, 96, 16, 4, 16), "multiple of 16"),
        ((64, 96, 32, 4, 16), "nothing is left"),
        ((64, 96, 8, 4, 16), "halo_px = 8"),
        ((64, 96, 16, 3, 16), "divisor of 16"),
        ((64, 96, 16, 4, 48), "advance_px = 48"),
        ((64, 96, 16, 4, 0), "advance_px = 0"),
        ((64, 96, 16, 4, 24), "advance_px = 24"),
    ],
)
def test_a_geometry_that_cannot_work_is_refused(arguments: tuple[int, int, int, int, int], word: str) -> None:
    with pytest.raises(InputError, match=word):
        TileGeometry(*arguments)


def test_a_span_beyond_the_image_is_refused() -> None:
    with pytest.raises(InputError, match="camera line of 100 px"):
        plan_tiles(100, ClothSpan(10, 101), TileGeometry(64, 64, 16, 4, 32))
