"""The demonstration, with engines that see brightness only."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from station_support import journal_events, make_bundle

from glass_edge.inspection.overlay import FOUND_RGB, TRUE_RGB

Run = Callable[..., tuple[int, str, str]]
KEYS = {"defects_true", "defects_found", "false_alarms", "events_received", "metres", "engine", "seconds"}


def test_the_demonstration_plays_two_rolls_and_proves_what_it_says(tmp_path: Path, run: Run) -> None:
    linen = make_bundle(tmp_path / "engines", style="demo", tile=(128, 256), mm_per_px=0.1)
    greige = make_bundle(tmp_path / "engines", style="demo-greige", tile=(128, 128), channels=3, mm_per_px=None)
    out = tmp_path / "out"
    arguments = ["demo", "--out", out, "--engine", linen.folder, "--greige-engine", greige.folder]
    arguments += ["--lines", 1600, "--width-px", 768]
    code, printed, err = run(*arguments)
    assert code == 0, err
    summary = json.loads((out / "summary.json").read_text())
    assert summary.keys() >= KEYS
    assert summary["defects_true"] >= summary["defects_found"] >= 1
    assert summary["metres"] == pytest.approx((1600 + 2 * 512 + 2 * 256) * 0.1e-3)
    assert summary["engine"] == "demo/1 + demo-greige/1"
    events = journal_events(out / "events.journal")
    assert summary["events_received"] == len(events)
    assert [json.loads(line) for line in (out / "received.jsonl").read_text().splitlines()] == events
    activated = [event["payload"]["style"] for event in events if event["kind"] == "engine.activated"]
    assert activated == ["demo", "demo-greige"]
    ends = [e["payload"] for e in events if e["kind"] == "defect.end" and e["payload"]["merged_into"] is None]
    assert printed.count("\nnew ") == sum(event["kind"] == "defect.new" for event in events)
    assert printed.count("found as #") == summary["defects_found"]
    assert printed.count("MISSED") == summary["defects_true"] - summary["defects_found"]
    assert printed.count("\nfalse ") == summary["false_alarms"] <= len(ends)
    with Image.open(out / "strip.png") as image:
        picture = np.asarray(image)
    for colour in (FOUND_RGB, TRUE_RGB):
        assert (picture == np.array(colour)).all(axis=2).sum() > 500
    again, printed, _ = run(*arguments, "--json")  # over what was left by the run before
    assert again == 0
    assert json.loads(printed)["events_received"] == summary["events_received"]


def test_without_a_true_defect_found_it_failed(tmp_path: Path, run: Run) -> None:
    blind = make_bundle(tmp_path / "engines", tile=(128, 128), mm_per_px=0.1, threshold_logit=1e6)
    arguments = ["--engine", blind.folder, "--lines", 1600, "--width-px", 768]
    code, _, err = run("demo", "--out", tmp_path / "out", "--greige-engine", blind.folder, *arguments)
    assert code == 1
    assert "no true defect was found" in err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["defects_found"], summary["false_alarms"]) == (0, 0)
    assert summary["events_received"] > 0
    code, _, err = run("demo", "--out", tmp_path / "none", "--greige-engine", tmp_path / "absent", *arguments)
    assert code == 2
    assert "absent: no such folder" in err
    assert not (tmp_path / "none").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "crops").write_text("in the way")
    code, _, err = run("demo", "--out", tmp_path / "full", "--greige-engine", blind.folder, *arguments)
    assert code == 2
    assert "full/crops" in err
