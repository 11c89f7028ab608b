"""Recipes: what loads, what is refused, and what it says then."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from glass_edge.config.recipe import Recipe, load_recipe
from glass_edge.config.recipe_backbone import CHANNELS
from glass_edge.errors import InputError
from glass_edge.glass.backbones import SPECS
from glass_edge.glass.features import FeatureSpec

PUBLISHED = """
[data]
folder = "carpet"
[backbone]
name = "wide_resnet50_2"
levels = [16, 8]
weights = "wrn50.pth"
[tile]
height_px = 288
width_px = 288
halo_px = 0
channels = 3
exposure = "camera"
[model]
level_width = 1536
width = 1536
neighbours = "all"
hidden = 1024
whiten = false
adaptor = "xavier"
prior = "none"
[gas]
relative = false
[las]
source = "perlin"
textures = "dtd"
"""


def load(tmp_path: Path, text: str, name: str = "twill-9.toml") -> Recipe:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return load_recipe(path)


def complaint(tmp_path: Path, text: str, name: str = "twill.toml") -> str:
    with pytest.raises(InputError) as caught:
        load(tmp_path, text, name)
    assert caught.value.exit_code == 2
    assert str(tmp_path / name) in str(caught.value)
    return str(caught.value)


def test_a_folder_is_all_a_recipe_needs(tmp_path: Path) -> None:
    recipe = load(tmp_path, '[data]\nfolder = "cloth"\n')
    assert recipe.style == "twill-9"
    assert recipe.data.folder == tmp_path / "cloth"
    assert (recipe.backbone.name, recipe.backbone.levels) == ("tf_efficientnet_lite0", (4, 8))
    assert (recipe.score_stride_px, recipe.n_features, recipe.texture_is_grey) == (4, 9 * 24 + 40, True)
    assert recipe.warnings() == []


def test_paths_count_from_the_recipe_and_absolute_ones_stay(tmp_path: Path) -> None:
    recipe = load(tmp_path, PUBLISHED)
    assert recipe.data.folder == tmp_path / "carpet"
    assert recipe.backbone.weights == str(tmp_path / "wrn50.pth")
    assert recipe.las.textures_folder == tmp_path / "dtd"
    assert load(tmp_path, '[data]\nfolder = "/cloth/blue"\n').data.folder == Path("/cloth/blue")


def test_the_published_model_can_be_said(tmp_path: Path) -> None:
    recipe = load(tmp_path, PUBLISHED)
    assert recipe.backbone.levels == (8, 16)
    assert (recipe.n_features, recipe.score_stride_px) == (1536, 8)
    gas = recipe.gas
    assert (gas.noise_sigma, gas.steps, gas.step_length, gas.projection_period) == (0.015, 20, 0.001, 5)
    assert (gas.band_low, gas.band_high, gas.moves_statistics, gas.full_steps) == (0.5, 1.0, True, False)
    assert (gas.points, gas.weight) == (0, 1.0)
    assert recipe.warnings() == []  # 0.015 sqrt(1536) = 0.588 lies in the band


def test_constants_that_are_given_are_kept_in_every_mode(tmp_path: Path) -> None:
    text = '[data]\nfolder = "x"\n[gas]\nrelative = false\nhypothesis = "hypersphere"\nband_high = 3.0\n'
    gas = load(tmp_path, text).gas
    assert (gas.band_low, gas.band_high, gas.noise_sigma) == (1.0, 3.0, 0.015)


def test_a_stored_recipe_reads_back_equal(tmp_path: Path) -> None:
    for text in (PUBLISHED, '[data]\nfolder = "x"\nspan = { left_px = 3, right_px = 90 }\n[gas]\nnoise_sigma = 2.0\n'):
        recipe = load(tmp_path, text)
        assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


def test_backbones_are_those_that_can_be_built() -> None:
    assert {name: dict(levels) for name, levels in CHANNELS.items()} == {
        name: dict(spec.channels) for name, spec in SPECS.items()
    }


@pytest.mark.parametrize("neighbours", ["finest", "all"])
@pytest.mark.parametrize(("level_width", "width"), [(0, 0), (96, 0), (0, 100), (1536, 1536)])
def test_number_of_features_is_that_of_the_features(level_width: int, width: int, neighbours: str) -> None:
    recipe = Recipe.model_validate(
        {
            "data": {"folder": "x"},
            "backbone": {"levels": [2, 8, 16]},
            "model": {"level_width": level_width, "width": width, "neighbours": neighbours},
        }
    )
    only_finest = neighbours == "finest"
    spec = FeatureSpec(recipe.backbone.channels, level_width or None, width or None, finest_only=only_finest)
    assert recipe.n_features == spec.n_features


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "key 'data' is missing"),
        ("[data]\n", "key 'data.folder' is missing"),
        ('[data]\nfolder = "x"\n[model]\nhiden = 3\n', ":4: unknown key 'model.hiden'; did you mean 'hidden'?"),
        ('[data]\nfolder = "x"\n[backbone]\nname = "vgg16"\n', "give one of tf_efficientnet_lite0"),
        ('[data]\nfolder = "x"\n[backbone]\nlevels = [32]\n', "levels of stride 2, 4, 8, 16"),
        ('[data]\nfolder = "x"\n[backbone]\nlevels = [4, 4]\n', "give each at most once"),
        ('[data]\nfolder = "x"\n[backbone]\nname = "resnet18"\nlevels = [2, 8]\nweights = "w.pth"\n', "4, 8, 16"),
        ('[data]\nfolder = "x"\n[backbone]\nname = "resnet18"\n', "no package carries weights of resnet18"),
        ('[data]\nfolder = "x"\n[tile]\nheight_px = 250\n', "give a multiple of 16, such as 256"),
        ('[data]\nfolder = "x"\n[tile]\nhalo_px = 8\n', "halo_px = 8: give a multiple of 16"),
        (
            '[data]\nfolder = "x"\n[tile]\nhalo_px = 128\n',
            "nothing is left inside a halo of 128 px; give more than 256",
        ),
        ('[data]\nfolder = "x"\n[tile]\nchannels = 2\n', "tile.channels = 2"),
        (
            '[data]\nfolder = "x"\n[model]\nwhiten = false\nprior = "whitened"\n',
            "prior = 'whitened' needs whiten = true",
        ),
        ('[data]\nfolder = "x"\n[model]\nshrinkage = 1.5\n', "a number from 0 to 1, or 'oas'"),
        ('[data]\nfolder = "x"\n[gas]\nband_low = 5.0\n', "band_high = 4.0 is below band_low = 5.0"),
        ('[data]\nfolder = "x"\nholdout = 0\n', "data.holdout = 0"),
        ('[data]\nfolder = "x"\nspan = { left_px = 9, right_px = 9 }\n', "right_px must exceed left_px = 9"),
        ('style = "a/b"\n[data]\nfolder = "x"\n', "style = 'a/b'"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in complaint(tmp_path, text)


def test_a_file_name_that_is_no_style_asks_for_one(tmp_path: Path) -> None:
    assert "rename it or give style" in complaint(tmp_path, '[data]\nfolder = "x"\n', "köper 3.toml")
    assert load(tmp_path, 'style = "twill"\n[data]\nfolder = "x"\n', "köper 3.toml").style == "twill"


def warnings(tmp_path: Path, gas: str, model: str = "") -> list[str]:
    text = f'[data]\nfolder = "x"\n[backbone]\nlevels = [4]\n[model]\n{model}\n[gas]\n{gas}\n'
    return load(tmp_path, text).warnings()


UNWHITENED = 'whiten = false\nprior = "none"\n'
SPHERE = 'hypothesis = "hypersphere"\n'


def test_noise_outside_the_band_is_warned_of_with_a_value_that_lies_inside(tmp_path: Path) -> None:
    (warning,) = warnings(tmp_path, "relative = false", UNWHITENED)
    assert f"noise of norm {0.015 * math.sqrt(216):.3g}" in warning
    sigma = float(warning.split("about ")[1].split(" ")[0])
    assert warnings(tmp_path, f"relative = false\nnoise_sigma = {sigma}", UNWHITENED) == []
    (relative,) = warnings(tmp_path, "noise_sigma = 5.0")
    assert "gas.noise_sigma = 5" in relative
    assert warnings(tmp_path, f"noise_sigma = {float(relative.split('about ')[1].split(' ')[0])}") == []


def test_noise_around_a_sphere_is_measured_from_its_centre(tmp_path: Path) -> None:
    assert warnings(tmp_path, SPHERE) == []
    (far,) = warnings(tmp_path, SPHERE + "band_high = 2.0")  # sqrt(1 + 2^2) radii
    assert "points 2.24 radii from the centre, outside the band 1 to 2" in far
    assert warnings(tmp_path, SPHERE + "band_high = 2.0\nnoise_sigma = 1.5") == []
    assert any("band_high above 1" in one for one in warnings(tmp_path, SPHERE + "band_low = 0.1\nband_high = 0.9"))
    assert warnings(tmp_path, SPHERE + "relative = false", UNWHITENED) == []  # the published one: no radius known yet


def test_points_that_cannot_be_told_from_good_cloth_are_warned_of(tmp_path: Path) -> None:
    (near,) = warnings(tmp_path, "noise_sigma = 1.0\nband_low = 0.5\nband_high = 2.0")
    assert "about 1 times the spread" in near
    (absolute,) = warnings(tmp_path, "relative = false\nnoise_sigma = 0.05")  # on whitened features, whose spread is 1
    assert "about 0.05 times the spread" in absolute
    assert warnings(tmp_path, "relative = false\nnoise_sigma = 0.05", UNWHITENED) == []
    (sphere,) = warnings(tmp_path, SPHERE + "noise_sigma = 0.5")
    assert "about 0.5 times the spread" in sphere


def test_ablations_are_warned_of_only_where_nothing_is_left(tmp_path: Path) -> None:
    (nothing,) = warnings(tmp_path, "noise = false\nsteps = 0")
    assert "the synthetic points are the normal points themselves" in nothing
    assert warnings(tmp_path, "noise = false") == []  # the projection carries them to the band
    (near,) = warnings(tmp_path, "noise = false\nprojection = false")
    assert "about 0.08 times the spread" in near  # 20 steps of 0.004
    assert warnings(tmp_path, "noise_sigma = 5.0\nprojection = false") == []  # no band that it could lie outside of
    assert warnings(tmp_path, "noise = false\nsteps = 0\nenabled = false") == []
    assert warnings(tmp_path, 'hypothesis = "judge"\nnoise_sigma = 5.0') == []  # said when it is judged


def test_constants_left_out_follow_the_form_asked_for(tmp_path: Path) -> None:
    bands = {
        "": (1.6, 4.0),
        'hypothesis = "hypersphere"': (1.0, 4.0),
        "relative = false": (0.5, 1.0),
        'relative = false\nhypothesis = "hypersphere"': (1.0, 2.0),
    }
    for text, band in bands.items():
        gas = load(tmp_path, f'[data]\nfolder = "x"\n[gas]\n{text}\n').gas
        assert (gas.band_low, gas.band_high) == band
        assert gas.model_fields_set == {line.split(" ")[0] for line in text.splitlines()}  # given, and no more


def test_nothing_to_learn_from_and_an_untrained_backbone_are_warned_of(tmp_path: Path) -> None:
    text = '[data]\nfolder = "x"\n[gas]\nenabled = false\n[las]\nenabled = false\n[backbone]\nweights = "random"\n'
    assert [warning.split(" ")[0] for warning in load(tmp_path, text).warnings()] == ["gas.enabled", "backbone.weights"]
