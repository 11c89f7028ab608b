"""`glass-edge run`, `glass-edge config` and the sample station file."""

from __future__ import annotations

import json
import signal
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from station_support import cloth, glass_edge, journal_events, save, spotted

from glass_edge.config.station import load_station
from glass_edge.engine.bundle import Bundle

Run = Callable[..., tuple[int, str, str]]
SAMPLE = Path(__file__).parents[2] / "deploy" / "replay-station.toml"


def _station(folder: Path, sockets: Path, bundle: Bundle, camera: str) -> Path:
    path = folder / "station.toml"
    path.write_text(
        f'station = "loom1"\nroll_id = "R-5"\nbundle = "{bundle.folder}"\n[camera]\n{camera}\n'
        "[web]\nmm_per_px = 0.5\nmm_per_line = 0.5\nspan = { left_px = 0, right_px = 200 }\n"
        f'[events]\njournal = "journal"\npublish_endpoint = "ipc://{sockets}/e"\nrequest_endpoint = "ipc://{sockets}/r"\n'
        '[output]\nfolder = "."\n'
    )
    return path


def test_run_plays_what_the_file_says(tmp_path: Path, sockets: Path, bundle: Bundle, run: Run) -> None:
    save(tmp_path / "i" / "1.png", spotted(300, [(100, 50)]))
    station = _station(tmp_path, sockets, bundle, 'kind = "replay"\npath = "i"')
    code, out, err = run("run", "--config", station, "--json")
    assert code == 0, err
    summary = json.loads(out)
    assert (summary["roll_id"], summary["defects"], summary["lines_woven"]) == ("R-5", 1, 300)
    assert Path(summary["crops"]) == tmp_path / "crops"
    assert {event["roll_id"] for event in journal_events(tmp_path / "journal")} == {None, "R-5"}


def test_a_loom_that_never_stops_ends_well_on_sigterm(tmp_path: Path, sockets: Path, bundle: Bundle) -> None:
    camera = 'kind = "loom"\nwidth_px = 200\nends_per_cm = 5\npicks_per_cm = 5\nline_rate_hz = 2000\nblock_lines = 50'
    process = glass_edge("run", "--config", _station(tmp_path, sockets, bundle, camera))
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("roll R-5"):
            break
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "m woven" in out
    kinds = [event["kind"] for event in journal_events(tmp_path / "journal")]
    assert kinds[-3:] == ["roll.end", "status", "status"]


def test_a_recorded_run_is_replayed_to_the_same_defects(
    tmp_path: Path, sockets: Path, bundle: Bundle, run: Run
) -> None:
    save(tmp_path / "i" / "1.png", spotted(300, [(100, 50), (200, 120)]))
    station = _station(tmp_path, sockets, bundle, 'kind = "replay"\npath = "i"\nblock_lines = 37')
    station.write_text(station.read_text() + '[recording]\nfolder = "raw"\nbudget_mb = 4\nfile_mb = 1\n')
    code, _, err = run("run", "--config", station, "--json")
    assert code == 0, err
    assert not (tmp_path / "raw").exists()  # nothing is kept unless it is asked for
    code, out, err = run("run", "--config", station, "--record", "--roll", "R-6", "--json")
    assert code == 0, err
    recorded = json.loads(out)
    arguments = ("--engine", bundle.folder, "--out", tmp_path / "again", "--json")
    code, out, err = run("replay", tmp_path / "raw", *arguments)  # the recording knows its scale
    assert code == 0, err
    played = json.loads(out)
    keys = ("defects", "lines_woven", "lines_inspected")
    assert recorded["defects"] == 2
    assert [played[key] for key in keys] == [recorded[key] for key in keys]
    assert found(tmp_path / "again" / "events.journal", played["roll_id"])[0][:2] == (100, 112)  # the first spot
    assert all(one["is_simulated"] for one in journal_events(tmp_path / "again" / "events.journal"))
    exactly = ("--station", station, "--out", tmp_path / "exact", "--roll", "R-7", "--json")
    assert run("replay", tmp_path / "raw", *exactly)[0] == 0
    assert found(tmp_path / "exact" / "events.journal", "R-7") == found(tmp_path / "journal", "R-6")
    code, _, err = run("replay", tmp_path / "raw", tmp_path / "i", *arguments)
    assert code == 2
    assert "a recording is played by itself" in err


def found(journal: Path, roll: str) -> list[tuple[object, ...]]:
    """Place and score of each new defect."""
    keys = ("first_line", "end_line", "along_mm", "across_mm", "peak_logit")
    events = [one for one in journal_events(journal) if one["kind"] == "defect.new" and one["roll_id"] == roll]
    return [tuple(one["payload"][key] for key in keys) for one in events]


def test_check_says_all_that_is_wrong_at_once(tmp_path: Path, sockets: Path, bundle: Bundle, run: Run) -> None:
    station = _station(tmp_path, sockets, bundle, 'kind = "replay"\npath = "i"')
    station.write_text(station.read_text().replace(str(bundle.folder), "absent"))
    code, out, err = run("config", "check", station)
    assert (code, out) == (2, "")
    assert "i: no such file or folder" in err
    assert "absent: no such folder" in err
    station = _station(tmp_path, sockets, bundle, 'kind = "replay"\npath = "i"')
    save(tmp_path / "i" / "1.png", cloth(30))
    code, _, err = run("config", "check", station)
    assert code == 2
    assert "30 lines, and no image here has the 36" in err
    save(tmp_path / "i" / "1.png", cloth(100))
    code, out, _ = run("config", "check", station)
    assert code == 0
    assert "station loom1, camera replay of 200 px, style plain 1: good" in out
    assert json.loads(run("config", "check", station, "--json")[1])["style"] == "plain"
    assert not (tmp_path / "journal").exists()


def test_show_prints_every_setting_as_toml(tmp_path: Path, sockets: Path, bundle: Bundle, run: Run) -> None:
    station = _station(tmp_path, sockets, bundle, 'kind = "replay"\npath = "i"')
    code, out, _ = run("config", "show", station)
    assert code == 0
    shown = tomllib.loads(out)
    assert shown["inspection"]["gap_mm"] == 2.0
    assert shown["camera"]["path"] == str(tmp_path / "i")
    assert "# threshold_logit is left out" in out
    as_json = json.loads(run("config", "show", station, "--json")[1])
    assert as_json["web"]["span"] == shown["web"]["span"] == {"left_px": 0, "right_px": 200}
    (tmp_path / "again.toml").write_text(out)
    assert load_station(tmp_path / "again.toml") == load_station(station)


def test_the_sample_station_file_is_good(run: Run) -> None:
    settings = load_station(SAMPLE)
    assert settings.station == "sample"
    if not settings.bundle.is_dir():
        pytest.skip("its bundle is not built here")
    assert run("config", "check", SAMPLE)[0] == 0
