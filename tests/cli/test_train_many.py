"""`glass-edge train` with several recipes, and with options that contradict each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tiny_styles import tiny_style

from glass_edge.cli.main import run
from glass_edge.glass.checkpoint import load_checkpoint


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for seed, style in enumerate(("satin", "twill")):
        tiny_style(tmp_path, style, seed=seed, epochs=1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def spoil(place: Path, style: str) -> Path:
    bad = place / style / "01.png"
    bad.write_bytes(bad.read_bytes()[:300])
    return bad


def runs_of(folder: Path) -> dict[str, Path]:
    found = {path.name.rpartition("-")[0]: path for path in folder.iterdir()}
    assert len(found) == len(list(folder.iterdir()))
    return found


def test_one_that_fails_is_named_and_the_others_are_trained(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = spoil(place, "satin")
    arguments = ["train", "satin.toml", "twill.toml", "--runs-folder", "r"]
    assert run(arguments) == 1
    printed = capsys.readouterr()
    assert f"error: satin: {bad}: damaged or cut off" in printed.err
    assert "failed" in printed.out
    assert printed.out.count("done") == 1
    assert "--resume" in printed.out
    folders = runs_of(place / "r")
    assert {style for style, folder in folders.items() if (folder / "checkpoint").exists()} == {"twill"}
    assert load_checkpoint(folders["twill"])[1].style == "twill"

    before = {path: path.stat().st_mtime_ns for path in (place / "r").rglob("*") if path.is_file()}
    (place / "satin" / "01.png").write_bytes((place / "satin" / "02.png").read_bytes())
    assert run([*arguments, "--resume", "--json"]) == 0
    documents = json.loads(capsys.readouterr().out)
    assert [(one["style"], one["ending"], one["error"]) for one in documents] == [
        ("satin", "done", None), ("twill", "done", None),
    ]  # fmt: skip
    assert documents[0]["epochs"] == 1
    assert load_checkpoint(Path(documents[0]["run_folder"]))[2].epoch == 1
    # what was finished is left alone
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_resume_goes_on_with_each_and_begins_what_has_no_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "satin.toml"]) == 0
    capsys.readouterr()
    assert run(["train", "satin.toml", "twill.toml", "--epochs", "2", "--resume", "--json"]) == 0
    printed = capsys.readouterr()
    assert printed.err.count("continuing after epoch 1") == 1
    assert [one["epochs"] for one in json.loads(printed.out)] == [2, 2]
    assert set(runs_of(place / "runs")) == {"satin", "twill"}


def test_two_recipes_of_one_style_are_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "other.toml").write_text('style = "satin"\n' + (place / "satin.toml").read_text())
    assert run(["train", "satin.toml", "other.toml"]) == 2
    assert "other.toml: style 'satin', as in satin.toml" in capsys.readouterr().err
    assert not (place / "runs").exists()


def test_a_recipe_that_cannot_be_read_stops_all_before_any_is_trained(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "twill.toml").write_text("[data\n")
    assert run(["train", "satin.toml", "twill.toml"]) == 2
    assert "twill.toml: not valid TOML" in capsys.readouterr().err
    assert not (place / "runs").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["twill.toml", "--run-folder", "r"], "--run-folder: one folder for several recipes; give --runs-folder"),
        (["--run-folder", "r", "--runs-folder", "s"], "--run-folder, --runs-folder: give one of them"),
        (["--quick", "--ray", "auto"], "--quick, --ray: a quick engine is made here"),
        (["--quick", "--resume"], "--quick, --resume: the Mahalanobis map trains nothing"),
        (["--mahalanobis", "--resume"], "--mahalanobis, --resume: the Mahalanobis map trains nothing"),
        (["--quick", "--epochs", "3"], "--quick, --epochs: the Mahalanobis map trains nothing"),
        (["--mahalanobis", "--epochs", "3"], "--mahalanobis, --epochs: the Mahalanobis map trains nothing"),
        (["--quick", "--images", "3", "--metres", "2"], "--images, --metres: give one of them"),
        (["--quick", "--images", "1"], "--images 1: give at least 2"),
        (["--quick", "--metres", "0"], "--metres 0.0: give a length above 0"),
        (["--quick", "--metres", "nan"], "--metres nan: give a length above 0"),
        (["--images", "3"], "--images: only with --quick"),
        (["--metres", "3"], "--metres: only with --quick"),
        (["--engines", "e"], "--engines: only with --quick"),
        (["--version", "1"], "--version: only with --quick"),
        (["--cpus", "1"], "--cpus: only with --ray"),
        (["--gpus", "0"], "--gpus: only with --ray"),
        (["--retries", "0"], "--retries: only with --ray"),
        (["--ray", "auto", "--cpus", "0"], "--cpus 0: give at least 1"),
        (["--ray", "auto", "--gpus", "1.5"], "--gpus 1.5: give a share below 1, or a whole number up to 64"),
        (["--ray", "auto", "--retries", "-1"], "--retries -1: give a number from 0 to 100"),
        (["--epochs", "0"], "--epochs 0: give a number from 1 to 100000"),
        (["--runs-folder", "elsewhere", "--resume"], "elsewhere: no run of style 'satin'"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    before = set(place.iterdir())
    assert run(["train", "satin.toml", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert set(place.iterdir()) == before


def test_all_contradictions_come_at_once(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "satin.toml", "--images", "1", "--cpus", "2", "--epochs", "0"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 4


def test_a_folder_without_a_run_is_not_continued_on_a_cluster(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    assert run(["train", "satin.toml", "--ray", "127.0.0.1:9", "--resume", "--run-folder", "r"]) == 2
    assert "no training state" in capsys.readouterr().err


def test_a_folder_that_holds_a_run_is_never_handed_to_a_cluster(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    (place / "r").mkdir()
    (place / "r" / "training-state.pt").touch()
    assert run(["train", "satin.toml", "--run-folder", "r", "--ray", "127.0.0.1:9"]) == 2
    assert "holds a training run already" in capsys.readouterr().err


@pytest.mark.parametrize("address", ["127.0.0.1:9", "127.0.0.1:none", "ray://127.0.0.1:9", "nonsense"])
def test_a_cluster_that_is_not_there_is_said_at_once(
    place: Path, capsys: pytest.CaptureFixture[str], address: str
) -> None:
    pytest.importorskip("ray", reason="the extra 'ray' is not installed")
    assert run(["train", "satin.toml", "--ray", address]) == 2
    printed = capsys.readouterr().err
    assert f"--ray {address}: " in printed
    assert "give HOST:PORT of a running cluster" in printed
    assert not (place / "runs").exists()


def test_without_ray_the_extra_is_named(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "ray", None)  # as if it were not installed
    assert run(["train", "satin.toml", "--ray", "auto"]) == 2
    assert "pip install 'glass-edge[ray]'" in capsys.readouterr().err
