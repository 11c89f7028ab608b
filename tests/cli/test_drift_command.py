"""`glass-edge drift` on journals whose drift is known."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glass_edge.cli.main import run
from glass_edge.events.journal import Journal
from glass_edge.events.payloads import EngineActivated
from glass_edge.events.payloads_records import RollFigures
from glass_edge.events.schema import Draft
from glass_edge.service.drift_memory import drift_memory_path

OLD, NEW = "a" * 64, "b" * 64
RED, GREY = (213, 94, 0), (118, 118, 118)


def roll(number: int, *, style: str = "linen", model: str = OLD, **changes: float | None) -> Draft:
    away = np.random.default_rng(number).standard_normal(4)
    usual = {
        "score_median": -6 + 0.05 * away[0],
        "score_p999": -3 + 0.1 * away[1],
        "mean_grey": 100 + away[2],
        "sharpness": 0.3 + 0.003 * away[3],
        "saturated_share": 0.0,
    }
    figures = RollFigures(model_sha256=model, inspected_m=10.0, samples=5, **(usual | changes))
    return Draft(
        kind="roll.figures", is_simulated=True, is_partial=True, roll_id=f"R{number}", style=style, payload=figures
    )


def engine(model: str, version: str) -> Draft:
    payload = EngineActivated(
        style="linen", version=version, model_sha256=model, runtime="none", precision="f32", threshold_logit=-1.0
    )
    return Draft(
        kind="engine.activated", is_simulated=True, is_partial=False, roll_id=None, style=None, payload=payload
    )


def journal_of(folder: Path, *drafts: Draft) -> Path:
    path = folder / "events.journal"
    with Journal(path, "loom-1") as journal:
        for draft in drafts:
            journal.append(draft)
    return path


@pytest.fixture
def drifting(tmp_path: Path) -> Path:
    """24 rolls as they were, one of them odd, then 6 that grow dark."""
    rolls = [roll(number, **({"mean_grey": 20.0} if number == 5 else {})) for number in range(1, 25)]
    rolls += [roll(number, mean_grey=100.0 - 5 * (number - 24)) for number in range(25, 31)]
    return journal_of(tmp_path, engine(OLD, "2026.1"), *rolls)


def test_the_table_says_what_drifts_since_when_and_what_to_do(
    drifting: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in drifting.parent.iterdir()}
    assert run(["drift", str(drifting)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "style linen, engine 2026.1: 30 rolls"
    rows = {line.split("  ")[0].strip(): line for line in lines[1:]}
    grey = rows["mean grey"]
    assert "DRIFT, below since R26; 1 odd of the first rolls left out" in grey
    assert grey.split()[2].startswith(("99", "100"))
    assert "DRIFT" not in rows["sharpness"]
    assert rows["contrast"].endswith("not measured")
    assert "up to 0.0037" in rows["saturated share"]
    assert lines[-1].startswith("mean grey: clean lens and lamp glass")
    after = {path.name: path.read_bytes() for path in drifting.parent.iterdir()}
    assert after["events.journal"] == before["events.journal"]
    assert set(after) - set(before) <= {"events.journal-wal", "events.journal-shm"}  # of SQLite, empty


def test_the_document_holds_every_roll_and_the_limits_hold_them(
    drifting: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["drift", str(drifting), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["station"], document["style"]) == ("loom-1", "linen")
    model = document["models"][0]
    assert (model["version"], model["threshold_logit"]) == ("2026.1", -1.0)
    assert model["drifting"] == ["drift_mean_grey"]
    figures = {one["name"]: one for one in model["figures"]}
    grey = figures["mean_grey"]
    assert [one["roll_id"] for one in (*grey["first_rolls"], *grey["rolls"])] == [f"R{n}" for n in range(1, 31)]
    assert [one["roll_id"] for one in grey["first_rolls"] if one["is_left_out"]] == ["R5"]
    for one in grey["rolls"]:
        assert one["is_level_out"] == (not grey["baseline"]["low"] <= one["value"] <= grey["baseline"]["high"])
        assert one["is_mean_out"] == (not one["mean_low"] <= one["mean"] <= one["mean_high"])
    kept = [one["value"] for one in grey["first_rolls"] if not one["is_left_out"]]
    assert grey["baseline"]["centre"] == pytest.approx(np.mean(kept))
    assert figures["saturated_share"]["baseline"]["low"] is None
    assert figures["contrast"] == {
        "name": "contrast", "unit": "", "is_drifting": False, "baseline": None, "first_rolls": [], "rolls": [],
    }  # fmt: skip


def colours(png: Path) -> set[tuple[int, ...]]:
    with Image.open(io.BytesIO(png.read_bytes())) as image:
        return {
            tuple(map(int, colour)) for colour in np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)
        }


def test_the_picture_marks_what_is_out_of_control(
    tmp_path: Path, drifting: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "good").mkdir()
    good = journal_of(tmp_path / "good", *(roll(number) for number in range(1, 31)))
    for path, is_red in ((drifting, True), (good, False)):
        out = path.with_suffix(".png")
        assert run(["drift", str(path), "--out", str(out)]) == 0
        assert str(out) in capsys.readouterr().out
        seen = colours(out)
        assert GREY in seen
        assert (RED in seen) == is_red  # the threshold is known in the first alone, where it is red too
    few = journal_of(tmp_path / "few-rolls", *(roll(number, mean_grey=None) for number in range(1, 4)))
    assert run(["drift", str(few), "--out", str(tmp_path / "few.png")]) == 0
    assert "too few rolls: 3" in capsys.readouterr().out


def test_without_matplotlib_the_table_is_there_and_the_picture_is_refused(
    drifting: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else found(name))
    assert run(["drift", str(drifting), "--out", str(drifting.with_suffix(".png"))]) == 2
    told = capsys.readouterr()
    assert "DRIFT, below" in told.out
    assert "extra 'report'" in told.err
    assert not drifting.with_suffix(".png").exists()


def test_engines_are_compared_among_themselves_and_styles_are_chosen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = journal_of(
        tmp_path,
        *(roll(number, style="twill") for number in range(1, 4)),
        *(roll(number) for number in range(4, 30)),
        engine(NEW, "2026.2"),
        *(roll(number, model=NEW, mean_grey=50.0) for number in range(30, 55)),
    )
    assert run(["drift", str(path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [model["version"] for model in document["models"]] == [None, "2026.2"]
    assert [model["drifting"] for model in document["models"]] == [[], []]
    assert run(["drift", str(path)]) == 0
    assert "style linen, engine 2026.2 (1 before it): 25 rolls" in capsys.readouterr().out
    assert run(["drift", str(path), "--style", "twill"]) == 0
    assert "style twill, engine aaaaaaaaaaaa: 3 rolls" in capsys.readouterr().out
    assert run(["drift", str(path), "--style", "satin"]) == 2
    assert "there are twill, linen" in capsys.readouterr().err


def test_begun_anew_the_next_rolls_are_the_baseline(drifting: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["drift", str(drifting), "--anew"]) == 0
    assert "the next 20 rolls are their baseline" in capsys.readouterr().out
    assert json.loads(drift_memory_path(drifting).read_text())["baselines"][0]["after_seq"] == 31
    with Journal(drifting, "loom-1") as journal:
        for number in range(31, 54):
            journal.append(roll(number, mean_grey=70.0))
    assert run(["drift", str(drifting)]) == 0
    told = capsys.readouterr().out
    assert "style linen, engine 2026.1: 23 rolls" in told
    assert "DRIFT" not in told


def test_the_station_file_gives_journal_and_limits(
    tmp_path: Path, drifting: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    station = tmp_path / "station.toml"
    station.write_text(
        'station = "loom-1"\nbundle = "engines/none"\n[camera]\nkind = "loom"\n[web]\nmm_per_px = 0.1\n'
        'mm_per_line = 0.1\nspan = "auto"\n[drift]\nleast_rolls = 40\n'
        f'[events]\njournal = "{drifting}"\n'
    )
    assert run(["drift", "--config", str(station)]) == 0
    assert "too few rolls: 30" in capsys.readouterr().out


def test_what_cannot_be_shown_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["drift"]) == 2
    assert "--config" in capsys.readouterr().err
    assert run(["drift", str(tmp_path / "none.journal")]) == 2
    assert "no such journal" in capsys.readouterr().err
    assert run(["drift", str(journal_of(tmp_path, engine(OLD, "1")))]) == 2
    assert "no roll has told its figures" in capsys.readouterr().err
