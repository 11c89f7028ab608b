"""`glass-edge train --quick` as a user runs it: from the first good cloth to a bundle in one command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tiny_styles import tiny_style

from glass_edge.cli.main import run
from glass_edge.cli.quick_engine import first_good
from glass_edge.cli.training_progress import TrainingProgress
from glass_edge.cli.training_run import read_good
from glass_edge.config.engine import EngineSettings
from glass_edge.config.recipe import Recipe, load_recipe
from glass_edge.engine.bundle import load_bundle
from glass_edge.engine.factory import open_engine
from glass_edge.errors import InputError
from glass_edge.glass.data_images import read_pixels
from glass_edge.glass.mahalanobis import inner_points
from glass_edge.glass.model import StyleModel, build_model
from glass_edge.glass.trainer_features import tile_batches, tile_shape

FIRST = [f"0{number}.png" for number in range(5)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    tiny_style(tmp_path, "satin", images=8)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def one_run(place: Path) -> Path:
    (folder,) = (place / "runs").iterdir()
    return folder


def distances(model: StyleModel, recipe: Recipe, tiles: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distances over the number of features, from the covariance itself and in float64."""
    data = read_good(recipe, Path(), TrainingProgress(), only=FIRST)
    batches = tile_batches(data.train, tile_shape(recipe), 1)
    good = torch.cat([inner_points(model, batch) for batch in batches]).double().numpy()
    covariance = np.cov(good, rowvar=False, bias=True)
    share = recipe.model.shrinkage
    n_features = good.shape[1]
    covariance = (1 - share) * covariance + share * np.trace(covariance) / n_features * np.eye(n_features)
    away = model.points(torch.from_numpy(tiles))[0].double().numpy() - good.mean(axis=0)
    return np.einsum("nd,dn->n", away, np.linalg.solve(covariance, away.T)) / n_features


def test_the_bundle_scores_the_mahalanobis_distance_to_the_first_good_cloth(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "satin.toml", "--quick", "--images", "5", "--version", "1"]) == 0
    printed = capsys.readouterr()
    assert "the first 5 of 8 good images" in printed.err
    assert "glass-edge train satin.toml" in printed.out
    bundle = load_bundle(place / "engines" / "satin")
    assert (bundle.manifest.version, bundle.manifest.method) == ("1", "mahalanobis")
    assert all(one.passed for one in bundle.manifest.parity if one.precision == "f32")
    data = json.loads((one_run(place) / "data.json").read_text())
    assert sorted(data["images"]) == FIRST
    evidence = json.loads(bundle.read("threshold.json"))
    assert [one["name"] for one in evidence["images"]] == sorted(data["holdout"])

    recipe = load_recipe(place / "satin.toml")
    tile = read_pixels(place / "satin" / "07.png", 1)[8:72, 40:104]
    spoilt = tile.copy()
    spoilt[30:34, 20:50] = 255
    tiles = np.ascontiguousarray(np.stack([tile, spoilt])[..., None])
    with open_engine(bundle, EngineSettings(precision="f32")) as engine:
        logits = engine.infer(tiles)
    expected = distances(build_model(recipe), recipe, tiles)
    np.testing.assert_allclose(logits.ravel(), expected, rtol=2e-3)

    nodes = [node.op_type for node in onnx.load_from_string(bundle.model()).graph.node]
    assert nodes[-4:-2] == ["Mul", "Conv"]  # square, then the mean of the squares
    assert not {"MatMul", "Gemm", "Einsum", "Unfold", "Im2Col"} & set(nodes)  # the whitening is in the convolutions


def test_the_trained_engine_takes_over_as_the_newer_version(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "satin.toml", "--quick", "--json"]) == 0
    quick = json.loads(capsys.readouterr().out)
    assert quick["method"] == "mahalanobis"
    assert quick["engine"]["bundle"] == f"engines/satin/{quick['engine']['version']}"
    assert load_bundle(place / "engines" / "satin").manifest.method == "mahalanobis"
    assert run(["train", "satin.toml", "--run-folder", "run", "--epochs", "1"]) == 0
    assert run(["build", "run", "--precision", "f32"]) == 0
    assert load_bundle(place / "engines" / "satin").manifest.method == "glass"
    assert len(list((place / "engines" / "satin").iterdir())) == 2


def test_several_quick_engines_with_one_command(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_style(place, "twill", seed=1)
    arguments = ["train", "satin.toml", "twill.toml", "--quick", "--engines", "e", "--runs-folder", "r", "--json"]
    assert run(arguments) == 0
    assert [one["engine"]["style"] for one in json.loads(capsys.readouterr().out)] == ["satin", "twill"]
    for style in ("satin", "twill"):
        assert load_bundle(place / "e" / style).manifest.style == style


@pytest.mark.parametrize(
    ("limit", "count"),
    [
        ({}, 8),  # 200 tiles are more than there is
        ({"images": 3}, 3),
        ({"images": 20}, 8),
        ({"metres": 0.1}, 3),  # an image shows 40 mm
        ({"metres": 0.12}, 3),
        ({"metres": 0.121}, 4),
        ({"metres": 0.001}, 2),  # one sets the threshold
        ({"metres": 5.0}, 8),
    ],
)
def test_the_first_good_cloth_is_taken_in_order_of_names(place: Path, limit: dict[str, float], count: int) -> None:
    names, total = first_good(load_recipe(place / "satin.toml"), **limit)
    assert names == [f"0{number}.png" for number in range(count)]
    assert total == 8


def test_without_a_limit_no_more_tiles_are_taken_than_a_minute_allows(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glass_edge.cli.quick_engine.QUICK_TILES", 5)  # an image holds two
    assert len(first_good(load_recipe(place / "satin.toml"))[0]) == 3


def test_metres_need_a_scale(place: Path) -> None:
    recipe = place / "satin.toml"
    recipe.write_text(recipe.read_text().replace("mm_per_px = 0.5", ""))
    with pytest.raises(InputError, match=r"--metres 2: the recipe does not say data\.mm_per_px; give it, or use --im"):
        first_good(load_recipe(recipe), metres=2)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--version", "a/b"], "--version a/b: give letters"),
        (["--version", "1", "--engines", "old"], "old/satin/1 exists"),
    ],
)
def test_a_bundle_that_cannot_be_is_refused_before_the_fit(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (place / "old" / "satin" / "1").mkdir(parents=True)
    assert run(["train", "satin.toml", "--quick", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert not (place / "runs").exists()
