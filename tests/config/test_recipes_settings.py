"""The table [recipes] of a station file."""

from __future__ import annotations

from pathlib import Path

import pytest

from glass_edge.config.recipes import RecipeEntry
from glass_edge.config.station import load_station
from glass_edge.errors import InputError

BASE = (
    'station = "a"\nbundle = "b"\n[camera]\nkind = "replay"\npath = "i"\n[web]\nmm_per_px = 0.1\nmm_per_line = 0.1\n'
    "[recipes]\n"
)


def station(folder: Path, recipes: str) -> Path:
    path = folder / "station.toml"
    path.write_text(BASE + recipes)
    return path


def test_a_style_is_a_folder_or_a_table_and_paths_are_the_files(tmp_path: Path) -> None:
    text = 'canvas = "../engines/canvas"\ntwill = { bundle = "/e/twill/2", look = "twill.json" }\n'
    assert load_station(station(tmp_path, text)).recipes == {
        "canvas": RecipeEntry(bundle=tmp_path / "../engines/canvas"),
        "twill": RecipeEntry(bundle=Path("/e/twill/2"), look=tmp_path / "twill.json"),
    }
    assert load_station(station(tmp_path, "")).recipes == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("canvas = 3", r"station.toml:10: recipes.canvas = 3: give the folder of its engines, or a table"),
        ('canvas = { look = "l" }', "key 'recipes.canvas.bundle' is missing"),
        ('canvas = { bundle = "b", lok = "l" }', "unknown key 'recipes.canvas.lok'; did you mean 'look'"),
        ('"a/b" = "c"', "recipes.a/b"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        load_station(station(tmp_path, text))
