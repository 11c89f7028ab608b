from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_cloth import paint_good, save, weave, whole_width

from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.glass.data import GoodData, OnBadImage, TileShape, choose_holdout, load_good_data

TILE = TileShape(64, 64, 16, 1)


def load(folder: Path, *, on_bad_image: OnBadImage = "stop", tile: TileShape = TILE, seed: int = 0) -> GoodData:
    return load_good_data(folder, tile, whole_width, holdout=0.25, seed=seed, on_bad_image=on_bad_image)


def test_flat_folder_and_mvtec_layout_hold_the_same_images(tmp_path: Path) -> None:
    flat = load(paint_good(tmp_path / "flat"))
    mvtec = load(paint_good(tmp_path / "mvtec" / "train" / "good").parents[1])
    assert {strip.name for strip in flat.train + flat.holdout} == {f"{i:02d}.png" for i in range(4)}
    assert {strip.name for strip in mvtec.train + mvtec.holdout} == {f"train/good/{i:02d}.png" for i in range(4)}
    by_stem = {Path(strip.name).stem: strip.pixels for strip in flat.train + flat.holdout}
    for strip in mvtec.train + mvtec.holdout:
        assert np.array_equal(strip.pixels, by_stem[Path(strip.name).stem])
        assert np.array_equal(strip.pixels, np.asarray(Image.open(mvtec.folder / strip.name)))


