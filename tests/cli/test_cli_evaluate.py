"""What `glass-edge evaluate` and the report of a training run write, on a small simulated cloth."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from tiny_styles import WOVEN_RECIPE, weave_cloth

from glass_edge.cli.evaluation_run import evaluate_run
from glass_edge.cli.main import run
from glass_edge.cli.training_report import write_training_report
from glass_edge.errors import InputError
from glass_edge.files import sha256_file

RECIPE = WOVEN_RECIPE.replace("[tile]", "holdout = 0.4\n[tile]").replace(
    "[inspection]", 'select = "synthetic"\nselect_tiles = 4\n[inspection]'
)
CURVES = ("roc", "precision-recall", "pro", "false-alarms")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working directory with cloth and a run of two epochs, `runs/glass`, and one of distances, `runs/distance`."""
    place = tmp_path_factory.mktemp("evaluate")
    weave_cloth(place / "cloth")
    (place / "cloth.toml").write_text(RECIPE)
    assert run(["train", str(place / "cloth.toml"), "--run-folder", str(place / "runs/glass")]) == 0
    distance = ["--run-folder", str(place / "runs/distance"), "--mahalanobis"]
    assert run(["train", str(place / "cloth.toml"), *distance]) == 0
    return place


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def is_picture(path: Path) -> bool:
    with Image.open(path) as picture:
        pixels = np.asarray(picture.convert("RGB"))
    return min(pixels.shape[:2]) > 100 and float(pixels.std()) > 5


