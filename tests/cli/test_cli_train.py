"""`glass-edge train` and `glass-edge evaluate` as a user runs them, on a small simulated cloth."""

from __future__ import annotations

import csv
import json
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tiny_styles import WOVEN_RECIPE, weave_cloth

from glass_edge.cli.main import run
from glass_edge.glass.checkpoint import load_checkpoint

KINDS = ("hole", "slub")


@pytest.fixture(scope="session")
def cloth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return weave_cloth(tmp_path_factory.mktemp("train") / "cloth")


@pytest.fixture
def place(tmp_path: Path, cloth: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a recipe beside its images."""
    (tmp_path / "cloth").symlink_to(cloth)
    (tmp_path / "denim.toml").write_text(WOVEN_RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", "from glass_edge.cli.main import main; main()", *arguments]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = (folder / "checkpoint").glob("weights-*.safetensors")
    return load_file(file)


def losses(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as stream:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(stream)]


def test_a_run_folder_holds_what_is_needed_and_says_what_comes_next(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["train", "denim.toml"]) == 0
    (folder,) = (place / "runs").iterdir()
    assert folder.name.startswith("denim-")
    printed = capsys.readouterr()
    assert f"glass-edge evaluate {folder.relative_to(place)}" in printed.out
    assert f"glass-edge build {folder.relative_to(place)}" in printed.out
    assert "epoch 2" in printed.err
    assert (folder / "recipe.toml").read_text() == WOVEN_RECIPE
    assert [row["epoch"] for row in losses(folder)] == ["1", "2"]
    environment = json.loads((folder / "environment.json").read_text())
    assert environment["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert environment["threads"] == 1
    data = json.loads((folder / "data.json").read_text())
    assert len(data["train"]) == 4
    assert len(data["holdout"]) == 1
    assert set(data["images"]) == {*data["train"], *data["holdout"]} == {f"train/good/{i:04d}.png" for i in range(5)}
    for image in data["images"].values():
        left, right = image["cloth_px"]
        assert 0 < left < 120  # a dark strip beside each selvedge
        assert 340 < right < 460

    _, recipe, info = load_checkpoint(folder)
    assert recipe.style == "denim"
    assert info.epoch == 2
    assert list(info.holdout) == data["holdout"]
    assert info.training_data_sha256 == data["fingerprint_sha256"]
    assert not [path for path in folder.rglob("*") if path.name.startswith(".~")]


def test_resuming_gives_what_an_uninterrupted_run_gives(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "denim.toml", "--run-folder", "straight"]) == 0
    assert run(["train", "denim.toml", "--run-folder", "parts", "--epochs", "1"]) == 0
    shutil.rmtree(place / "parts" / "checkpoint")  # as if its write had failed: the state was kept before
    capsys.readouterr()
    assert run(["train", "denim.toml", "--run-folder", "parts", "--resume", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["epochs"], report["stopped"], report["method"]) == (2, False, "glass")
    one, other = weights(place / "straight"), weights(place / "parts")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert losses(place / "straight") == losses(place / "parts")

    assert run(["train", "denim.toml", "--run-folder", "parts", "--resume"]) == 2
    assert "--epochs" in capsys.readouterr().err
    assert run(["train", "denim.toml", "--run-folder", "parts"]) == 2
    assert "holds a training run already" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_the_last_finished_epoch(place: Path, number: signal.Signals) -> None:
    with subprocess.Popen(
        command("train", "denim.toml", "--run-folder", "r", "--epochs", "10000"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 120
        while not (place / "r" / "checkpoint" / "checkpoint.json").exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    epoch = load_checkpoint(place / "r")[2].epoch
    assert f"holds epoch {epoch}" in out
    assert "glass-edge train denim.toml --run-folder r --resume" in out
    assert "Traceback" not in err
    assert [row["epoch"] for row in losses(place / "r")] == [str(n) for n in range(1, epoch + 1)]
    more = str(epoch + 1)
    assert run(["train", "denim.toml", "--run-folder", "r", "--resume", "--epochs", more]) == 0
    assert load_checkpoint(place / "r")[2].epoch == epoch + 1


def test_a_full_disk_keeps_the_checkpoint_before(place: Path) -> None:
    assert run(["train", "denim.toml", "--run-folder", "r", "--epochs", "1"]) == 0
    before = {path.name: path.read_bytes() for path in (place / "r" / "checkpoint").iterdir()}
    largest = max(len(content) for content in before.values())

    def limit() -> None:  # a write beyond this size fails with EFBIG, as one on a full disk does with ENOSPC
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest // 2, largest // 2))

    done = subprocess.run(
        command("train", "denim.toml", "--run-folder", "r", "--resume"),
        preexec_fn=limit, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "the checkpoint of epoch 1 is whole" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path.name: path.read_bytes() for path in (place / "r" / "checkpoint").iterdir()} == before
    assert not [path for path in (place / "r").rglob("*") if path.name.startswith(".~")]


def test_bad_images_stop_the_run_or_are_skipped_by_name(
    place: Path, cloth: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "cloth").unlink()
    shutil.copytree(cloth, place / "cloth")
    bad = place / "cloth" / "train" / "good" / "0001.png"
    bad.write_bytes(bad.read_bytes()[:2000])
    assert run(["train", "denim.toml", "--run-folder", "r"]) == 2
    error = capsys.readouterr().err
    assert f"{bad}: damaged or cut off" in error
    assert not (place / "r").exists()

    (place / "denim.toml").write_text(WOVEN_RECIPE.replace("[data]", '[data]\non_bad_image = "skip"'))
    assert run(["train", "denim.toml", "--run-folder", "r", "--epochs", "1"]) == 0
    assert "skipped train/good/0001.png: damaged" in capsys.readouterr().err
    assert json.loads((place / "r" / "data.json").read_text())["skipped"][0]["name"] == "train/good/0001.png"
    assert load_checkpoint(place / "r")[2].skipped == ("train/good/0001.png",)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.toml"], "no such file"),
        (["denim.toml", "--epochs", "0"], "--epochs 0"),
        (["denim.toml", "--resume"], "no run of style 'denim'"),
        (["denim.toml", "--resume", "--run-folder", "r"], "no training state"),
        (["denim.toml", "--resume", "--mahalanobis", "--run-folder", "r"], "nothing to continue"),
    ],
)
def test_wrong_commands_say_what_would_be_right(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(["train", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert {path.name for path in place.iterdir()} == {"cloth", "denim.toml"}


def test_evaluating_a_run_against_another(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "denim.toml", "--run-folder", "maha", "--mahalanobis"]) == 0
    assert run(["train", "denim.toml", "--run-folder", "glass", "--epochs", "1"]) == 0
    capsys.readouterr()
    assert run(["evaluate", "maha", "--against", "glass", "--json"]) == 0
    first, second = json.loads(capsys.readouterr().out)
    assert (first["method"], second["method"]) == ("mahalanobis", "glass")
    saved = json.loads((place / "maha" / "evaluation.json").read_text())
    assert saved["figures"] == first["figures"]
    figures = first["figures"]
    assert figures["all_kinds"]["regions"] == figures["all_kinds"]["strips"] == 4
    assert figures["kinds"]["hole"]["regions_found"] == 2  # 3 mm holes are hard to miss
    assert figures["good_strips"] == 2
    assert figures["image_auroc"] > 0.9
    assert first["threshold"]["n_blocks"] > 0
    assert first["images"] == 6
    with (place / "maha" / "evaluation-images.csv").open(newline="") as stream:
        rows = {row["image"]: row for row in csv.DictReader(stream)}
    assert set(rows) == {f"test/{kind}/000{i}.png" for kind in ("good", *KINDS) for i in range(2)}
    assert sum(int(row["false_alarms"]) for row in rows.values()) == (
        figures["false_alarms_good"] + figures["false_alarms_defect"]
    )
    with Image.open(place / "maha" / "evaluation.png") as sheet:
        assert np.asarray(sheet).shape[2] == 3

    assert run(["evaluate", "maha", "--against", "glass", "--out", "elsewhere"]) == 0
    table = capsys.readouterr().out
    for word in ("tile AUROC / AP", "maha (mahalanobis)", "glass (glass)", "hole", "wrote elsewhere"):
        assert word in table


def test_a_bundle_is_evaluated_like_its_checkpoint(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "denim.toml", "--run-folder", "r", "--mahalanobis"]) == 0
    assert run(["build", "r", "--out", "engines", "--version", "1", "--precision", "f32"]) == 0
    capsys.readouterr()
    assert run(["evaluate", "engines/denim/1"]) == 2
    assert "--data" in capsys.readouterr().err
    names = set((place / "engines").rglob("*"))
    assert run(["evaluate", "engines/denim", "--against", "r", "--data", "cloth", "--json"]) == 0
    bundle, checkpoint = json.loads(capsys.readouterr().out)
    assert set((place / "engines").rglob("*")) == names
    assert bundle["engine"]["runtime"] == "openvino"
    assert bundle["threshold"]["logit"] == pytest.approx(checkpoint["threshold"]["logit"], rel=0.05)
    for name in ("image_auroc", "tile_auroc", "pixel_auroc"):
        assert bundle["figures"][name] == pytest.approx(checkpoint["figures"][name], abs=0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "no such folder"),
        (["cloth"], "checkpoint.json"),
        (["r", "--data", "cloth/train/good"], "no folder 'test'"),
        (["r", "--threshold-images", "empty"], "train/good"),
    ],
)
def test_what_cannot_be_evaluated_is_said(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    (place / "empty").mkdir()
    if arguments[0] == "r":
        assert run(["train", "denim.toml", "--run-folder", "r", "--mahalanobis"]) == 0
    assert run(["evaluate", *arguments]) == 2
    assert message in capsys.readouterr().err
