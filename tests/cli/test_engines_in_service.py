"""`glass-edge engine`, with a station that runs and one that does not, and what a death within a trial does."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from station_processes import engines_told, running, station_file, until
from station_support import journal_events, make_bundle

Run = Callable[..., tuple[int, str, str]]


def roles(run: Run, station: Path) -> dict[str, list[str]]:
    code, out, err = run("engine", "list", "--config", station, "--json")
    assert code == 0, err
    styles = json.loads(out)["styles"]
    return {f"{style} {one['version']}": one["roles"] for style in styles for one in styles[style]}


def faults(folder: Path, code: str) -> list[str]:
    events = [event["payload"] for event in journal_events(folder / "journal")]
    return [one["message"] for one in events if one.get("fault_code") == code]


def test_install_activate_and_go_back_while_the_station_runs(tmp_path: Path, sockets: Path, run: Run) -> None:
    make_bundle(tmp_path / "engines")
    make_bundle(tmp_path / "engines", style="twill")
    make_bundle(tmp_path / "stick", version="2")
    archive = shutil.make_archive(str(tmp_path / "plain-2"), "gztar", tmp_path / "stick", "plain/2")
    recipes = 'plain = "engines/plain"\ntwill = "engines/twill"'
    station = station_file(tmp_path, sockets, recipes, trial_min=10.0)
    with running(station, signal.SIGTERM):
        code, out, err = run("engine", "install", archive, "--config", station)
        assert (code, err) == (0, "")
        assert "plain 2: verified, tried on this machine, installed" in out
        assert "nothing is activated" in out
        assert roles(run, station) == {
            "plain 2": ["newest"],
            "plain 1": ["decides", "station file"],
            "twill 1": ["newest"],
        }
        code, _, err = run("engine", "rollback", "--config", station)
        assert code == 2
        assert "no engine of style 'plain' decided before on this station" in err
        assert run("engine", "activate", "plain", "--config", station)[:2] == (0, "plain 2 decides, 1 did before\n")
        assert run("engine", "activate", "plain", "--config", station)[:2] == (0, "plain 2 decides already\n")
        assert roles(run, station)["plain 1"] == ["before", "station file"]
        shown = run("engine", "list", "--config", station)[1]
        assert "plain 2: decides, newest, on trial for 10.0 min of inspection more" in shown
        code, out, err = run("engine", "activate", "twill", "--config", station)
        assert (code, out) == (
            0,
            "twill 1 is prepared and decides where the next roll begins (glass-edge roll change NAME)\n",
        )
        assert run("engine", "activate", "plain", "2", "--config", station)[1] == (
            "plain 2 decides, and goes on: what was prepared is taken back\n"
        )
        code, _, err = run("engine", "rollback", "twill", "--config", station)
        assert code == 2
        assert "style 'plain' decides, and going back changes no style" in err
        assert run("engine", "rollback", "--config", station)[:2] == (0, "plain 1 decides, 2 did before\n")
        code, _, err = run("engine", "rollback", "--config", station)
        assert code == 2
        assert "plain 2, was given up" in err
        assert "glass-edge engine activate plain 2" in err
        code, out, _ = run("reload", "--config", station)
        assert out == "plain 1 is the newest engine of its style and decides already\n"
        code, _, err = run("engine", "activate", "plain", "9", "--config", station)
        assert code == 1
        assert "no version '9'; there is '1', '2'" in err
    assert engines_told(tmp_path) == [("plain", "1"), ("plain", "2"), ("plain", "1")]
    events = journal_events(tmp_path / "journal")
    gaps = [event["payload"]["reason"] for event in events if event["kind"] == "coverage.gap"]
    assert gaps == ["segment_edge", "segment_edge"]  # of the roll: no line is lost by any of this


@pytest.mark.slow
def test_a_stopped_station_takes_what_was_activated_at_its_start(tmp_path: Path, sockets: Path, run: Run) -> None:
    make_bundle(tmp_path / "engines")
    make_bundle(tmp_path / "engines", version="2")
    make_bundle(tmp_path / "engines", version="3", mm_per_px=0.8)
    station = station_file(tmp_path, sockets, 'plain = "engines/plain"', trial_min=10.0)
    with running(station, signal.SIGTERM):
        pass
    code, out, err = run("engine", "activate", "plain", "2", "--config", station)
    assert (code, out, err) == (0, "the station does not run: plain 2 decides from its next start on\n", "")
    assert roles(run, station)["plain 2"] == ["next start"]
    code, _, err = run("engine", "activate", "plain", "3", "--config", station)
    assert code == 2
    assert "trained at 0.8 mm a pixel" in err
    with running(station, signal.SIGTERM) as said:
        assert roles(run, station)["plain 2"] == ["decides"]
    assert "engine plain 2, chosen by a command" in said[0]
    memory = json.loads((tmp_path / "journal.engine.json").read_text())
    trial = memory["styles"]["plain"]["trial"]
    assert (trial["is_running"], 0 < trial["left_s"] < 600) == (False, True)  # a clean end: the trial goes on
    assert run("engine", "rollback", "--config", station)[:2] == (
        0,
        "the station does not run: plain 1 decides from its next start on\n",
    )
    with running(station, signal.SIGTERM):
        pass
    assert [version for _, version in engines_told(tmp_path)] == ["1", "2", "1"]


@pytest.mark.parametrize("sent", [signal.SIGKILL, pytest.param(signal.SIGABRT, marks=pytest.mark.slow)])
def test_after_a_death_within_the_trial_the_engine_before_decides_again(
    tmp_path: Path, sockets: Path, run: Run, sent: signal.Signals
) -> None:
    """SIGABRT is how systemd's watchdog ends a station; a power cut is a SIGKILL to all."""
    make_bundle(tmp_path / "engines")
    make_bundle(tmp_path / "engines", version="2")
    station = station_file(tmp_path, sockets, "", bundle="engines/plain", trial_min=10.0)
    shutil.move(tmp_path / "engines" / "plain" / "2", tmp_path / "2")  # the first start takes the newest
    with running(station, sent):
        shutil.move(tmp_path / "2", tmp_path / "engines" / "plain" / "2")
        assert run("reload", "--config", station)[1] == "plain 2 decides, 1 did before\n"
    assert roles(run, station) == {"plain 2": ["newest"], "plain 1": ["next start", "before"]}
    with running(station, signal.SIGTERM) as said:
        until(lambda: faults(tmp_path, "engine_rolled_back"))
        assert roles(run, station) == {"plain 2": ["before"], "plain 1": ["decides", "newest"]}
        shown = run("engine", "list", "--config", station)[1]
        assert "given up" in shown
    told = "back from engine plain 2 to plain 1: the station ended within the trial without being told to"
    assert told in said[0]
    assert [message.startswith(told) for message in faults(tmp_path, "engine_rolled_back")] == [True]
    # No start and no request without a version takes it again; a person who names it does.
    with running(station, signal.SIGTERM) as said:
        assert "plain 1 decides already" in run("recipe", "change", "plain", "--config", station)[2]
        assert run("engine", "activate", "plain", "2", "--config", station)[0] == 0
    assert engines_told(tmp_path) == [("plain", version) for version in ("1", "2", "1", "1", "2")]
    assert len(faults(tmp_path, "engine_rolled_back")) == 1


