from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_cloth import save, weave, whole_width

from glass_edge.errors import InputError
from glass_edge.glass.data import OnBadImage, TileShape
from glass_edge.glass.data_labelled import LabelledData, load_labelled_data

TILE = TileShape(64, 64, 16, 1)
SIZE = (80, 160)


def load(folder: Path, on_bad_image: OnBadImage = "stop") -> LabelledData:
    return load_labelled_data(folder, TILE, whole_width, on_bad_image=on_bad_image)


def blot(value: int = 255) -> np.ndarray:
    mask = np.zeros(SIZE, np.uint8)
    mask[30:40, 50:70] = value
    return mask


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in ("good/1", "hole/10", "hole/2", "slub/2"):
        save(tmp_path / "test" / f"{name}.png", weave(rng, *SIZE))
    save(tmp_path / "ground_truth" / "hole" / "10_mask.png", blot())
    save(tmp_path / "ground_truth" / "hole" / "2.png", blot(1))
    save(tmp_path / "ground_truth" / "slub" / "2_mask.png", 2 * blot(64) // 2 * 2)
    return tmp_path


def test_masks_belong_to_images_by_name(folder: Path) -> None:
    images = {image.strip.name: image for image in load(folder)}
    assert list(images) == ["test/good/1.png", "test/hole/10.png", "test/hole/2.png", "test/slub/2.png"]
    assert [image.kind for image in images.values()] == ["good", "hole", "hole", "slub"]
    assert not images["test/good/1.png"].mask.any()
    for name in list(images)[1:]:
        assert np.array_equal(images[name].mask, blot() > 0)


def test_grey_mask_pixels_count_from_half_of_full_scale(folder: Path) -> None:
    mask = blot()
    mask[50, :] = 127
    mask[51, :] = 128
    save(folder / "ground_truth" / "slub" / "2_mask.png", mask)
    rows = {image.strip.name: image.mask for image in load(folder)}["test/slub/2.png"]
    assert not rows[50].any()
    assert rows[51].all()


def test_names_sizes_and_orphans_are_complained_about_together(folder: Path) -> None:
    (folder / "ground_truth" / "hole" / "10_mask.png").unlink()
    save(folder / "ground_truth" / "hole" / "3_mask.png", blot())
    save(folder / "ground_truth" / "slub" / "2_mask.png", blot()[:-1])
    save(folder / "ground_truth" / "hole" / "2_mask.png", blot())
    save(folder / "ground_truth" / "knot" / "1_mask.png", blot())
    with pytest.raises(InputError) as caught:
        load(folder)
    lines = str(caught.value).splitlines()
    for expected in (
        "test/hole/10.png: no mask; ground_truth/hole/10_mask.png or 10.png",
        "test/hole/2.png: two masks",
        "ground_truth/hole/3_mask.png: a mask without its image",
        "ground_truth/knot: masks without a folder test/knot",
        "test/slub/2.png: 160 x 80 px, but its mask",
    ):
        assert any(expected in line for line in lines), expected
    left = load(folder, "skip")
    assert [image.strip.name for image in left] == ["test/good/1.png"]
    assert len(left.skipped) == 5


@pytest.mark.parametrize("fault", ["cut image", "cut mask", "black mask"])
def test_damage_found_while_decoding(folder: Path, fault: str) -> None:
    image, mask = folder / "test" / "hole" / "10.png", folder / "ground_truth" / "hole" / "10_mask.png"
    if fault == "black mask":
        save(mask, blot(0))
    else:
        path = image if fault == "cut image" else mask
        whole = path.read_bytes()
        path.write_bytes(whole[: int(len(whole) * 0.7)])
    with pytest.raises(InputError, match="hole/10"):
        list(load(folder))
    left = load(folder, "skip")
    assert len(list(left)) == 3
    assert [one.name for one in left.skipped] == ["test/hole/10.png"]


def test_a_folder_without_test_says_where_labelled_images_lie(tmp_path: Path) -> None:
    save(tmp_path / "1.png", weave(np.random.default_rng(0), *SIZE))
    with pytest.raises(InputError, match="ground_truth"):
        load(tmp_path)
    (tmp_path / "test" / "good").mkdir(parents=True)
    with pytest.raises(InputError, match="no labelled images"):
        load(tmp_path)
