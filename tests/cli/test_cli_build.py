"""`glass-edge build`: from a checkpoint on disk to a bundle that the run-time side accepts."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import typer
from scipy.ndimage import gaussian_filter
from typer.testing import CliRunner

from glass_edge.cli import build as build_command
from glass_edge.cli import build_bundle
from glass_edge.config.engine import EngineSettings
from glass_edge.config.recipe import Recipe, load_recipe
from glass_edge.engine.bundle import load_bundle
from glass_edge.engine.factory import open_engine
from glass_edge.engine.openvino_model import supported_precisions
from glass_edge.engine.parity import ParityError
from glass_edge.errors import InputError
from glass_edge.glass.checkpoint import CheckpointInfo, load_reference, save_checkpoint
from glass_edge.glass.mahalanobis import feature_moments, fit_mahalanobis
from glass_edge.glass.model import StyleModel, build_model

HEIGHT, WIDTH, HALO, SIGMA = 96, 128, 16, 3.0
HOLDOUT = ("train/good/s6.png", "train/good/s7.png")
RECIPE = f"""
seed = 3
[data]
folder = "cloth"
mm_per_px = 0.2
[backbone]
levels = [4]
weights = "random"
[tile]
height_px = {HEIGHT}
width_px = {WIDTH}
halo_px = {HALO}
exposure = "camera"
[model]
width = 48
hidden = 16
[inspection]
smoothing_sigma_px = {SIGMA}
block_height_px = 64
block_width_px = 96
"""

app = typer.Typer()
build_command.register(app)


@app.callback()
def _several_commands() -> None:
    """With a callback typer keeps the command's name."""


def run(*arguments: str) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["build", *arguments], catch_exceptions=False)
    assert result.exit_code == 0
    return result.stdout, result.stderr


