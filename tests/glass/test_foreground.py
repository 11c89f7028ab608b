"""Foregrounds: found in pictures whose part is known, read from folders, and kept to by synthetic defects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from tiny_cloth import paint_good, recipe, save, weave, whole_width

from glass_edge.config.recipe_data import DataSettings
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.glass.crops import CropSampler
from glass_edge.glass.data import ClothStrip, GoodData, TileShape, load_good_data
from glass_edge.glass.foreground import find_part, foreground_finder
from glass_edge.glass.synthesis import Synthesiser

Mask = NDArray[np.bool_]
SHAPE = (240, 320)
TILE = TileShape(64, 64, 16, 1)


def overlap(one: Mask, other: Mask) -> float:
    return float((one & other).sum() / (one | other).sum())


def disc() -> Mask:
    return painted(lambda mask: cv2.ellipse(mask, (170, 115), (80, 60), 20, 0, 360, 1, -1))


def painted(draw: Callable[[NDArray[np.uint8]], object]) -> Mask:
    mask = np.zeros(SHAPE, np.uint8)
    draw(mask)
    return mask > 0


def star(mask: NDArray[np.uint8]) -> None:
    turns, radius = np.arange(10) * np.pi / 5, np.where(np.arange(10) % 2, 40, 100)
    points = np.stack([160 + radius * np.sin(turns), 120 - radius * np.cos(turns)], axis=1)
    cv2.fillPoly(mask, [points.astype(np.int32)], 1)


def several(mask: NDArray[np.uint8]) -> None:
    for x, y, radius in ((60, 60, 22), (150, 170, 18), (250, 70, 25), (260, 190, 16)):
        cv2.circle(mask, (x, y), radius, 1, -1)


PARTS: dict[str, Mask] = {
    "disc": disc(),
    "star": painted(star),
    "several": painted(several),
    "at the border": painted(lambda mask: cv2.rectangle(mask, (100, 0), (220, 150), 1, -1)),
    "nearly all": painted(lambda mask: cv2.rectangle(mask, (14, 14), (305, 225), 1, -1)),
}


def picture(part: Mask, contrast: float, *, colour: bool, seed: int = 0) -> NDArray[np.uint8]:
    """A textured part with a highlight on an unevenly lit, noisy background."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    ground = 150 + 40 * x / SHAPE[1] + 20 * y / SHAPE[0]
    grey = np.where(part, ground - contrast + 10 * np.sin(x / 5) * np.sin(y / 7), ground)
    grey[part & ((y - 110) ** 2 + (x - 160) ** 2 < 150)] = 250
    pixels = np.repeat(grey[..., None], 3, axis=2)
    if colour:
        pixels[part] += np.array([0.5, 0.0, -0.4]) * contrast
    pixels = cv2.GaussianBlur(pixels, (0, 0), 0.8) + rng.normal(0, 4, pixels.shape)
    seen = np.clip(pixels, 0, 255).astype(np.uint8)
    return seen if colour else seen[..., 0].copy()


@pytest.mark.parametrize("kind", list(PARTS))
@pytest.mark.parametrize("contrast", [60.0, 30.0, -30.0])
@pytest.mark.parametrize("colour", [True, False])
def test_the_part_is_found(kind: str, contrast: float, colour: bool) -> None:
    found = find_part(picture(PARTS[kind], contrast, colour=colour))
    assert (found.shape, found.dtype) == (SHAPE, np.bool_)
    assert overlap(found, PARTS[kind]) > 0.92


def test_colour_alone_tells_a_part() -> None:
    pixels = np.full((*SHAPE, 3), 128, np.uint8)
    pixels[PARTS["star"]] = (170, 110, 128)  # as bright as the background
    assert overlap(find_part(pixels), PARTS["star"]) > 0.92


def test_holes_are_filled_specks_dropped_and_large_pictures_keep_their_size() -> None:
    ring = painted(lambda mask: cv2.circle(mask, (160, 120), 80, 1, 30))
    pixels = picture(ring, 50, colour=False)
    pixels[20:23, 300:303] = 0
    whole = painted(lambda mask: cv2.circle(mask, (160, 120), 95, 1, -1))
    assert overlap(find_part(pixels), whole) > 0.95
    large = cv2.resize(picture(disc(), 50, colour=True), (1600, 1200), interpolation=cv2.INTER_CUBIC)
    truth = cv2.resize(disc().astype(np.uint8), (1600, 1200), interpolation=cv2.INTER_NEAREST) > 0
    assert overlap(find_part(large), truth) > 0.97


def test_nothing_stands_out_of_cloth_or_of_nothing() -> None:
    assert not find_part(weave(np.random.default_rng(0), *SHAPE)).any()
    assert not find_part(np.full(SHAPE, 90, np.uint8)).any()


def load(folder: Path, foreground: str, on_bad_image: str = "stop", limit: int = 1 << 30) -> GoodData:
    settings = DataSettings.model_validate({"folder": folder, "foreground": foreground})
    return load_good_data(
        folder,
        TILE,
        whole_width,
        holdout=0.25,
        seed=0,
        on_bad_image="skip" if on_bad_image == "skip" else "stop",
        foreground=foreground_finder(settings),
        memory_limit_bytes=limit,
    )


def strips(data: GoodData) -> dict[str, ClothStrip]:
    return {strip.name: strip for strip in (*data.train, *data.holdout)}


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """Four pictures of a disc, in MVTec AD layout."""
    for index in range(4):
        save(tmp_path / "train" / "good" / f"{index:03d}.png", picture(disc(), 50, colour=False, seed=index))
    return tmp_path


