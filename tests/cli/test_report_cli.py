"""`glass-edge report` as a user types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from report_support import defect, maker, whole_roll, write_journal

pytest.importorskip("matplotlib")

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    drafts = [
        *whole_roll([defect(1, 300, 400, 100, 2)], woven_m=100),
        *whole_roll([], woven_m=5, roll_id="R-18"),
        *whole_roll([defect(1, 300, 400, 10, 2)], woven_m=50),
        maker("R-19").roll_start(),
    ]
    return write_journal(tmp_path / "station" / "events.journal", drafts)


def test_the_rolls_are_listed(run: Run, journal: Path) -> None:
    code, out, _ = run("report", "--journal", journal, "--list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == ["R-17", "R-18", "R-17", "R-19"]
    assert "open" in out.splitlines()[3]
    assert "2. of this name" in out.splitlines()[2]
    code, out, _ = run("report", "--journal", journal, "--list", "--json")
    assert [row["state"] for row in json.loads(out)] == ["complete", "complete", "complete", "open"]


def test_a_name_used_twice_means_the_last_and_says_so(
    run: Run, journal: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run("report", "R-17", "--journal", journal)
    assert code == 0
    assert "An earlier roll of this name" in out
    assert "50.000 m woven" in out
    folder = tmp_path / "runs" / "reports" / "R-17~2"
    assert json.loads((folder / "roll.json").read_text())["occurrence"] == 2


def test_json_is_the_document(run: Run, journal: Path, tmp_path: Path) -> None:
    code, out, _ = run(
        "report", "R-18", "--journal", journal, "--out", tmp_path / "out", "--json", "--table", "ten-point"
    )
    assert code == 0
    document = json.loads(out)
    assert document["roll_id"] == "R-18"
    assert document["grade"]["table"].startswith("ten-point")
    assert document["files"][-1] == "roll.json"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["R-71", "--journal", "J"], "the nearest are 'R-1"),
        (["--journal", "J"], "--width-mm"),
        ([], "--journal"),
        (["R-18", "--journal", "J", "--table", "five-point"], "four-point-metric"),
        (["R-18", "--journal", "J", "--width-mm", "-1"], "width"),
        (["R-18", "--journal", "nowhere"], "no such journal"),
        (["R-18", "--journal", "J", "--config", "x.toml"], "--config"),
    ],
)
def test_what_cannot_be_reported_is_refused(
    run: Run, journal: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(journal.parent)
    code, _, error = run("report", *[str(journal) if word == "J" else word for word in arguments])
    assert code == 2
    assert message in error
    assert not (journal.parent / "runs").exists()


def test_a_station_file_names_journal_pictures_and_table(run: Run, journal: Path, tmp_path: Path) -> None:
    del journal
    text = """
station = "loom1"
bundle = "engine"
[camera]
kind = "replay"
path = "images"
[web]
mm_per_px = 0.1
mm_per_line = 0.1
span = { left_px = 0, right_px = 256 }
[events]
journal = "station/events.journal"
[grading]
table = "four-point-yards"
[output]
folder = "station"
"""
    (tmp_path / "station.toml").write_text(text)
    code, out, _ = run("report", "R-18", "--config", tmp_path / "station.toml", "--out", tmp_path / "out", "--json")
    assert code == 0
    assert json.loads(out)["grade"]["unit_mm"] == 914.4