def weave(rng: np.random.Generator) -> np.ndarray:
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    cloth = 120 + 30 * np.sin(rows * 2 * np.pi / 5) * np.sin(columns * 2 * np.pi / 6)
    return np.clip(cloth + rng.normal(0, 8, cloth.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with cloth, a recipe and a run folder of each method."""
    mill = tmp_path_factory.mktemp("mill")
    good = mill / "cloth" / "train" / "good"
    good.mkdir(parents=True)
    rng = np.random.default_rng(2)
    images = [weave(rng) for _ in range(8)]
    for number, image in enumerate(images):
        cv2.imwrite(str(good / f"s{number}.png"), image)
    (mill / "weave.toml").write_text(RECIPE, encoding="utf-8")
    recipe = load_recipe(mill / "weave.toml")
    tiles = torch.from_numpy(np.stack(images[:6])[..., None])
    save(mill / "run", trained(recipe, tiles))
    save(mill / "map", fit_mahalanobis(recipe, [tiles]), np.stack(images[6:])[..., None])
    return mill


def trained(recipe: Recipe, tiles: torch.Tensor) -> StyleModel:
    """A model as training might leave it."""
    model = build_model(recipe)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        model.fit_whitening(feature_moments(model, [tiles]))
        model.glass_head.discriminator.output.weight.normal_(0, 0.2, generator=generator)
    return model


def save(folder: Path, model: StyleModel, golden_tiles: np.ndarray | None = None) -> None:
    info = CheckpointInfo(
        epoch=2, training_data_sha256="5a" * 32, holdout=HOLDOUT, metrics={"tile_auroc": 0.9}, n_training_images=6
    )
    save_checkpoint(folder / "checkpoint", model, model.recipe, info, golden_tiles)


def expected_threshold(run_folder: Path) -> float:
    """Largest smoothed logit of the held-out strips. Each is one tile, so the unfused model alone can tell."""
    reference = load_reference(run_folder)
    edge = HALO // 4
    largest = []
    for name in HOLDOUT:
        image = cv2.imread(str(run_folder.parent / "cloth" / name), cv2.IMREAD_GRAYSCALE)
        inner = reference(image[None, :, :, None])[0][edge:-edge, edge:-edge]
        largest.append(gaussian_filter(inner, SIGMA / 4, mode="reflect", truncate=4.0).max())
    return float(max(largest))


@pytest.mark.parametrize(("kind", "method"), [("run", "glass"), ("map", "mahalanobis")])
def test_a_bundle_is_built_that_the_line_accepts(mill: Path, tmp_path: Path, kind: str, method: str) -> None:
    out, steps = run(str(mill / kind), "--out", str(tmp_path), "--version", "1.0", "--json")
    report = json.loads(out)
    assert report["bundle"] == str(tmp_path / "weave" / "1.0")
    assert "parity openvino f32" in steps
    bundle = load_bundle(tmp_path / "weave")
    manifest = bundle.manifest
    assert (manifest.style, manifest.version, manifest.method) == ("weave", "1.0", method)
    assert (manifest.backbone, manifest.levels, manifest.mm_per_px) == ("tf_efficientnet_lite0", (4,), 0.2)
    assert (manifest.tile.height_px, manifest.tile.width_px, manifest.tile.halo_px) == (HEIGHT, WIDTH, HALO)
    assert (manifest.training_data_sha256, manifest.metrics) == ("5a" * 32, {"tile_auroc": 0.9})
    assert [one.precision for one in manifest.parity] == ["f32", *(p for p in supported_precisions() if p != "f32")]
    assert manifest.parity[0].passed
    assert report["fused_max_abs_err"] < 1e-3

    threshold = manifest.threshold
    assert threshold.logit == pytest.approx(expected_threshold(mill / kind), rel=1e-4)
    assert (threshold.n_blocks, threshold.good_cloth_lines) == (2, 2 * (HEIGHT - 2 * HALO))
    evidence = json.loads(bundle.read("threshold.json"))
    assert [one["name"] for one in evidence["images"]] == list(HOLDOUT)
    assert max(max(one["block_maxima"]) for one in evidence["images"]) == pytest.approx(threshold.logit, abs=1e-4)

    golden = bundle.golden()
    reference = load_reference(mill / kind)
    np.testing.assert_allclose(golden.maps, reference(golden.tiles), rtol=0, atol=1e-4)
    assert report["golden_alarm_cells"] == np.count_nonzero(golden.maps >= threshold.logit) > 0
    with open_engine(bundle, EngineSettings(precision="f32")) as engine:
        np.testing.assert_allclose(engine.infer(golden.tiles[:2]), golden.maps[:2], rtol=0, atol=1e-3)


def test_the_recorded_halo_error_is_that_of_the_halo(mill: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    rng = np.random.default_rng(7)
    cloth = np.block([[weave(rng), weave(rng)], [weave(rng), weave(rng)]])  # several tiles, so that there are seams
    cv2.imwrite(str(images / "large.png"), cloth)
    recipe = load_recipe(mill / "weave.toml")
    errors = []
    for halo in (0, 16):
        own = recipe.model_copy(update={"tile": recipe.tile.model_copy(update={"halo_px": halo})})
        model = trained(own, torch.from_numpy(cloth[None, :HEIGHT, :WIDTH, None]))
        save(tmp_path / str(halo), model)
        arguments = ("--out", str(tmp_path / "engines"), "--version", f"halo{halo}", "--precision", "f32")
        run(str(tmp_path / str(halo)), *arguments, "--threshold-images", str(images))
        errors.append(load_bundle(tmp_path / "engines" / "weave" / f"halo{halo}").manifest.tile.max_halo_error)
    assert errors[0] > 0.1  # zeros at the tiles' borders are seen
    assert errors[1] < 1e-3  # a cell of 4 px sees 27 px with its neighbourhood, 13 beyond its centre


def test_the_checkpoint_travels_along_when_asked(mill: Path, tmp_path: Path) -> None:
    run(str(mill / "run"), "--out", str(tmp_path), "--version", "a", "--with-checkpoint", "--precision", "f32")
    bundle = load_bundle(tmp_path / "weave" / "a")
    assert [one.precision for one in bundle.manifest.parity] == ["f32"]
    tiles = bundle.golden().tiles
    np.testing.assert_array_equal(
        load_reference(bundle.folder / "checkpoint")(tiles), load_reference(mill / "run")(tiles)
    )
    assert str(mill).encode() not in bundle.read("checkpoint/checkpoint.json")


def test_versions_are_made_from_the_time_and_never_overwritten(mill: Path, tmp_path: Path) -> None:
    out, _ = run(str(mill / "run"), "--out", str(tmp_path), "--json")
    version = json.loads(out)["version"]
    assert len(version) == 16
    assert version.endswith("Z")
    before = hashes(tmp_path)
    with pytest.raises(InputError, match="choose another --version"):
        run(str(mill / "run"), "--out", str(tmp_path), "--version", version)
    with pytest.raises(InputError, match=r"--version \.\./b: give letters, digits"):
        run(str(mill / "run"), "--out", str(tmp_path), "--version", "../b")
    assert hashes(tmp_path) == before


@pytest.mark.slow
def test_an_int8_graph_is_judged_and_kept_only_if_it_passes(mill: Path, tmp_path: Path) -> None:
    pytest.importorskip("nncf", reason="the extra 'int8' is not installed")
    recipe = load_recipe(mill / "weave.toml")
    plain = {"whiten": False, "prior": "none", "neighbours": "all"}
    tiles = torch.from_numpy(np.stack([weave(np.random.default_rng(k)) for k in range(4)])[..., None])
    loose = {"int8_tolerance": 1.0, "int8_quantile": 0.5, "int8_changed_share": 1.0, "min_rank_correlation": -1.0}
    # an untrained network has a few channels so wide that 8 bits are rough
    for name, rules in (("kept", loose), ("refused", {"int8_tolerance": 1e-4})):
        model = recipe.model.model_copy(update=plain)
        parity = recipe.parity.model_copy(update=rules)
        own = recipe.model_copy(update={"model": model, "parity": parity})
        save(tmp_path / name, spread(own, tiles))
        arguments = (str(tmp_path / name), "--out", str(tmp_path / "engines"), "--version", name)
        images = ("--threshold-images", str(mill / "cloth" / "train" / "good"))
        out, steps = run(*arguments, *images, "--precision", "int8", "--json")
        bundle = load_bundle(tmp_path / "engines" / "weave" / name)
        f32, int8 = bundle.manifest.parity
        assert (f32.precision, int8.precision) == ("f32", "int8")
        assert f32.good is not None
        assert f32.good.rank_correlation > 0.999
        assert int8.good is not None
        assert int8.good.tiles == 8
        assert int8.max_abs_logit_error > f32.max_abs_logit_error
        assert int8.passed is (name == "kept")
        assert [one["precision"] for one in json.loads(out)["parity"]] == ["f32", "int8"]
        assert ("model-int8.xml" in bundle.manifest.files) is (name == "kept")
        assert ("FAILED, will not be used: 0.01 of the cells differs" in steps) is (name == "refused")
    settings = EngineSettings(precision="int8")
    kept = load_bundle(tmp_path / "engines" / "weave" / "kept")
    with open_engine(kept, settings) as engine:
        error = np.abs(engine.infer(kept.golden().tiles[:2]) - kept.golden().maps[:2])
    assert 0 < error.max() <= kept.manifest.parity[1].max_abs_logit_error + 1e-3


def spread(recipe: Recipe, tiles: torch.Tensor) -> StyleModel:
    """A model without whitening whose logits have a spread of about one."""
    model = build_model(recipe)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        model.glass_head.discriminator.output.weight.normal_(0, 0.2, generator=generator)
        points, _ = model.points(tiles)
        hidden = model.glass_head.discriminator.hidden(model.glass_head.adaptor(points))
        norm = model.glass_head.discriminator.norm
        norm.running_mean.copy_(hidden.mean(dim=0))
        norm.running_var.copy_(hidden.var(dim=0))
    return model


def test_labelled_images_judge_an_engine_too(mill: Path, tmp_path: Path) -> None:
    data = tmp_path / "labelled"
    for kind in ("good", "hole"):
        (data / "test" / kind).mkdir(parents=True)
    (data / "ground_truth" / "hole").mkdir(parents=True)
    rng = np.random.default_rng(5)
    cv2.imwrite(str(data / "test" / "good" / "0.png"), np.tile(weave(rng), (2, 4)))
    spoiled = np.tile(weave(rng), (2, 4))
    spoiled[90:110, 300:320] = 255
    cv2.imwrite(str(data / "test" / "hole" / "0.png"), spoiled)
    cv2.imwrite(str(data / "ground_truth" / "hole" / "0_mask.png"), np.uint8(255) * (spoiled == 255))
    arguments = (str(mill / "run"), "--out", str(tmp_path / "engines"), "--version", "1", "--precision", "f32")
    run(*arguments, "--labelled", str(data))
    labelled = load_bundle(tmp_path / "engines" / "weave").manifest.parity[0].labelled
    assert labelled is not None
    assert 0 <= labelled.tile_auroc <= 1
    assert labelled.tile_auroc_change == pytest.approx(0, abs=1e-6)
    assert (labelled.regions_found_change, labelled.false_alarms_change) == (0, 0)
    assert labelled.folder == str(data)


def hashes(folder: Path) -> dict[str, str]:
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


def test_a_graph_that_is_not_the_checkpoint_is_never_written(
    mill: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = build_bundle.export_onnx

    def wrong(fused: build_bundle.FusedModel, *arguments: object) -> bytes:
        fused.head.bias.add_(0.5)  # as a fault in the exporter or the runtime would
        return right(fused, *arguments)

    monkeypatch.setattr(build_bundle, "export_onnx", wrong)
    with pytest.raises(ParityError, match="differs from the checkpoint"):
        run(str(mill / "run"), "--out", str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_moved_and_missing_images(mill: Path, tmp_path: Path) -> None:
    moved = tmp_path / "mill"
    shutil.copytree(mill / "run", moved / "run")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(mill / "cloth", elsewhere)
    (elsewhere / HOLDOUT[1]).unlink()
    out = ("--out", str(tmp_path / "engines"))
    with pytest.raises(InputError, match=r"s7\.png: missing.*--data.*--threshold-images"):
        run(str(moved / "run"), *out, "--data", str(elsewhere))
    assert not (tmp_path / "engines").exists()
    run(str(moved / "run"), *out, "--version", "1", "--data", str(mill / "cloth"))
    run(str(moved / "run"), *out, "--version", "2", "--threshold-images", str(elsewhere / "train" / "good"))
    evidence = json.loads(load_bundle(tmp_path / "engines" / "weave" / "2").read("threshold.json"))
    assert [one["name"] for one in evidence["images"]] == [f"s{number}.png" for number in range(7)]


def test_unsuitable_images_are_named(mill: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    arguments = (str(mill / "map"), "--out", str(tmp_path / "engines"), "--threshold-images", str(images))
    with pytest.raises(InputError, match="no images"):
        run(*arguments)
    cv2.imwrite(str(images / "a.png"), np.zeros((HEIGHT, WIDTH, 3), np.uint8))
    with pytest.raises(InputError, match=r"a\.png: an RGB image.*convert it to grey"):
        run(*arguments)
    cv2.imwrite(str(images / "a.png"), np.zeros((HEIGHT, WIDTH), np.uint8))
    with pytest.raises(InputError, match=r"a\.png: no cloth is seen"):
        run(*arguments)
    cv2.imwrite(str(images / "a.png"), weave(np.random.default_rng(0))[:32])
    with pytest.raises(InputError, match=r"a\.png: a strip of 32 lines has nothing to score"):
        run(*arguments)
    assert not (tmp_path / "engines").exists()


def test_options_that_make_no_sense_are_refused(mill: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--precision int4: give auto, f32, bf16 or int8"):
        run(str(mill / "run"), "--precision", "int4")
    with pytest.raises(InputError, match="give the folder that 'glass-edge train' made"):
        run(str(tmp_path))