def test_computed_foregrounds_come_with_the_images_also_from_the_mapped_file(parts: Path) -> None:
    found = strips(load(parts, "auto"))
    for strip in found.values():
        assert strip.foreground is not None
        assert overlap(strip.foreground, disc()) > 0.97
    mapped = strips(load(parts, "auto", limit=1000))
    for name, strip in mapped.items():
        foreground = found[name].foreground
        assert foreground is not None
        assert strip.foreground is not None
        assert np.array_equal(strip.foreground, foreground)
        assert np.array_equal(strip.pixels, found[name].pixels)


def test_without_a_foreground_nothing_is_different(parts: Path) -> None:
    plain, auto = load(parts, "none"), load(parts, "auto")
    assert all(strip.foreground is None for strip in strips(plain).values())
    assert not plain.foreground_hashes
    assert plain.fingerprint != auto.fingerprint
    assert auto.fingerprint == load(parts, "auto").fingerprint


def test_an_image_without_a_part_is_named_and_can_be_skipped(parts: Path) -> None:
    save(parts / "train" / "good" / "003.png", weave(np.random.default_rng(0), *SHAPE))
    with pytest.raises(InputError, match=r"003\.png: the foreground .* 0 of 76800 px.*data\.foreground = 'none'"):
        load(parts, "auto")
    left = load(parts, "auto", "skip")
    assert [one.name for one in left.skipped] == ["train/good/003.png"]
    assert len(strips(left)) == 3


@pytest.mark.parametrize("name", ["{0}.png", "{0}_mask.bmp", "train/good/{0}.png"])
def test_masks_of_a_folder_belong_to_images_by_name(parts: Path, name: str) -> None:
    masks = parts / "fg_mask"
    for index in range(4):
        mask = np.zeros(SHAPE, np.uint8)
        mask[20 * index + 10 : 20 * index + 40] = 255
        save(masks / name.format(f"{index:03d}"), mask)
    found = strips(load(parts, str(masks)))
    for index in range(4):
        foreground = found[f"train/good/{index:03d}.png"].foreground
        assert foreground is not None
        assert np.array_equal(np.flatnonzero(foreground.any(axis=1)), np.arange(20 * index + 10, 20 * index + 40))


def test_bad_mask_folders_and_masks_are_named(parts: Path) -> None:
    masks = parts / "fg_mask"
    with pytest.raises(InputError, match="fg_mask: no such folder of foreground masks"):
        load(parts, str(masks))
    masks.mkdir()
    with pytest.raises(InputError, match="fg_mask: no foreground masks"):
        load(parts, str(masks))
    for index in (0, 1, 2):
        save(masks / f"{index:03d}.png", np.full(SHAPE, 255, np.uint8))
    save(masks / "001.png", np.zeros(SHAPE, np.uint8))
    save(masks / "002.png", np.full((100, 320), 255, np.uint8))
    with pytest.raises(InputError) as caught:
        load(parts, str(masks))
    text = str(caught.value)
    assert f"001.png: its foreground mask {masks / '001.png'} marks 0 of 76800 px" in text
    assert "002.png: 320 x 240 px, but its foreground mask" in text
    assert "003.png: no foreground mask" in text
    assert str(masks / "003.png") in text


def strip_with(foreground: Mask) -> ClothStrip:
    lines, width = foreground.shape
    return ClothStrip("a.png", weave(np.random.default_rng(0), lines, width), ClothSpan(0, width), foreground)


@pytest.mark.parametrize("source", ["perlin", "cloth"])
@pytest.mark.parametrize("augment", [{}, {"share": 1, "rotation_deg": 3}])
def test_synthetic_defects_lie_on_the_foreground(tmp_path: Path, source: str, augment: dict[str, float]) -> None:
    foreground = np.zeros((120, 400), np.bool_)
    foreground[40:100, 250:330] = True
    made = recipe(tmp_path, las={"source": source}, augment=augment, training={"batch": 8})
    sampler = CropSampler([strip_with(foreground)], TILE, selvedge_share=0, seed=1)
    batch = Synthesiser(made, sampler).batch(1, 1, 0)
    assert batch.synthetic is not None
    assert batch.mask is not None
    assert batch.mask.any(axis=(1, 2)).all()
    changed = (batch.good != batch.synthetic)[..., 0]
    for number in range(8):
        crop = sampler.draw_crop(1, 1, number, made.augment)
        assert crop.foreground is not None
        assert changed[number].any()
        assert not (changed[number] & ~crop.foreground).any()


def test_a_foreground_without_room_in_any_tile_names_the_image(tmp_path: Path) -> None:
    foreground = np.zeros((120, 400), np.bool_)
    foreground[2:5, 100:200] = True  # in the halo wherever the tile lies
    sampler = CropSampler([strip_with(foreground)], TILE, selvedge_share=0, seed=1)
    with pytest.raises(InputError, match=r"a\.png: its foreground leaves no room"):
        Synthesiser(recipe(tmp_path), sampler).batch(1, 1, 0)


def test_cloth_without_foreground_draws_as_before(tmp_path: Path) -> None:
    folder = paint_good(tmp_path)
    strips_of = load(folder, "none").train
    sampler = CropSampler(strips_of, TILE, selvedge_share=0.2, seed=3)
    for index in range(10):
        crop = sampler.draw_crop(1, 2, index, None)
        rng = sampler.generator(1, 2, index)
        assert np.array_equal(crop.pixels, sampler.draw(rng))
        assert crop.rng.random() == rng.random()
        assert crop.foreground is None
