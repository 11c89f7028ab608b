"""Keys that vary good tiles and place synthetic defects."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from glass_edge.config.recipe import load_recipe
from glass_edge.config.recipe_augment import AugmentSettings
from glass_edge.config.recipe_data import DataSettings
from glass_edge.errors import InputError


def test_everything_is_off_by_default_and_each_key_switches_on() -> None:
    assert not AugmentSettings().is_on
    assert not AugmentSettings(share=1, in_statistics=False).is_on
    keys = ("rotation_deg", "skew_deg", "gain", "gain_slope", "blur_sigma_px", "sharpen", "noise_sigma")
    assert {*keys, "share", "in_statistics"} == set(AugmentSettings.model_fields)
    for key in keys:
        assert AugmentSettings.model_validate({key: 0.5}).is_on


@pytest.mark.parametrize("values", [{"share": 0}, {"gain": 1.0}, {"rotation_deg": -1}, {"blur": 1}])
def test_values_without_sense_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        AugmentSettings.model_validate(values)


def test_a_foreground_folder_counts_from_the_recipe(tmp_path: Path) -> None:
    path = tmp_path / "part.toml"
    path.write_text('[data]\nfolder = "parts"\nforeground = "masks"\n[augment]\nrotation_deg = 1\n')
    recipe = load_recipe(path)
    assert recipe.data.foreground_folder == tmp_path / "masks"
    assert recipe.augment.is_on
    for text, expected in (("none", None), ("auto", None)):
        path.write_text(f'[data]\nfolder = "parts"\nforeground = "{text}"\n')
        assert load_recipe(path).data.foreground == text
        assert load_recipe(path).data.foreground_folder is expected
    path.write_text('[data]\nfolder = "parts"\n[augment]\nrotate_deg = 1\n')
    with pytest.raises(InputError, match="did you mean 'rotation_deg'"):
        load_recipe(path)


def test_cloth_has_no_foreground_by_default() -> None:
    assert DataSettings(folder=Path("cloth")).foreground == "none"