def test_fingerprint_is_the_stated_hash_and_moves_with_names_and_contents(tmp_path: Path) -> None:
    folder = paint_good(tmp_path / "a", 3)
    data = load(folder)
    expected = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        expected.update(f"{path.name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    assert data.fingerprint == expected.hexdigest()
    assert load(folder, seed=5).fingerprint == data.fingerprint  # another holdout, the same images
    (folder / "00.png").rename(folder / "09.png")
    renamed = load(folder).fingerprint
    save(folder / "09.png", weave(np.random.default_rng(9), 80, 160))
    assert len({data.fingerprint, renamed, load(folder).fingerprint}) == 3


@pytest.mark.parametrize(("count", "share", "held"), [(2, 0.01, 1), (2, 0.99, 1), (12, 0.25, 3), (40, 0.1, 4)])
def test_holdout_is_a_share_of_whole_images_chosen_by_the_seed(count: int, share: float, held: int) -> None:
    names = [f"{index:03d}" for index in range(count)]
    chosen = [choose_holdout(names, share, seed) for seed in range(30)]
    assert all(len(one) == held and one < set(names) for one in chosen)
    assert chosen == [choose_holdout(names[::-1], share, seed) for seed in range(30)]
    assert len(set(chosen)) > 1
    assert not choose_holdout(names, 0.0, 0)


def test_one_image_cannot_train_and_set_the_threshold(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"00\.png: one good image"):
        load(paint_good(tmp_path, 1))


def spoil(folder: Path) -> dict[str, str]:
    """Bad images of every kind, and what must be said of each."""
    whole = (folder / "00.png").read_bytes()
    (folder / "a_cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "b_empty.png").touch()
    (folder / "c_text.png").write_text("no image")
    save(folder / "d_small.png", weave(np.random.default_rng(1), 63, 160))
    save(folder / "e_colour.png", np.repeat(weave(np.random.default_rng(1), 80, 160)[:, :, None], 3, axis=2))
    Image.fromarray(np.zeros((80, 160), np.uint16)).save(folder / "f_deep.png")
    return {
        "a_cut.png": "damaged or cut off",
        "b_empty.png": "empty",
        "c_text.png": "not a PNG",
        "d_small.png": "160 x 63 px",
        "e_colour.png": "3 channel",
        "f_deep.png": "8-bit",
    }


def test_every_bad_image_is_named_with_its_fault(tmp_path: Path) -> None:
    folder = paint_good(tmp_path, 4)
    faults = spoil(folder)
    with pytest.raises(InputError) as caught:
        load(folder)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(faults) + 1
    for line, (name, fault) in zip(lines, faults.items(), strict=False):
        assert line.startswith(str(folder / name))
        assert fault in line
    assert "on_bad_image" in lines[-1]

    data = load(folder, on_bad_image="skip")
    assert {one.name: one.reason for one in data.skipped}.keys() == faults.keys()
    assert all(faults[one.name] in one.reason for one in data.skipped)
    assert set(data.hashes) == {f"{i:02d}.png" for i in range(4)}


def test_nothing_left_is_an_error_also_when_skipping(tmp_path: Path) -> None:
    save(tmp_path / "small.png", weave(np.random.default_rng(1), 20, 20))
    with pytest.raises(InputError, match="no good image is left after 1"):
        load(tmp_path, on_bad_image="skip")


@pytest.mark.parametrize("make", ["nothing", "file", "empty", "train_without_good", "empty_good"])
def test_folders_without_good_images(tmp_path: Path, make: str) -> None:
    folder = tmp_path / "data"
    if make == "file":
        folder.touch()
    elif make != "nothing":
        (folder / {"empty": "", "train_without_good": "train", "empty_good": "train/good"}[make]).mkdir(parents=True)
    with pytest.raises(InputError, match="train/good") as caught:
        load(folder)
    assert str(folder) in str(caught.value)


def test_colour_images_need_a_recipe_of_three_channels(tmp_path: Path) -> None:
    grey = weave(np.random.default_rng(1), 80, 160)
    tinted = np.stack([grey, grey // 2, grey // 3], axis=2)
    for name in ("a.png", "b.png"):
        save(tmp_path / name, tinted)
    with pytest.raises(InputError, match=r"tile\.channels"):
        load(tmp_path)
    data = load(tmp_path, tile=TileShape(64, 64, 16, 3))
    assert np.array_equal(data.train[0].pixels, tinted)
    paint_good(tmp_path / "grey", 2)
    assert load(tmp_path / "grey", tile=TileShape(64, 64, 16, 3)).train[0].pixels.shape == (80, 160, 3)


def test_cloth_that_is_narrower_than_a_tile_is_named(tmp_path: Path) -> None:
    folder = paint_good(tmp_path, 2)
    for span, message in ((ClothSpan(100, 160), "columns 100 to 160"), (ClothSpan(0, 161), "up to column 161")):
        with pytest.raises(InputError, match=message):
            load_good_data(folder, TILE, lambda lines, found=span: found, holdout=0.5, seed=0)


def test_pixels_beyond_the_memory_limit_come_from_a_file_without_a_name(tmp_path: Path) -> None:
    folder = paint_good(tmp_path / "data")
    cache = tmp_path / "cache"
    mapped = load_good_data(
        folder, TILE, whole_width, holdout=0.25, seed=0, cache_folder=cache, memory_limit_bytes=1000
    )
    plain = load(folder)
    assert cache.is_dir()
    assert not list(cache.iterdir())
    for one, other in zip(mapped.train + mapped.holdout, plain.train + plain.holdout, strict=True):
        assert one.name == other.name
        assert np.array_equal(one.pixels, other.pixels)


def test_only_the_images_named_are_used(tmp_path: Path) -> None:
    folder = paint_good(tmp_path, 5)
    (folder / "09.png").write_text("not looked at")
    names = ("00.png", "02.png", "03.png")
    data = load_good_data(folder, TILE, whole_width, holdout=0.25, seed=0, only=names)
    assert sorted(data.hashes) == list(names)
    with pytest.raises(InputError, match=r"08\.png: not among the good images"):
        load_good_data(folder, TILE, whole_width, holdout=0.25, seed=0, only=["08.png", "00.png"])


def test_images_may_differ_in_size_but_each_holds_a_tile(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, size in (("a.png", (64, 64)), ("b.png", (200, 80)), ("c.png", (70, 300))):
        save(tmp_path / name, weave(rng, *size))
    data = load(tmp_path)
    assert {strip.pixels.shape for strip in data.train + data.holdout} == {(64, 64), (200, 80), (70, 300)}
    save(tmp_path / "d.png", weave(rng, 64, 63))
    with pytest.raises(InputError, match=r"d\.png: 63 x 64 px .* smaller than a tile of 64 x 64 px; choose a smaller"):
        load(tmp_path)
