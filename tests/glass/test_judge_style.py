"""GLASS-j: a style is judged once, and the rest of the recipe follows."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_cloth import recipe, weave, whole_width

from glass_edge.config.recipe import Recipe
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.glass.data import ClothStrip
from glass_edge.glass.judge import average_image, judge
from glass_edge.glass.judge_style import resolve_hypothesis, write_judgement


def strip(pixels: np.ndarray, name: str = "a.png") -> ClothStrip:
    return ClothStrip(name, pixels, whole_width(pixels))


def part(rng: np.random.Generator, radius: int = 14) -> np.ndarray:
    """A bright part always at the same place: its average has a broad round spectrum, which is a hypersphere."""
    rows, columns = np.mgrid[:64, :64]
    disc = np.hypot(rows - 32, columns - 32) < radius
    return np.clip(40 + 200 * disc + rng.normal(0, 4, disc.shape), 0, 255).astype(np.uint8)


@pytest.fixture
def parts() -> list[ClothStrip]:
    rng = np.random.default_rng(0)
    return [strip(part(rng), f"{index}.png") for index in range(4)]


@pytest.fixture
def cloth() -> list[ClothStrip]:
    return [strip(weave(np.random.default_rng(0), 96, 320))]


def judged_recipe(**gas: float) -> Recipe:
    return recipe(Path("cloth"), gas={"hypothesis": "judge", **gas})


def test_images_of_a_tile_s_size_are_judged_as_published(parts: list[ClothStrip]) -> None:
    resolved, found = resolve_hypothesis(judged_recipe(), parts)
    assert found is not None
    expected = judge(average_image(one.pixels for one in parts))
    assert (found.judgement.points, found.judgement.radius) == (expected.points, expected.radius)
    assert expected.hypersphere
    assert (found.hypothesis, resolved.gas.hypothesis, found.tiles) == ("hypersphere", "hypersphere", 4)
    assert "judged a hypersphere from the spectrum of 4 averaged tiles" in found.sentence()


def test_cloth_without_a_fixed_place_is_a_manifold(cloth: list[ClothStrip]) -> None:
    resolved, found = resolve_hypothesis(judged_recipe(), cloth)
    assert found is not None
    assert resolved.gas.hypothesis == found.hypothesis == "manifold"
    assert found.tiles > 10
    assert not found.judgement.hypersphere


@pytest.mark.parametrize("relative", [True, False])
@pytest.mark.parametrize("given", [{}, {"band_low": 0.7}, {"noise_sigma": 0.3, "band_high": 9.0}])
def test_keys_left_out_take_the_defaults_of_what_was_found(
    parts: list[ClothStrip], cloth: list[ClothStrip], relative: bool, given: dict[str, float]
) -> None:
    for strips, hypothesis in ((parts, "hypersphere"), (cloth, "manifold")):
        keys = {"relative": relative, **given}
        resolved, _ = resolve_hypothesis(judged_recipe(**keys), strips)
        fixed = recipe(Path("cloth"), gas={"hypothesis": hypothesis, **keys})
        assert resolved == fixed


def test_a_fixed_hypothesis_is_not_judged(parts: list[ClothStrip]) -> None:
    made = recipe(Path("cloth"), gas={"hypothesis": "manifold"})
    assert resolve_hypothesis(made, parts) == (made, None)
    assert resolve_hypothesis(made, []) == (made, None)  # nothing is looked at


def test_tiles_of_colour_and_cloth_beside_background(tmp_path: Path) -> None:
    pixels = np.repeat(weave(np.random.default_rng(0), 96, 320)[:, :, None], 3, axis=2)
    pixels[:, :100] = (255, 0, 0)  # no cloth: must not be averaged
    made = recipe(Path("cloth"), gas={"hypothesis": "judge"}, tile={"channels": 3})
    _, found = resolve_hypothesis(made, [ClothStrip("a.png", pixels, ClothSpan(100, 320))])
    assert found is not None
    assert found.judgement.mean_grey == pytest.approx(pixels[:, 100:, 0].mean(), abs=3)
    write_judgement(tmp_path, found)
    document = json.loads((tmp_path / "judgement.json").read_text())
    assert document["hypothesis"] == found.hypothesis
    assert document["points"] == found.judgement.points
    with Image.open(tmp_path / "spectrum.png") as picture:
        shown = np.asarray(picture)
    assert shown.shape == (3 * 289, 3 * 289, 3)
    np.testing.assert_array_equal(shown[1::3, 1::3], found.judgement.picture())
