"""Fills of masks shaped like weaving defects."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glass_edge.glass.cloth_fill import ClothFillConfig, Pixels, fill_cloth

ONLY = {
    "tone": ClothFillConfig(tone_share=1, displaced_share=0, washed_share=0, opacity=(0, 0)),
    "displaced": ClothFillConfig(tone_share=0, displaced_share=1, washed_share=0),
    "washed": ClothFillConfig(tone_share=0, displaced_share=0, washed_share=1, opacity=(0, 0)),
    "texture": ClothFillConfig(tone_share=0, displaced_share=0, washed_share=0, opacity=(0, 0)),
}


def cloth(channels: int = 1) -> Pixels:
    rng = np.random.default_rng(5)
    weave = 100 + 30 * np.sin(np.arange(64)[:, None] * 1.3) * np.cos(np.arange(48)[None, :] * 1.1)
    noisy = weave[..., None] + rng.normal(0, 2, (64, 48, channels))
    return np.clip(np.rint(noisy), 0, 255).astype(np.uint8)


def box() -> np.ndarray:
    coverage = np.zeros((64, 48), np.float32)
    coverage[20:40, 10:30] = 1
    return coverage


def no_texture() -> Pixels:
    raise AssertionError("no texture was asked for")


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(sorted(ONLY)), channels=st.sampled_from([1, 3]))
def test_nothing_changes_outside_the_mask_and_something_does_inside(seed: int, kind: str, channels: int) -> None:
    tile, coverage = cloth(channels), box()
    filled = fill_cloth(np.random.default_rng(seed), tile, coverage, lambda: np.full_like(tile, 7), ONLY[kind])
    assert filled.shape == tile.shape
    assert filled.dtype == np.uint8
    assert np.array_equal(filled[coverage == 0], tile[coverage == 0])
    assert (filled[coverage > 0] != tile[coverage > 0]).any()


def test_tones_lie_at_or_beyond_the_ends_of_the_cloth_and_are_flat() -> None:
    tile = cloth()
    low, high = np.percentile(tile, (2, 98))
    for seed in range(20):
        inside = fill_cloth(np.random.default_rng(seed), tile, box(), no_texture, ONLY["tone"])[20:40, 10:30]
        assert np.ptp(inside) == 0
        assert inside.max() <= np.ceil(low) or inside.min() >= np.floor(high)


def test_displaced_cloth_is_the_cloth_from_beside() -> None:
    tile = cloth()
    inside = fill_cloth(np.random.default_rng(3), tile, box(), no_texture, ONLY["displaced"])[20:40, 10:30]
    shifts = [s for s in range(-11, 12) if abs(s) >= 2]
    found = [
        (dy, dx)
        for dy in shifts
        for dx in shifts
        if np.array_equal(np.roll(tile, (dy, dx), axis=(0, 1))[20:40, 10:30], inside)
    ]
    assert len(found) == 1


def test_washed_cloth_keeps_its_mean_and_loses_its_weave() -> None:
    tile = cloth()
    inside = fill_cloth(np.random.default_rng(0), tile, box(), no_texture, ONLY["washed"])[20:40, 10:30]
    assert inside.mean() == pytest.approx(tile[20:40, 10:30].mean(), abs=4)
    assert inside.std() < tile.std() / 3


def test_a_texture_is_pasted_as_it_is() -> None:
    tile = cloth(3)
    texture = np.random.default_rng(1).integers(0, 256, tile.shape, dtype=np.uint8)
    filled = fill_cloth(np.random.default_rng(0), tile, box(), lambda: texture, ONLY["texture"])
    assert np.array_equal(filled[20:40, 10:30], texture[20:40, 10:30])
