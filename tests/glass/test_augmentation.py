"""Varied tiles: where their pixels come from, what is done to them, and that switching it off changes nothing."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage
from tiny_cloth import recipe, weave

from glass_edge.config.recipe_augment import AugmentSettings
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.glass.augmentation import TileChange, draw_change, expose, vary_tile
from glass_edge.glass.augmentation_geometry import Slant, TilePlace, cut_slanted, fitting_slant
from glass_edge.glass.crops import CropSampler, cover
from glass_edge.glass.data import ClothStrip, TileShape
from glass_edge.glass.synthesis import Synthesiser

TILE = TileShape(64, 96, 16, 1)
STILL = Slant(0.0, 0.0)
UNCHANGED = TileChange(STILL, 0.0, 0.0, 1.0, (0.0, 0.0), 0.0)
ALL = AugmentSettings(
    share=1, rotation_deg=2, skew_deg=1, gain=0.2, gain_slope=0.2, blur_sigma_px=1, sharpen=0.5, noise_sigma=4
)


def strip_of(pixels: NDArray[np.uint8], left: int = 0, right: int | None = None) -> ClothStrip:
    return ClothStrip("a", pixels, ClothSpan(left, right or pixels.shape[1]))


def woven(lines: int = 100, width: int = 240) -> ClothStrip:
    return strip_of(weave(np.random.default_rng(0), lines, width))


def source_of(place: TilePlace, slant: Slant) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lines and columns in the strip that a tile of slanted cloth shows: unturn, then unslant, by complex numbers."""
    rows, columns = np.mgrid[: place.tile.height_px, : place.tile.width_px].astype(float)
    up = (place.tile.height_px - 1) / 2 - rows
    seen = (columns - (place.tile.width_px - 1) / 2) + 1j * up
    cloth = seen * np.exp(-1j * math.radians(slant.rotation_deg))
    x = cloth.real
    y_up = cloth.imag - math.tan(math.radians(slant.skew_deg)) * x
    return place.row + (place.tile.height_px - 1) / 2 - y_up, place.column + (place.tile.width_px - 1) / 2 + x


def wave(rows: NDArray[np.float64], columns: NDArray[np.float64]) -> NDArray[np.float64]:
    return 120 + 50 * np.sin(rows / 5) * np.cos(columns / 7) + 30 * np.sin(columns / 11)


@settings(max_examples=40, deadline=None)
@given(
    rotation=st.floats(-8, 8), skew=st.floats(-8, 8), row=st.integers(0, 40), column=st.integers(10, 94),
    halo=st.sampled_from([0, 16, 24]),
)  # fmt: skip
def test_inside_the_halo_a_slanted_tile_shows_the_cloth_of_its_place(
    rotation: float, skew: float, row: int, column: int, halo: int
) -> None:
    lines, left, right = 104, 10, 190
    rows, columns = np.mgrid[:lines, :200].astype(float)
    pixels = wave(rows, columns)
    pixels[:, :left], pixels[:, right:] = 0, 255  # background beside the selvedges
    strip = strip_of(np.rint(pixels).astype(np.uint8), left, right)
    place = TilePlace(strip, TileShape(64, 96, halo, 1), row, column)
    slant = fitting_slant(Slant(rotation, skew), place)
    assert abs(slant.rotation_deg) <= abs(rotation)
    assert abs(slant.skew_deg) <= abs(skew)
    tile = cut_slanted(strip.pixels, place, slant, 0, smooth=True)[..., 0]
    source = source_of(place, slant)
    inside = (slice(halo, 64 - halo), slice(halo, 96 - halo))
    assert source[0][inside].min() >= -1e-6
    assert source[0][inside].max() <= lines - 1 + 1e-6
    assert source[1][inside].min() >= left - 1e-6
    assert source[1][inside].max() <= right - 1 + 1e-6
    # half a grey level of rounding in the strip, OpenCV's grid of 1/32 px
    assert np.abs(tile[inside] - wave(*source)[inside]).max() < 2


def test_turning_is_lessened_only_where_cloth_ends() -> None:
    free = TilePlace(woven(140, 300), TILE, 38, 100)
    assert fitting_slant(Slant(3, 2), free) == Slant(3, 2)
    flat = woven(64, 300)  # a strip as high as its tile: the halo is what there is around
    assert fitting_slant(Slant(3, 0), TilePlace(flat, TILE, 0, 100)) == Slant(3, 0)
    lessened = fitting_slant(Slant(40, 20), TilePlace(flat, TILE, 0, 100))
    assert 0 < lessened.rotation_deg < 40
    assert lessened.skew_deg == pytest.approx(lessened.rotation_deg / 2)
    assert fitting_slant(Slant(3, 0), TilePlace(flat, TileShape(64, 96, 0, 1), 0, 100)).is_none


