"""`glass-edge import-reference` as a user runs it: from the authors' checkpoint to an engine of ours."""

from __future__ import annotations

import hashlib
import json
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_styles import tiny_style

sys.path.insert(0, str(Path(__file__).parents[1] / "glass"))

from golden_weights import ADAPTOR_NAMES, DISCRIMINATOR_NAMES, drawn_in_order, reference_shapes

from glass_edge.cli.main import run
from glass_edge.engine.bundle import load_bundle
from glass_edge.glass.backbones import repeat_reference_probe
from glass_edge.glass.checkpoint import load_checkpoint, load_golden_tiles, load_reference
from glass_edge.glass.model import build_model
from glass_edge.glass.networks import build_head

_PUBLISHED = 'hidden = 16\nwhiten = false\nprior = "none"\nadaptor = "xavier"\nneighbours = "all"'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    recipe = tiny_style(tmp_path, "carpet")
    recipe.write_text(
        recipe.read_text().replace("hidden = 16", _PUBLISHED).replace("[tile]", '[tile]\nexposure = "camera"')
    )
    head = build_head(24, 16, seed=0)
    parts = {
        "discriminator": drawn_in_order(reference_shapes(head.discriminator, DISCRIMINATOR_NAMES), 2),
        "pre_projection": drawn_in_order(reference_shapes(head.adaptor, ADAPTOR_NAMES), 1),
    }
    torch.save({part: OrderedDict(state) for part, state in parts.items()}, tmp_path / "ckpt_best_3.pth")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*arguments: str) -> list[str]:
    return ["import-reference", "ckpt_best_3.pth", "--recipe", "carpet.toml", "--out", "run", *arguments]


def test_a_run_folder_appears_that_is_built_like_any_other(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command("--probe-size", "64")) == 0
    printed = capsys.readouterr().out
    assert "24 features, 16 hidden units" in printed
    assert "--threshold-images" in printed
    assert "glass-edge build run" in printed

    model, recipe, info = load_checkpoint(place / "run")
    assert recipe.style == "carpet"
    assert info.epoch == 0
    held = json.loads((place / "run" / "data.json").read_text())["holdout"]
    assert list(info.holdout) == held
    assert len(held) == 1
    assert (place / "run" / "recipe.toml").read_text() == (place / "carpet.toml").read_text()
    origin = json.loads((place / "run" / "reference.json").read_text())
    assert origin["sha256"] == hashlib.sha256((place / "ckpt_best_3.pth").read_bytes()).hexdigest()
    assert origin["probe_size_px"] == 64

    probed = build_model(recipe)
    repeat_reference_probe(probed.backbone, 64, 64)
    theirs = torch.load(place / "ckpt_best_3.pth", weights_only=True)
    state = model.state_dict()
    for name, value in probed.backbone.state_dict().items():
        assert torch.equal(state[f"backbone.{name}"], value), name
    for ours, name in ADAPTOR_NAMES.items():
        assert torch.equal(state[f"head.adaptor.{ours}"], theirs["pre_projection"][name])
    for ours, name in DISCRIMINATOR_NAMES.items():
        assert torch.equal(state[f"head.discriminator.{ours}"], theirs["discriminator"][name])

    assert run(["build", "run", "--version", "1", "--precision", "f32"]) == 0
    bundle = load_bundle(place / "engines" / "carpet")
    golden = bundle.golden()
    stored = load_golden_tiles(place / "run")
    assert stored is not None
    assert np.array_equal(golden.tiles[0], stored[0])
    np.testing.assert_allclose(golden.maps, load_reference(place / "run")(golden.tiles), rtol=0, atol=1e-4)
    assert [one["name"] for one in json.loads(bundle.read("threshold.json"))["images"]] == held


def test_the_probe_is_that_of_the_published_scripts_unless_told_otherwise(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command("--json")) == 0
    assert json.loads(capsys.readouterr().out)["probe_size_px"] == 288
    model, recipe, _ = load_checkpoint(place / "run")
    probed = build_model(recipe)
    repeat_reference_probe(probed.backbone, 288, 288)
    name = "body.bn1.running_mean"
    assert torch.equal(model.backbone.state_dict()[name], probed.backbone.state_dict()[name])
    assert not torch.equal(model.backbone.state_dict()[name], build_model(recipe).backbone.state_dict()[name])

    assert run(command()) == 2
    assert "run: holds a training run already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "arguments", "message"),
    [
        (("hidden = 16", "hidden = 32"), [], "give model.hidden = 16; the recipe has 32"),
        (("whiten = false", "whiten = true"), [], "model.whiten = true"),
        (("", ""), ["--probe-size", "8"], "--probe-size 8: give 32 to 8192, or 0"),
        (('folder = "carpet"', 'folder = "nowhere"'), [], "nowhere: no such folder"),
    ],
)
def test_what_does_not_fit_leaves_nothing_behind(
    place: Path, capsys: pytest.CaptureFixture[str], change: tuple[str, str], arguments: list[str], message: str
) -> None:
    recipe = place / "carpet.toml"
    recipe.write_text(recipe.read_text().replace(*change))
    assert run(command(*arguments)) == 2
    assert message in capsys.readouterr().err
    assert not (place / "run").exists()
