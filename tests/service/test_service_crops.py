from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glass_edge.errors import InputError
from glass_edge.fabric.geometry import WebBox
from glass_edge.inspection.sink import DefectCrop
from glass_edge.service.crops import CropsFullError, CropStore, score_picture


def _crop(seed: int = 0, size: int = 40) -> DefectCrop:
    image = np.random.default_rng(seed).integers(0, 256, (size, size), dtype=np.uint8)  # noise does not pack
    box = WebBox(10, 10 + size, 100, 100 + size)
    return DefectCrop(
        box, image, np.zeros((size // 4 + 1, size // 4 + 1), np.float32), WebBox(8, 12 + size, 100, 104 + size)
    )


def test_pictures_are_those_of_the_crop(tmp_path: Path) -> None:
    store = CropStore(tmp_path / "crops", 1 << 20)
    store.start_roll("A/7 ö")
    crop = _crop()
    name = store.keep(12, crop)
    folder, file = name.split("/")
    assert folder.startswith("A_7__-")
    assert file == "000012.png"
    with Image.open(tmp_path / "crops" / name) as image:
        np.testing.assert_array_equal(np.asarray(image), crop.image)
    with Image.open(tmp_path / "crops" / folder / "000012-score.png") as image:
        assert np.asarray(image).shape == crop.image.shape
        assert set(np.unique(np.asarray(image))) == {128}  # logit 0 is a probability of one half
    assert not list((tmp_path / "crops").rglob(".~*"))


def test_scores_lie_on_the_pixels_they_belong_to() -> None:
    logits = np.array([[0.0, 5.0, np.nan], [-5.0, 1.0, 2.0]], np.float32)
    shown = WebBox(left_px=6, right_px=11, first_line=21, end_line=26)
    crop = DefectCrop(shown, np.zeros((5, 5), np.uint8), logits, WebBox(4, 16, 20, 28))
    picture = score_picture(crop)
    for line in range(5):
        for column in range(5):
            logit = logits[(21 + line - 20) // 4, (6 + column - 4) // 4]
            expected = 0 if np.isnan(logit) else round(255 / (1 + math.exp(-logit)))
            assert picture[line, column] == expected
    empty = DefectCrop(shown, np.zeros((5, 5), np.uint8), np.empty((0, 0), np.float32), shown)
    assert not score_picture(empty).any()


def test_the_budget_holds_across_rolls_and_restarts_and_the_oldest_go_first(tmp_path: Path) -> None:
    first = CropStore(tmp_path, 1 << 20)
    first.start_roll("one")
    first.keep(1, _crop())
    budget = 3 * first.held_bytes + first.held_bytes // 2
    store = CropStore(tmp_path, budget)
    assert store.held_bytes == first.held_bytes  # what another run left counts
    store.start_roll("two")
    names = [store.keep(number, _crop(number)) for number in range(2, 7)]
    on_disk = sorted(tmp_path.rglob("*.png"))
    assert sum(path.stat().st_size for path in on_disk) == store.held_bytes <= budget
    assert [name for name in names if (tmp_path / name).exists()] == names[-3:]
    assert [folder.name[:3] for folder in tmp_path.iterdir()] == ["two"]  # the emptied folder is gone
    with pytest.raises(CropsFullError, match="exceeds the budget"):
        CropStore(tmp_path, 100).keep(9, _crop())


@pytest.mark.skipif(os.geteuid() == 0 and not Path("/dev/full").exists(), reason="needs a place that cannot be written")
def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    store = CropStore(tmp_path / "crops", 1 << 20)
    store.start_roll("one")
    (tmp_path / "crops").rmdir()
    (tmp_path / "crops").write_text("in the way")
    with pytest.raises(CropsFullError, match="free space there"):
        store.keep(1, _crop())
    with pytest.raises(InputError, match="cannot make the folder"):
        CropStore(tmp_path / "crops", 1 << 20)
