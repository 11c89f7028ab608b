"""`glass-edge train` as a real process that is killed, and what comes of going on."""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from glass_edge.cli import main
from glass_edge.files import sha256_file
from glass_edge.glass.checkpoint import load_checkpoint

RECIPE = """
seed = 3
[data]
folder = "cloth"
span = { left_px = 0, right_px = 160 }
[backbone]
weights = "random"
levels = [8]
[tile]
height_px = 64
width_px = 96
[model]
shrinkage = 0.05
hidden = 16
[gas]
hypothesis = "judge"
points = 64
steps = 2
[training]
epochs = 3
samples_per_epoch = 60
batch = 2
threads = 1
select = "synthetic"
select_tiles = 6
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:80, :160]
    weave = 110 + 40 * np.sign(np.sin(rows * np.pi / 4) * np.sin(columns * np.pi / 4))
    (tmp_path / "cloth").mkdir()
    for index in range(5):
        pixels = np.clip(weave + rng.normal(0, 6, weave.shape), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "cloth" / f"{index}.png")
    (tmp_path / "twill.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def start(folder: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "glass_edge.cli", "train", "twill.toml", "--run-folder", folder]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def kill_after(process: subprocess.Popen[str], line: str, seconds: float) -> list[str]:
    """Wait for a line of progress, then a little longer, and kill; returns the lines."""
    assert process.stderr is not None
    lines = []
    for text in process.stderr:
        lines.append(text)
        if text.startswith(line):
            time.sleep(seconds)
            process.send_signal(signal.SIGKILL)
            break
    with process:
        lines += process.stderr.readlines()
    assert process.returncode == -signal.SIGKILL, "".join(lines)
    return lines


def hashes(folder: Path, *parts: str) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): sha256_file(path)
        for part in parts
        for path in sorted((folder / part).rglob("*"))
        if path.is_file()
    }


def figures(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as stream:
        return [{name: value for name, value in row.items() if name != "seconds"} for row in csv.DictReader(stream)]


def test_a_run_killed_in_the_middle_of_an_epoch_ends_as_if_it_had_not_been(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["train", "twill.toml", "--run-folder", "straight"]) == 0
    told = capsys.readouterr().err
    assert "judged a manifold" in told
    assert "3 good images to train on, 1 to choose the epoch, 1 held out for the threshold" in told
    lines = kill_after(start("killed"), "epoch 1", 0.1)
    assert not any(text.startswith("epoch 2") for text in lines)
    assert [row["epoch"] for row in figures(place / "killed")] == ["0", "1"]
    load_checkpoint(place / "killed")
    for folder in ("checkpoint", "epochs", "."):  # as a kill while writing leaves
        (place / "killed" / folder / ".~left.pt").write_bytes(b"half")
    assert main.run(["train", "twill.toml", "--run-folder", "killed", "--resume"]) == 0
    assert "continuing after epoch 1" in capsys.readouterr().err

    straight, killed = place / "straight", place / "killed"
    parts = ("checkpoint", "epochs")
    assert hashes(killed, *parts) == hashes(straight, *parts)
    assert len(hashes(killed, *parts)) == 3 + 4
    assert load_checkpoint(killed)[1].gas.hypothesis == "manifold"  # judged once and for all
    assert figures(killed) == figures(straight)
    ends = [json.loads((folder / "training.json").read_text()) for folder in (straight, killed)]
    for key in ("epochs", "ended", "chosen_epoch"):
        assert ends[0][key] == ends[1][key]
    assert {path.name for path in killed.iterdir()} == {path.name for path in straight.iterdir()}


def test_a_run_killed_after_its_last_epoch_is_brought_to_its_end(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["train", "twill.toml", "--run-folder", "r", "--epochs", "1"]) == 0
    wanted = hashes(place / "r", "checkpoint")
    end = (place / "r" / "training.json").read_text()
    for path in (place / "r" / "checkpoint").iterdir():
        path.unlink()
    (place / "r" / "training.json").unlink()
    assert main.run(["train", "twill.toml", "--run-folder", "r", "--epochs", "1", "--resume"]) == 0
    assert hashes(place / "r", "checkpoint") == wanted
    assert json.loads((place / "r" / "training.json").read_text())["chosen_epoch"] == json.loads(end)["chosen_epoch"]
    capsys.readouterr()
    assert main.run(["train", "twill.toml", "--run-folder", "r", "--epochs", "1", "--resume"]) == 2
    assert "1 epochs are trained already" in capsys.readouterr().err


def test_a_loss_that_is_no_number_keeps_the_last_good_checkpoint(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["train", "twill.toml", "--run-folder", "r", "--epochs", "1"]) == 0
    kept = hashes(place / "r", "checkpoint", "epochs")
    path = place / "r" / "training-state.pt"
    state = torch.load(path, weights_only=True)
    state["head"]["discriminator.output.weight"][0, 0] = torch.nan  # as a step that diverged would leave it
    torch.save(state, path)
    capsys.readouterr()
    assert main.run(["train", "twill.toml", "--run-folder", "r", "--resume"]) == 1
    error = capsys.readouterr().err
    assert "epoch 2, batch 1: the loss is no number" in error
    assert "lower training.adaptor_lr" in error
    assert hashes(place / "r", "checkpoint", "epochs") == kept


def test_two_good_images_cannot_also_choose_an_epoch(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in (2, 3, 4):
        (place / "cloth" / f"{index}.png").unlink()
    assert main.run(["train", "twill.toml", "--run-folder", "r"]) == 2
    assert "needs three good images" in capsys.readouterr().err
    assert not (place / "r").exists()
