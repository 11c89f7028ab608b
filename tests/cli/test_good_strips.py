"""Where good images behind a checkpoint are looked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glass_edge.cli.good_strips import find_images
from glass_edge.config.recipe import Recipe
from glass_edge.errors import InputError

HELD = ("train/good/1.png", "train/good/3.png")


@pytest.fixture
def cloth(tmp_path: Path) -> Path:
    folder = tmp_path / "cloth" / "train" / "good"
    folder.mkdir(parents=True)
    for number in range(4):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "cloth"


def recipe(folder: Path) -> Recipe:
    return Recipe.model_validate({"style": "twill", "data": {"folder": folder}})


def test_held_out_images_lie_where_they_were_or_where_the_user_says(cloth: Path, tmp_path: Path) -> None:
    made = recipe(cloth)
    assert find_images(made, HELD, None, None).folder == cloth
    other = Path(shutil.copytree(cloth, tmp_path / "other"))
    assert find_images(made, HELD, other, None).folder == other
    found = find_images(made, HELD, None, None, or_in=other)
    assert (found.folder, found.names) == (cloth, HELD)  # another data set may have images of the same names

    (cloth / HELD[1]).unlink()
    assert find_images(made, HELD, None, None, or_in=other).folder == other
    with pytest.raises(InputError, match=r"cloth/train/good/3\.png: missing.*--data"):
        find_images(made, HELD, None, None)
    (other / HELD[0]).unlink()
    with pytest.raises(InputError, match=r"other/train/good/1\.png: missing.*--threshold-images"):
        find_images(made, HELD, other, None)


def test_images_given_for_the_threshold_come_first(cloth: Path, tmp_path: Path) -> None:
    given = Path(shutil.copytree(cloth, tmp_path / "given"))
    found = find_images(recipe(cloth), HELD, None, given)
    assert (found.folder, found.names) == (given, tuple(f"train/good/{number}.png" for number in range(4)))
    with pytest.raises(InputError, match="recorded no held-out images"):
        find_images(recipe(cloth), (), None, None)
