"""A style that was chosen by a command, over a power cut and a restart of the whole program."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from station_processes import engines_told, running, station_file, until
from station_support import journal_events, make_bundle

Run = Callable[..., tuple[int, str, str]]


def test_the_chosen_engine_outlives_a_power_cut(tmp_path: Path, sockets: Path, run: Run) -> None:
    for style, version in (("plain", "1"), ("plain", "2"), ("twill", "1")):
        make_bundle(tmp_path / "engines", style=style, version=version)
    recipes = 'plain = "engines/plain"\ntwill = "engines/twill"'
    station = station_file(tmp_path, sockets, recipes)
    code, out, err = run("config", "check", station)
    assert (code, err) == (0, "")
    with running(station, signal.SIGKILL):
        code, out, err = run("recipe", "change", "plain", "--version", "2", "--config", station)
        assert code == 0, err
        assert "prepares plain 2" in out
        until(lambda: engines_told(tmp_path)[-1] == ("plain", "2"))
        code, _, err = run("recipe", "change", "twill", "--config", station)
        assert code == 0, err
        until(lambda: json.loads((tmp_path / "journal.engine.json").read_text())["pending"] is not None)
    with running(station, signal.SIGTERM) as said:
        pass
    assert engines_told(tmp_path) == [("plain", "1"), ("plain", "2"), ("plain", "2")]
    assert "engine plain 2, chosen by a command" in said[0]
    assert f"delete {tmp_path / 'journal.engine.json'} to go back" in said[0]
    faults = [event["payload"] for event in journal_events(tmp_path / "journal") if event["payload"].get("fault_code")]
    assert [one["fault_code"] for one in faults] == ["recipe_failed"]
    assert faults[0]["message"].startswith("twill 1: asked for, and the station ended before it decided")
    # A person who names another bundle in the station file is not overruled.
    with running(station_file(tmp_path, sockets, recipes, bundle="engines/twill"), signal.SIGTERM) as said:
        pass
    assert engines_told(tmp_path)[-1] == ("twill", "1")
    assert "the engine plain 2, chosen by a command, counts no more" in said[0]


def test_a_choice_that_is_gone_is_no_silent_way_back(tmp_path: Path, sockets: Path, run: Run) -> None:
    make_bundle(tmp_path / "engines")
    station = station_file(tmp_path, sockets, "")
    memory = tmp_path / "journal.engine.json"
    choice = {"style": "twill", "version": "1", "asked_utc": "2026-01-02T03:04:00Z"}
    bundle = str(tmp_path / "engines" / "plain" / "1")
    memory.write_text(json.dumps({"format": 1, "station_bundle": bundle, "chosen": choice, "pending": None}))
    code, out, err = run("run", "--config", station)
    assert (code, out) == (2, "")
    assert "no style 'twill' here; the station has 'plain'" in err
    assert f"chosen by a command (2026-01-02 03:04 UTC); delete {memory} to go back" in err
    assert not (tmp_path / "journal").exists()


@pytest.mark.parametrize(
    ("recipes", "told"),
    [
        ('twill = "engines/absent"', "recipes.twill: .*absent: no such folder"),
        ('twill = "engines/plain"', "recipes.twill: .*an engine of style 'plain'"),
        ('coarse = "engines/coarse"', "recipes.coarse: .*trained at 2 mm a pixel"),
        ('plain = { bundle = "engines/plain", look = "none.json" }', r"recipes.plain: .*none.json: no such file"),
    ],
)
def test_check_names_what_is_wrong_with_a_style(
    tmp_path: Path, sockets: Path, run: Run, recipes: str, told: str
) -> None:
    import re

    make_bundle(tmp_path / "engines")
    make_bundle(tmp_path / "engines", style="coarse", mm_per_px=2.0)
    code, _, err = run("config", "check", station_file(tmp_path, sockets, recipes))
    assert code == 2
    assert re.search(told, err), err
