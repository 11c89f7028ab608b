"""`glass-edge pod` as a user runs it, and its counts beside a second computation of what an engine must find."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from station_support import STRIDE, brightness_scores, cloth, cut_off, make_bundle, save, spotted

from glass_edge.acquisition.camera import LineBlock
from glass_edge.acquisition.raw_lines import SUFFIX, RawHeader, RawWriter
from glass_edge.acquisition.recording import ReplayCamera
from glass_edge.calibration.planted_defects import PlantedKind
from glass_edge.cli import plots
from glass_edge.cli.pod_cloth import read_cloth
from glass_edge.cli.pod_orders import make_orders, parse_contrasts, parse_kinds, parse_sizes
from glass_edge.cli.pod_run import SLACK_PX, run_pod
from glass_edge.config.engine import EngineSettings
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.web import FixedSpan, WebSettings
from glass_edge.engine.bundle import Bundle
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import WebBox
from glass_edge.glass.evaluation_image import SLACK_PX as SLACK_OF_EVALUATION
from glass_edge.service.roll_job import RollJob

Run = Callable[..., tuple[int, str, str]]
DEMO = Path(__file__).resolve().parents[2] / "engines" / "demo"
SPOTS = ("--kinds", "hole,stain", "--sizes-mm", "2,4,8,16", "--contrasts", "-0.7,-0.2", "--per-size", 6)


def _alarms_near(lines: NDArray[np.uint8], box: WebBox) -> bool:
    """Whether a cell of the brightness engine alarms within the slack of a box."""
    rows, columns = (side // STRIDE * STRIDE for side in lines.shape)
    alarmed = brightness_scores(lines[None, :rows, :columns, None])[0] >= 0
    top, left = (max(0, value - SLACK_PX) // STRIDE for value in (box.first_line, box.left_px))
    bottom, right = (-(-(value + SLACK_PX) // STRIDE) for value in (box.end_line, box.right_px))
    return bool(alarmed[top:bottom, left:right].any())


def test_found_are_those_whose_cells_alarm_and_no_others(tmp_path: Path, bundle: Bundle) -> None:
    paths = [save(tmp_path / f"{k}.png", spotted(300, [(100, 150)] if k else [], 400, seed=k)) for k in range(2)]
    camera = ReplayCamera(paths)
    span = FixedSpan(left_px=0, right_px=400)
    web = WebSettings(mm_per_px=0.5, mm_per_line=0.5, span=span)
    job = RollJob("pod", camera, bundle, web, EngineSettings(), InspectionSettings(), live=False)
    stretches, is_all = read_cloth(camera)
    kinds = (PlantedKind.HOLE, PlantedKind.STAIN)
    orders = make_orders(kinds, (-0.6, -0.4, 0.5), (1.0, 2.0, 4.0, 16.0), 8, scale=web.scale, yarns=None, seed=3)
    told: list[str] = []
    ran = run_pod(job, stretches, orders, None, seed=3, say=told.append, tick=lambda done, total: None)
    assert is_all
    assert len(ran.outcomes) + ran.not_inspected == len(orders)
    assert ran.not_inspected == 0
    assert ran.false_alarms == 1  # the white spot
    assert ran.lines_inspected == 2 * (300 - 32)
    assert ran.other_alarms == 0
    found = 0
    for one in ran.outcomes:
        lines = ran.camera.lines_with(one.number, one.place.stretch)
        assert one.is_found == _alarms_near(lines, one.planted.box), one
        found += one.is_found
        if one.place.stretch == 1:  # nothing is planted at the spot
            box = one.planted.box
            assert box.right_px <= 150 or box.left_px >= 162 or box.end_line <= 100 or box.first_line >= 112
    assert 20 < found < len(orders) - 20


def test_the_slack_is_that_of_the_evaluation() -> None:
    assert SLACK_PX == SLACK_OF_EVALUATION


def test_the_files_say_the_same_and_the_same_again(tmp_path: Path, bundle: Bundle, run: Run) -> None:
    good = save(tmp_path / "good" / "a.png", cloth(300, 400))
    outs = [tmp_path / name for name in ("one", "two", "other")]
    for out, seed in zip(outs, (5, 5, 6), strict=True):
        code, printed, said = run("pod", bundle.folder, good.parent, "--out", out, *SPOTS, "--seed", seed, "--json")
        assert code == 0, said
        assert json.loads(printed) == json.loads((out / "pod.json").read_text())
    assert (outs[0] / "pod.csv").read_bytes() == (outs[1] / "pod.csv").read_bytes()
    assert (outs[0] / "pod.csv").read_bytes() != (outs[2] / "pod.csv").read_bytes()
    document = json.loads((outs[0] / "pod.json").read_text())
    rows = list(csv.DictReader(io.StringIO((outs[0] / "pod.csv").read_text())))
    assert len(rows) == 2 * 2 * 4 * 6 == document["planted"]
    counted = Counter(
        (row["kind"], float(row["contrast"]), float(row["size_mm"])) for row in rows if row["found"] == "1"
    )
    for curve in document["curves"]:
        assert [size["planted"] for size in curve["sizes"]] == [6] * 4
        for size in curve["sizes"]:
            assert size["found"] == counted[curve["kind"], curve["contrast"], size["size_mm"]]
    strong, faint = document["curves"][0], document["curves"][1]
    assert strong["sizes"][-1]["found"] == 6  # -0.7 of 128 is beyond the engine's 50 grey values
    assert sum(size["found"] for size in faint["sizes"]) == 0  # -0.2 is not
    assert faint["a90_95"] == {"side": "above", "mm": 16.0}
    assert document["false_alarms"]["count"] == 0
    assert document["cloth"]["metres_inspected"] == pytest.approx((300 - 32) * 0.5 / 1000)
    for name in ("pod.png", "pod-examples.png"):
        with Image.open(outs[0] / name) as picture:
            assert min(picture.size) > 300


def test_a_threshold_of_its_own_changes_what_is_found(tmp_path: Path, bundle: Bundle, run: Run) -> None:
    good = save(tmp_path / "a.png", cloth(300, 400))
    code, printed, said = run(
        "pod", bundle.folder, good, "--out", tmp_path / "out", *SPOTS, "--threshold", 8.0, "--json"
    )
    assert code == 0, said
    document = json.loads(printed)
    assert document["threshold_logit"] == 8
    assert all(size["found"] == 0 for curve in document["curves"] for size in curve["sizes"])


def test_without_matplotlib_everything_but_the_curves_is_written(
    tmp_path: Path, bundle: Bundle, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots.importlib.util, "find_spec", lambda name: None)
    good, out = save(tmp_path / "a.png", cloth(300, 400)), tmp_path / "out"
    code, printed, said = run("pod", bundle.folder, good, "--out", out, *SPOTS)
    assert code == 0, said
    assert "glass-edge[report]" in said
    assert "a90/95" in printed
    assert {path.name for path in out.iterdir()} == {"pod.json", "pod.csv", "pod-examples.png"}


def test_the_shipped_engine_on_simulated_linen(tmp_path: Path, run: Run) -> None:
    code, _, said = run("simulate", tmp_path / "linen", "--cloth", "photo:linen", "--width-px", 640, "--lines", 640,
                        "--seed", 77)  # fmt: skip
    assert code == 0, said
    out = tmp_path / "out"
    code, printed, said = run("pod", DEMO, tmp_path / "linen" / "strip.png", "--out", out, "--ends-per-cm", 33,
                              "--picks-per-cm", 36, "--kinds", "missing_end,stain", "--contrasts", "-0.5,-0.03",
                              "--sizes-mm", "0.5:8:4", "--per-size", 4)  # fmt: skip
    assert code == 0, said
    assert "false alarm" in printed
    curves = json.loads((out / "pod.json").read_text())["curves"]
    assert [(one["kind"], one["contrast"]) for one in curves] == [
        ("missing_end", -0.5), ("missing_end", -0.03), ("stain", -0.5), ("stain", -0.03)]  # fmt: skip
    strong, faint = curves[2], curves[1]
    assert strong["sizes"][-1]["found"] == 4
    assert sum(one["found"] for one in faint["sizes"]) < sum(one["found"] for one in strong["sizes"])
    assert strong["contrast_reached"] == pytest.approx(-0.5, abs=0.01)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--kinds", "snag"), "no defect is called 'snag'; known: missing_end"),
        (("--kinds", "hole,hole"), "give each kind once"),
        (("--kinds", "missing_end"), "--ends-per-cm and --picks-per-cm: missing"),
        (("--kinds", "hole", "--sizes-mm", "4,8,400"), "hole of 400 mm does not fit into the cloth"),
        (("--kinds", "hole", "--sizes-mm", "0.1,8,40"), "smaller than a pixel"),
        (("--kinds", "hole", "--sizes-mm", "4,8"), "three sizes or more"),
        (("--kinds", "hole", "--sizes-mm", "8:4:3"), "three sizes or more"),
        (("--kinds", "hole", "--contrasts", "-0.9"), "numbers from -0.8"),
        (("--kinds", "hole", "--contrasts", "dark"), "numbers from -0.8"),
        (("--kinds", "hole", "--threshold", "nan"), "a finite logit"),
        (("--kinds", "hole", "--per-size", 10_000, "--sizes-mm", "4,5,6,7,8"), "at most 100000"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_with_a_reason(
    tmp_path: Path, bundle: Bundle, run: Run, options: tuple[object, ...], said: str
) -> None:
    good = save(tmp_path / "a.png", cloth(300, 400))
    code, _, error = run("pod", bundle.folder, good, "--out", tmp_path / "out", *options)
    assert code == 2
    assert said in error
    assert not list((tmp_path / "out").glob("*"))


def test_cloth_that_is_missing_damaged_or_too_short_is_refused(tmp_path: Path, bundle: Bundle, run: Run) -> None:
    (tmp_path / "empty").mkdir()
    short, damaged = save(tmp_path / "short.png", cloth(20, 400)), save(tmp_path / "damaged.png", cloth(300, 400))
    cut_off(damaged)
    for place, said in (
        (tmp_path / "empty", "no image"),
        (tmp_path / "absent.png", "no such file"),
        (short, "20 lines"),
        (damaged, "damaged or cut off"),
    ):
        code, _, error = run("pod", bundle.folder, place, "--out", tmp_path / "out", *SPOTS)
        assert code == 2, place
        assert said in error.lower()


def test_a_recording_is_played_at_its_own_scale_and_parted_where_lines_are_missing(
    tmp_path: Path, bundle: Bundle, run: Run
) -> None:
    lines = cloth(800, 400)
    writer = RawWriter(tmp_path / f"rec{SUFFIX}", RawHeader(400, 1, "rec", 1, True, 0.25, 0.5))
    for first, number in ((0, 0), (152, 152), (400, 500), (600, 700)):  # 100 lines are missing before the third
        n_lines = 152 if first == 0 else 200
        part = np.ascontiguousarray(lines[first : first + n_lines])
        writer.add(LineBlock(part, number, number, datetime(2025, 3, 1, tzinfo=UTC), 1.0, starts_segment=first == 0))
    writer.close()
    options = ("--out", tmp_path / "out", *SPOTS, "--json")
    code, printed, said = run("pod", bundle.folder, tmp_path / f"rec{SUFFIX}", *options)
    assert code == 0, said
    document = json.loads(printed)
    assert (document["mm_per_px"], document["mm_per_line"]) == (0.25, 0.5)
    assert document["cloth"]["stretches"] == 2
    assert document["cloth"]["metres_inspected"] == pytest.approx((352 - 32 + 400 - 32) * 0.5 / 1000)


def test_a_style_of_unknown_scale_asks_for_it(tmp_path: Path, run: Run) -> None:
    unknown = make_bundle(tmp_path / "engines", style="unscaled", mm_per_px=None)
    code, _, error = run("pod", unknown.folder, save(tmp_path / "a.png", cloth(300, 400)), "--out", tmp_path, *SPOTS)
    assert code == 2
    assert "--mm-per-px" in error


def test_cloth_that_alarms_everywhere_has_no_place_for_a_defect(tmp_path: Path, bundle: Bundle, run: Run) -> None:
    bright = save(tmp_path / "a.png", np.full((300, 400), 240, np.uint8))
    code, _, error = run("pod", bundle.folder, bright, "--out", tmp_path / "out", *SPOTS)
    assert code == 2
    assert "alarm without a defect" in error


def test_lists_are_read() -> None:
    assert parse_sizes("0.5:8:5") == (0.5, 1.0, 2.0, 4.0, 8.0)
    assert parse_sizes("1, 2.5,7") == (1.0, 2.5, 7.0)
    assert parse_contrasts("-0.4, 0.2") == (-0.4, 0.2)
    assert parse_kinds("stain, hole") == (PlantedKind.STAIN, PlantedKind.HOLE)
    for wrong in ("", "3,2,1", "1:2", "1,2,nan", "0.5:inf:4"):
        with pytest.raises(InputError):
            parse_sizes(wrong)
