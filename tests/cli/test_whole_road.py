"""From good cloth to a defect in the journal, by the commands a user types."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from glass_edge.cli.main import run
from glass_edge.events.journal_check import verify
from glass_edge.events.journal_reader import JournalReader
from glass_edge.events.parsing import parse_event
from glass_edge.events.payloads import DefectPayload
from glass_edge.events.schema import Kind

RECIPE = """
[data]
folder = "cloth"
mm_per_px = 0.1
[tile]
height_px = 160
width_px = 256
[training]
epochs = 2
samples_per_epoch = 40
"""


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_trained_style_finds_the_holes_of_the_loom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    cloth = ["--cloth", "photo:linen", "--width-px", "768", "--lines", "320", "--seed", "5"]
    assert run(["simulate", "cloth", *cloth, "--good", "6", "--test-good", "2", "--defects", "hole:2@2x2"]) == 0
    Path("linen.toml").write_text(RECIPE, encoding="utf-8")
    assert run(["train", "linen.toml", "--run-folder", "run"]) == 0
    assert run(["evaluate", "run", "--json"]) == 0
    figures = json.loads(Path("run/evaluation.json").read_text(encoding="utf-8"))["figures"]
    assert figures["region_recall"] == 1.0
    assert figures["tile_auroc"] > 0.95
    assert run(["build", "run", "--out", "engines", "--version", "1"]) == 0
    assert run(["bundle", "verify", "engines/linen"]) == 0
    assert run(["replay", "cloth/test/hole", "--engine", "engines/linen", "--out", "out"]) == 0

    assert verify(Path("out/events.journal")).events > 0
    with JournalReader(Path("out/events.journal")) as journal:
        events = [parse_event(stored.document) for stored in journal.read(1, 10_000).events]
    ends = [one.payload for one in events if one.kind == Kind.DEFECT_END and isinstance(one.payload, DefectPayload)]
    masks = [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in sorted(Path("cloth/ground_truth/hole").iterdir())]
    web = np.concatenate([mask for mask in masks if mask is not None])
    assert len(masks) == 2
    n_holes = cv2.connectedComponents((web > 0).astype(np.uint8))[0] - 1
    hit = [web[end.first_line : end.end_line, end.left_px : end.right_px].any() for end in ends]
    assert sum(hit) >= n_holes