@pytest.mark.slow
def test_a_start_changes_no_engine(tmp_path: Path, sockets: Path, run: Run) -> None:
    make_bundle(tmp_path / "engines")
    station = station_file(tmp_path, sockets, "", bundle="engines/plain", trial_min=10.0)
    with running(station, signal.SIGKILL):
        pass
    stick = make_bundle(tmp_path / "stick", version="2").folder
    assert run("engine", "install", stick, "--config", station)[0] == 0
    with running(station, signal.SIGTERM) as said:
        pass
    assert "engine plain 1 decided last and decides again" in said[0]
    assert "glass-edge engine activate plain 2" in said[0]
    (tmp_path / "journal.engine.json").unlink()  # as a person does who wants the station file's
    with running(station, signal.SIGTERM) as said:
        pass
    assert [version for _, version in engines_told(tmp_path)] == ["1", "1", "2"]


@pytest.mark.slow
def test_an_engine_on_trial_that_cannot_be_read_or_started_gives_way(tmp_path: Path, sockets: Path, run: Run) -> None:
    make_bundle(tmp_path / "engines")
    second = make_bundle(tmp_path / "engines", version="2").folder
    make_bundle(tmp_path / "engines", version="3", golden_shift=3.0)  # not tried by `install`
    station = station_file(tmp_path, sockets, 'plain = "engines/plain"', trial_min=10.0)
    with running(station, signal.SIGTERM):
        pass
    assert run("engine", "activate", "plain", "2", "--config", station)[0] == 0
    (second / "model.onnx").write_bytes(b"damaged")
    with running(station, signal.SIGTERM) as said:
        pass
    assert "back from engine plain 2 to plain 1" in said[0]
    assert "model.onnx: SHA-256 is" in said[0]
    assert run("engine", "activate", "plain", "3", "--config", station)[0] == 0
    code, _, err = run("run", "--config", station)
    assert code == 1
    assert "differs from the checkpoint" in err
    with running(station, signal.SIGTERM) as said:
        pass
    assert "back from engine plain 3 to plain 1" in said[0]
    assert [version for _, version in engines_told(tmp_path)] == ["1", "1", "1"]


def listed(run: Run, station: Path, style: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(run("engine", "list", "--config", station, "--json")[1])["styles"][style]
    return found


def test_the_list_shows_what_is_damaged_and_who_signed(tmp_path: Path, sockets: Path, run: Run) -> None:
    make_bundle(tmp_path / "engines")
    make_bundle(tmp_path / "engines", version="2")
    assert run("bundle", "keygen", tmp_path / "mill")[0] == 0
    key = ("--key", tmp_path / "mill.pem", "--signer", "Ada")
    assert run("bundle", "sign", tmp_path / "engines" / "plain" / "1", *key)[0] == 0
    (tmp_path / "engines" / "plain" / "2" / "manifest.json").write_text("{}")
    trust = f'[engine]\ntrial_min = 0.0\nrequire_signature = true\ntrusted_keys = ["{tmp_path / "mill.pub.pem"}"]\n'
    station = station_file(tmp_path, sockets, 'plain = "engines/plain"\ntwill = "engines/absent"')
    station.write_text(station.read_text().replace("[engine]\ntrial_min = 0.0\n", trust))
    code, out, err = run("engine", "list", "--config", station)
    assert (code, err) == (0, "")
    assert "signed by  Ada, " in out
    assert "(trusted)" in out
    assert "manifest.sha256 says" in out
    two, one = listed(run, station, "plain")
    assert "manifest.sha256 says" in two["problem"]
    assert (one["signers"], one["is_trusted"], one["problem"]) == (["Ada"], True, None)
    assert one["roles"] == ["next start", "newest", "station file"]
    assert "no such folder" in listed(run, station, "twill")[0]["problem"]