def test_an_unslanted_tile_is_the_strip_and_its_border_the_cloth_around_it() -> None:
    strip = woven()
    place = TilePlace(strip, TILE, 20, 50)
    assert np.array_equal(cut_slanted(strip.pixels, place, STILL, 0, smooth=True)[..., 0], strip.pixels[20:84, 50:146])
    assert np.array_equal(cut_slanted(strip.pixels, place, STILL, 7, smooth=True)[..., 0], strip.pixels[13:91, 43:153])
    corner = cut_slanted(strip.pixels, TilePlace(strip, TILE, 0, 0), STILL, 5, smooth=True)[..., 0]
    assert np.array_equal(corner[5:, 5:], strip.pixels[:69, :101])
    assert np.array_equal(corner[4, 5:], strip.pixels[1, :101])  # mirrored where the strip ends


def exposed(one: TileChange, seed: int = 0) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The tile with a change and without, and the strip around it decides nothing but the border."""
    strip = woven(140, 300)
    place = TilePlace(strip, TILE, 30, 100)
    framed = cut_slanted(strip.pixels, place, STILL, one.reach_px, smooth=True)
    tile = expose(framed, one, np.random.default_rng(seed))
    assert tile.shape == (64, 96, 1)
    return tile[..., 0].astype(float), strip.pixels.astype(float)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 2.3])
def test_lost_focus_is_a_gaussian_over_the_cloth_around(sigma: float) -> None:
    tile, strip = exposed(replace(UNCHANGED, blur_sigma_px=sigma))
    radius = math.ceil(3 * sigma)
    expected = ndimage.gaussian_filter(strip, sigma, truncate=radius / sigma)[30:94, 100:196]
    assert np.abs(tile - expected).max() <= 0.51


def test_better_focus_adds_the_fine_detail() -> None:
    tile, strip = exposed(replace(UNCHANGED, sharpen=0.6))
    detail = strip - ndimage.gaussian_filter(strip, 1.0, truncate=3.0)
    assert np.abs(tile - np.clip(strip + 0.6 * detail, 0, 255)[30:94, 100:196]).max() <= 0.51


def test_light_is_a_factor_and_a_plane() -> None:
    tile, strip = exposed(replace(UNCHANGED, gain=1.1, slope=(0.2, -0.1)))
    down, across = (np.arange(64) + 0.5) / 64 - 0.5, (np.arange(96) + 0.5) / 96 - 0.5
    factor = 1.1 * (1 + 0.2 * down[:, None] - 0.1 * across[None, :])
    assert np.abs(tile - np.clip(strip[30:94, 100:196] * factor, 0, 255)).max() <= 0.51


def test_noise_has_its_sigma_and_follows_from_the_generator() -> None:
    tile, strip = exposed(replace(UNCHANGED, noise_sigma=5.0))
    noise = tile - strip[30:94, 100:196]
    assert noise.std() == pytest.approx(5, abs=0.2)
    assert abs(noise.mean()) < 0.2
    assert np.array_equal(tile, exposed(replace(UNCHANGED, noise_sigma=5.0))[0])
    assert not np.array_equal(tile, exposed(replace(UNCHANGED, noise_sigma=5.0), seed=1)[0])


def test_changes_fill_their_ranges_and_keep_to_their_share() -> None:
    some = ALL.model_copy(update={"share": 0.25})
    drawn = [draw_change(np.random.default_rng(seed), some) for seed in range(2000)]
    changes = [one for one in drawn if one is not None]
    assert len(changes) / 2000 == pytest.approx(0.25, abs=0.05)
    for values, low, high in (
        ([one.slant.rotation_deg for one in changes], -2, 2),
        ([one.slant.skew_deg for one in changes], -1, 1),
        ([one.gain for one in changes], 0.8, 1.2),
        ([one.blur_sigma_px for one in changes], 0, 1),
        ([one.sharpen for one in changes], 0, 0.5),
        ([one.noise_sigma for one in changes], 0, 4),
        ([math.hypot(*one.slope) for one in changes], 0, 0.2),
    ):
        assert low <= min(values) < low + 0.05 * (high - low)
        assert high - 0.05 * (high - low) < max(values) <= high
    assert all(not (one.blur_sigma_px and one.sharpen) for one in changes)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_one_key_does_not_move_what_another_draws(seed: int) -> None:
    everything = draw_change(np.random.default_rng(seed), ALL)
    turned = draw_change(np.random.default_rng(seed), AugmentSettings(share=1, rotation_deg=2))
    assert everything is not None
    assert turned is not None
    assert turned.slant.rotation_deg == everything.slant.rotation_deg
    assert (turned.gain, turned.noise_sigma, turned.blur_sigma_px, turned.sharpen) == (1, 0, 0, 0)


def test_the_foreground_turns_with_its_part() -> None:
    part = np.zeros((140, 300), np.uint8)
    cv2.ellipse(part, (150, 70), (40, 12), 10, 0, 360, 1, -1)
    strip = ClothStrip("a", np.where(part > 0, 200, 60).astype(np.uint8), ClothSpan(0, 300), part > 0)
    still = part[30:94, 100:196] > 0
    overlaps = []
    for seed in range(5):
        tile = vary_tile(
            TilePlace(strip, TILE, 30, 100), AugmentSettings(share=1, rotation_deg=10), np.random.default_rng(seed)
        )
        assert tile.foreground is not None
        shown = tile.pixels[..., 0] > 130
        assert (shown & tile.foreground).sum() / (shown | tile.foreground).sum() > 0.95
        overlaps.append((shown & still).sum() / (shown | still).sum())
    assert min(overlaps) < 0.9  # it did turn


def sampler_of(strip: ClothStrip, seed: int = 3) -> CropSampler:
    return CropSampler([strip], TileShape(64, 64, 16, 1), selvedge_share=0.2, seed=seed)


def tables(**augment: float) -> dict[str, Any]:
    return {"las": {"source": "perlin"}, "augment": augment}


def test_switched_off_a_batch_is_cut_and_spoilt_as_without_the_table(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    base = tmp_path_factory.getbasetemp()
    sampler = sampler_of(woven())
    off = Synthesiser(recipe(base, **tables(share=1.0)), sampler)
    batch = off.batch(1, 2, 1)
    assert batch.synthetic is not None
    assert batch.mask is not None
    for number, origin in enumerate(batch.origins):
        rng = sampler.generator(1, 2, 3 + number)
        tile = sampler.draw(rng)
        synthetic, mask = off.spoil(tile, rng)
        assert np.array_equal(batch.good[number], tile)
        assert np.array_equal(batch.synthetic[number], synthetic)
        assert np.array_equal(batch.mask[number], mask)
        assert origin == sampler.origin(sampler.generator(1, 2, 3 + number))


def test_varied_batches_repeat_and_keep_places_and_masks(tmp_path_factory: pytest.TempPathFactory) -> None:
    base = tmp_path_factory.getbasetemp()
    plain = Synthesiser(recipe(base, **tables()), sampler_of(woven())).batch(1, 1, 2)
    made = recipe(base, **tables(**ALL.model_dump()))
    varied = Synthesiser(made, sampler_of(woven())).batch(1, 1, 2)
    *_, again = Synthesiser(made, sampler_of(woven())).batches(1, 1, 3)
    workers = made.model_copy(update={"training": made.training.model_copy(update={"workers": 3})})
    *_, threaded = Synthesiser(workers, sampler_of(woven())).batches(1, 1, 3)
    for one in (again, threaded):
        assert np.array_equal(one.good, varied.good)
        assert one.synthetic is not None
        assert varied.synthetic is not None
        assert np.array_equal(one.synthetic, varied.synthetic)
    assert varied.mask is not None
    assert plain.mask is not None
    assert np.array_equal(varied.mask, plain.mask)
    assert varied.origins == (None,) * 3
    assert (varied.good != plain.good).any(axis=(1, 2, 3)).all()
    assert varied.synthetic is not None
    changed = (varied.good != varied.synthetic)[..., 0].reshape(3, 8, 8, 8, 8).any(axis=(2, 4))[:, 2:6, 2:6]
    assert not changed[~varied.mask].any()  # the defect lies on the varied tile itself
    assert changed[varied.mask].mean() > 0.9
    other = Synthesiser(made, sampler_of(woven(), seed=4)).batch(1, 1, 2)
    assert not np.array_equal(other.good, varied.good)
    as_is = Synthesiser(made, sampler_of(woven()), augmented=False).batch(1, 1, 2)
    assert np.array_equal(as_is.good, plain.good)


def test_a_share_of_the_crops_stays_as_it_is(tmp_path_factory: pytest.TempPathFactory) -> None:
    made = recipe(tmp_path_factory.getbasetemp(), las={"enabled": False}, augment={"share": 0.5, "gain": 0.3})
    strip = woven()
    batch = Synthesiser(made, sampler_of(strip)).batch(1, 1, 0, 60)
    kept = [number for number, origin in enumerate(batch.origins) if origin is not None]
    assert 15 < len(kept) < 45
    for number in kept:
        _, row, column = batch.origins[number] or (0, 0, 0)
        assert np.array_equal(batch.good[number, ..., 0], strip.pixels[row : row + 64, column : column + 64])


def test_statistics_see_each_tile_as_it_is_and_varied() -> None:
    strips = [woven(64, 400), woven(64, 300)]
    plain = list(cover(strips, TILE, jitter_px=15))
    both = list(cover(strips, TILE, jitter_px=15, augment=ALL, seed=5))
    assert len(both) == 2 * len(plain)
    assert all(np.array_equal(one, other) for one, other in zip(plain, both[::2], strict=True))
    assert all((one != other).mean() > 0.5 for one, other in zip(both[::2], both[1::2], strict=True))
    repeated = list(cover(strips, TILE, jitter_px=15, augment=ALL, seed=5))
    assert all(np.array_equal(one, other) for one, other in zip(both, repeated, strict=True))
    assert len(list(cover(strips, TILE, 6, augment=ALL))) == 6
    unvaried = list(cover(strips, TILE, jitter_px=15, augment=AugmentSettings()))
    assert len(unvaried) == len(plain)