def test_an_evaluation_writes_tables_curves_and_pictures(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    subject, out = trained / "runs/distance", tmp_path / "out"
    assert run(["evaluate", str(subject), "--against", str(trained / "runs/glass"), "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    for word in ("PRO, dilated, as the authors' program computes it", "a yardstick, not a threshold to run with"):
        assert word in printed
    result = json.loads((out / "evaluation.json").read_text())
    figures = result["figures"]
    kinds = {row["kind"]: row for row in rows(out / "evaluation-kinds.csv")}
    assert set(kinds) == {"hole", "slub", "all"}
    assert int(kinds["all"]["regions_found"]) == figures["all_kinds"]["regions_found"]
    assert float(kinds["hole"]["tile_auroc"]) == pytest.approx(figures["kinds"]["hole"]["tile_auroc"], abs=1e-5)
    assert (
        sum(int(kinds[kind]["regions_found_at_1_false_alarms"]) for kind in ("hole", "slub"))
        == (figures["yardsticks"][1]["regions_found"])
    )
    # points of the curves give the figures back
    tile = [row for row in rows(out / "evaluation-roc.csv") if row["of"] == "tile"]
    x, y = (np.array([float(row[name]) for row in tile]) for name in ("false_positive_rate", "true_positive_rate"))
    assert np.trapezoid(y, x) == pytest.approx(figures["tile_auroc"], abs=1e-6)
    images = rows(out / "evaluation-images.csv")
    for row in rows(out / "evaluation-precision-recall.csv"):
        if row["of"] == "image":
            called = [one for one in images if float(one["largest_logit"]) >= float(row["threshold_logit"]) - 1e-4]
            right = sum(one["kind"] != "good" for one in called)
            assert (float(row["recall"]), float(row["precision"])) == (right / 4, right / len(called))
    for row in rows(out / "evaluation-false-alarms.csv"):
        if float(row["threshold_logit"]) == pytest.approx(figures["yardsticks"][1]["threshold_logit"], rel=1e-6):
            assert float(row["region_recall"]) == figures["yardsticks"][1]["region_recall"]
    assert float(rows(out / "evaluation-pro.csv")[-1]["region_overlap"]) == 1
    assert is_picture(out / "evaluation-curves.png")
    assert is_picture(out / "evaluation.png")
    low, high = figures["intervals"]["tile_auroc"]
    assert low <= figures["tile_auroc"] <= high
    assert evaluate_run(subject)["figures"] == figures


def test_maps_are_on_one_scale_and_lie_where_the_cloth_is(trained: Path, tmp_path: Path) -> None:
    out, maps = tmp_path / "out", tmp_path / "maps"
    assert run(["evaluate", str(trained / "runs/distance"), "--out", str(out), "--maps", str(maps)]) == 0
    scale = json.loads((maps / "maps.json").read_text())
    images = rows(out / "evaluation-images.csv")
    for row in images:
        name = Path(row["image"])
        counts = cv2.imread(str(maps / name.parent.name / name.name), cv2.IMREAD_UNCHANGED)
        with Image.open(trained / "cloth" / name) as picture:
            assert counts.shape == (picture.height, picture.width)
        assert counts.dtype == np.uint16
        assert not counts[:16].any()  # the halo is not scored
        logits = scale["logit_of_1"] + (counts[counts > 0].astype(float) - 1) * scale["logits_per_count"]
        # interpolation between cells loses a little of the highest one
        assert 0.7 * float(row["largest_logit"]) <= logits.max() <= float(row["largest_logit"]) + 1e-3
        overlay = cv2.imread(str(maps / name.parent.name / f"{name.stem}-overlay.png"))
        assert overlay.shape == (*counts.shape, 3)
        if row["kind"] == "hole":
            mask = cv2.imread(str(trained / f"cloth/ground_truth/hole/{name.stem}_mask.png"), cv2.IMREAD_GRAYSCALE) > 0
            inside = (counts > 0) & ~cv2.dilate(mask.astype(np.uint8), np.ones((41, 41))).astype(bool)
            assert counts[mask].max() > counts[inside].max()
            assert (overlay == (90, 220, 40)).all(axis=2).any()  # its outline, BGR
    assert any((maps / kind).is_dir() for kind in ("good", "hole", "slub"))


def test_all_epochs_tell_the_price_of_the_choice_and_change_nothing(
    trained: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = trained / "runs/glass"
    before = {path: sha256_file(path) for path in (folder / "checkpoint").iterdir()}
    capsys.readouterr()
    assert run(["evaluate", str(folder), "--all-epochs"]) == 0
    report = json.loads((folder / "evaluation-epochs.json").read_text())
    assert f"the checkpoint is epoch {report['chosen_epoch']}" in capsys.readouterr().out
    assert {path: sha256_file(path) for path in (folder / "checkpoint").iterdir()} == before
    assert [one["epoch"] for one in report["epochs"]] == [0, 1, 2]  # 0: before training, a candidate too
    chosen = report["chosen_epoch"]
    logged = {int(row["epoch"]): float(row["selection"]) for row in rows(folder / "metrics.csv")}
    assert {one["epoch"]: one["selection"] for one in report["epochs"]} == logged
    assert logged[chosen] == max(logged.values())
    own = next(one for one in report["epochs"] if one["epoch"] == chosen)
    assert own["figures"]["tile_auroc"] == evaluate_run(folder)["figures"]["tile_auroc"]
    prices = {one["figure"]: one for one in report["prices"]}
    values = {one["epoch"]: one["figures"]["tile_auroc"] for one in report["epochs"]}
    price = prices["tile AUROC"]
    assert (price["best"], price["chosen"]) == (max(values.values()), values[chosen])
    assert values[price["best_epoch"]] == price["best"]
    assert price["price"] == pytest.approx(price["best"] - price["chosen"])
    if price["price"] == 0:
        assert price["best_epoch"] == chosen
    sums = [one["figures"]["image_auroc"] + one["figures"]["pixel_auroc"] for one in report["epochs"]]
    assert prices["image + pixel AUROC **"]["best"] == max(sums)
    table = rows(folder / "evaluation-epochs.csv")
    assert [row["epoch"] for row in table if row["is_chosen"] == "1"] == [str(chosen)]
    assert float(table[1]["tile_auroc"]) == pytest.approx(values[1], abs=1e-5)
    assert is_picture(folder / "evaluation-epochs.png")

    # a checkpoint whose own head is not among the kept ones is evaluated all the same
    kept = folder / f"epochs/{chosen}.pt"
    content = kept.read_bytes()
    kept.unlink()
    try:
        assert run(["evaluate", str(folder), "--all-epochs", "--json"]) == 0
        again = json.loads(capsys.readouterr().out)
    finally:
        kept.write_bytes(content)
    assert [one["figures"] for one in again["epochs"]] == [one["figures"] for one in report["epochs"]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runs/distance", "--all-epochs"], "no epochs are kept"),
        (["runs/glass", "--all-epochs", "--against", "runs/distance"], "--against"),
        (["runs/glass", "--all-epochs", "--maps", "maps"], "--maps"),
    ],
)
def test_what_does_not_go_together_is_said(
    trained: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(trained)
    assert run(["evaluate", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_run_reports_itself(trained: Path) -> None:
    folder = trained / "runs/glass"
    report = json.loads((folder / "report.json").read_text())
    data = json.loads((folder / "data.json").read_text())
    assert report["training"]["checkpoint_epoch"] == report["training"]["chosen_epoch"]
    assert [one["epoch"] for one in report["training"]["epochs_logged"]] == [0, 1, 2]
    assert report["data"]["images"] == {name: len(data[name]) for name in ("train", "holdout", "selection", "skipped")}
    held_out = report["held_out"]
    assert held_out["images"] == data["selection"]
    assert held_out["synthetic_tiles"] == 4
    assert 0 <= held_out["synthetic_defects_found"] <= held_out["synthetic_defects"]
    assert held_out["good_cell_logits"]["0.5"] < held_out["good_cell_logits"]["1"]
    for name in ("report-losses.png", "report-scores.png", "report-sheet.png"):
        assert is_picture(folder / name)

    distance = json.loads((trained / "runs/distance/report.json").read_text())
    assert distance["training"]["epochs_logged"] == []
    assert distance["held_out"]["cell_auroc"] > 0.5
    assert not (trained / "runs/distance/report-losses.png").exists()


def test_without_the_extra_all_but_the_plots_is_written(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if it were not installed
    copy = tmp_path / "run"
    shutil.copytree(trained / "runs/glass", copy, ignore=shutil.ignore_patterns("report*", "evaluation*"))
    said: list[str] = []
    files = write_training_report(copy, say=said.append)
    assert {path.name for path in files} == {"report.json", "report-sheet.png"}
    assert {path.name for path in copy.glob("report*")} == {"report.json", "report-sheet.png"}
    assert len(said) == 1
    assert "glass-edge[report]" in said[0]

    assert run(["evaluate", str(copy)]) == 0
    printed = capsys.readouterr()
    assert "glass-edge[report]" in printed.err
    names = {f"evaluation-{name}.csv" for name in (*CURVES, "images", "kinds")}
    assert {path.name for path in copy.glob("evaluation*")} == {*names, "evaluation.json", "evaluation.png"}


def test_a_report_says_what_is_missing(trained: Path, tmp_path: Path) -> None:
    copy = tmp_path / "run"
    shutil.copytree(trained / "runs/glass", copy)
    (copy / "metrics.csv").write_text("epoch,total\nfirst,0.5\n")
    with pytest.raises(InputError, match=r"metrics\.csv: not the table of a training run"):
        write_training_report(copy, say=lambda text: None)
    shutil.rmtree(copy / "checkpoint")
    with pytest.raises(InputError, match=r"checkpoint\.json"):
        write_training_report(copy, say=lambda text: None)
