from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_weights import arrays, close
from hypothesis import given, settings
from hypothesis import strategies as st

from glass_edge.errors import InputError
from glass_edge.glass.cloth_defects import MARKED, ClothDefectConfig, draw_cloth_defects
from glass_edge.glass.las import (
    LasConfig,
    MaskSource,
    combine,
    draw_las_mask,
    draw_opacity,
    draw_perlin_mask,
    fuse,
    grid_mask,
)

SEED = st.integers(0, 2**32 - 1)


@pytest.mark.parametrize(("name", "u"), [("union", 0.9), ("intersection", 0.5), ("single", 0.2)])
@pytest.mark.parametrize("with_foreground", [False, True])
def test_golden_masks(name: str, u: float, with_foreground: bool) -> None:
    golden = arrays("las_masks")
    mask = combine(golden["binary_1"] > 0, golden["binary_2"] > 0, u)
    if with_foreground:
        mask = mask & (golden["foreground"] > 0)
    kind = f"{name}_fg" if with_foreground else name
    assert np.array_equal(mask, golden[f"{kind}_full"])
    assert np.array_equal(grid_mask(mask, 12, 12), golden[f"{kind}_grid"])


def test_golden_fusion() -> None:
    golden = arrays("las_masks")
    image, texture, mask = (torch.from_numpy(golden[f"fuse_{name}"]) for name in ("image", "texture", "mask"))
    close(fuse(image, texture, mask, float(golden["fuse_beta"])).float(), golden["fuse_result"], absolute=1e-6)


def test_set_operation_limits() -> None:
    first, second = np.array([True, True, False, False]), np.array([True, False, True, False])
    assert combine(first, second, 2 / 3).tolist() == [True, False, False, False]
    assert combine(first, second, 1 / 3).tolist() == first.tolist()
    assert combine(first, second, 0.67).tolist() == [True, True, True, False]


def test_one_pixel_marks_its_cell_and_no_other() -> None:
    mask = np.zeros((64, 96), bool)
    mask[17, 95] = True
    cells = grid_mask(mask, 16, 24)
    assert cells.sum() == 1
    assert cells[4, 23]
    with pytest.raises(ValueError, match="cannot be divided"):
        grid_mask(mask, 36, 24)


@settings(max_examples=20, deadline=None)
@given(seed=SEED, source=st.sampled_from(list(MaskSource)), height=st.sampled_from([48, 64]))
def test_drawn_masks_reach_the_grid_and_repeat(seed: int, source: MaskSource, height: int) -> None:
    config = LasConfig(source=source)
    one, two = (draw_las_mask(np.random.default_rng(seed), (height, 128), (height // 4, 32), config) for _ in range(2))
    assert np.array_equal(one.coverage, two.coverage)
    assert one.opacity == two.opacity
    assert one.grid.any()
    assert one.is_cloth == (one.opacity is None)
    assert one.is_cloth or source is not MaskSource.CLOTH
    assert np.array_equal(one.grid, grid_mask(one.coverage >= (MARKED if one.is_cloth else 0.5), height // 4, 32))
    assert 0 <= one.coverage.min() <= one.coverage.max() <= 1


def test_masks_stay_inside_the_foreground() -> None:
    foreground = np.zeros((64, 64), bool)
    foreground[40:, 40:] = True
    for seed in range(10):
        mask = draw_las_mask(np.random.default_rng(seed), (64, 64), (8, 8), LasConfig(), foreground=foreground)
        assert not mask.coverage[~foreground].any()


def test_a_foreground_without_room_names_the_image() -> None:
    rng = np.random.default_rng(0)
    empty = np.zeros((64, 64), bool)
    with pytest.raises(InputError, match=r"a\.png: its foreground mask is empty"):
        draw_las_mask(rng, (64, 64), (8, 8), LasConfig(), foreground=empty, image_name="a.png")
    tiny = empty.copy()
    tiny[0, 0] = True
    with pytest.raises(InputError, match=r"a\.png: no synthetic defect fell inside its foreground of 1 px in 3 draws"):
        draw_las_mask(rng, (64, 64), (8, 8), LasConfig(max_draws=3), foreground=tiny, image_name="a.png")


@pytest.mark.parametrize("source", list(MaskSource))
def test_masks_mark_a_cell_inside_the_halo(source: MaskSource) -> None:
    config = LasConfig(source=source)
    for seed in range(30):
        mask = draw_las_mask(np.random.default_rng(seed), (64, 64), (8, 8), config, halo_cells=3)
        assert mask.grid[3:5, 3:5].any()
    with pytest.raises(InputError, match=r"no synthetic defect fell inside the halo of a tile of 64 x 64 px in 1000"):
        draw_las_mask(np.random.default_rng(0), (64, 64), (8, 8), config, halo_cells=4)


def test_perlin_statistics_are_those_measured_on_the_published_masks() -> None:
    rng = np.random.default_rng(1)
    masks = [draw_perlin_mask(rng, 288, 288, LasConfig()) for _ in range(150)]
    assert np.mean([mask.mean() for mask in masks]) == pytest.approx(0.05, abs=0.012)
    assert np.mean([not mask.any() for mask in masks]) == pytest.approx(0.05, abs=0.05)


def test_opacity_is_clipped_so_mass_sits_at_the_limits() -> None:
    rng = np.random.default_rng(2)
    drawn = np.array([draw_opacity(rng, LasConfig(opacity_sigma=0.3)) for _ in range(2000)])
    assert drawn.min() == 0.2
    assert drawn.max() == 0.8
    assert np.mean(drawn == 0.2) == pytest.approx(0.159, abs=0.03)


@settings(max_examples=30, deadline=None)
@given(seed=SEED)
def test_specks_have_the_sizes_asked_for(seed: int) -> None:
    config = ClothDefectConfig(line_share=0, count=(1, 1), speck_px=(2, 12), soft_share=0)
    mask = draw_cloth_defects(np.random.default_rng(seed), 64, 64, config) >= 0.5
    rows, columns = np.nonzero(mask)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 <= 13


@settings(max_examples=30, deadline=None)
@given(seed=SEED, weft=st.booleans())
def test_lines_are_thin_and_run_along_warp_or_weft(seed: int, weft: bool) -> None:
    config = ClothDefectConfig(
        line_share=1,
        count=(1, 1),
        dashed_share=0,
        soft_share=0,
        line_width_px=(1, 3),
        line_waviness_px=1,
        line_length=(0.5, 1),
        weft_share=float(weft),
    )
    mask = draw_cloth_defects(np.random.default_rng(seed), 64, 96, config) >= 0.5
    rows, columns = np.nonzero(mask)
    along, across, side = (columns, rows, 96) if weft else (rows, columns, 64)
    assert np.ptp(along) + 1 >= side // 2
    assert np.ptp(across) + 1 <= 3 + 2 + 1
    assert (mask.sum(axis=0 if weft else 1)[np.unique(along)] <= 4).all()
