"""`glass-edge reload` against a station that runs."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from station_support import glass_edge, journal_events, make_bundle

from glass_edge.config.station import load_station
from glass_edge.errors import InputError
from glass_edge.service.running_settings import _differences, changed_keys, keep_running, running_path

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def station(tmp_path: Path, sockets: Path) -> Path:
    make_bundle(tmp_path / "engines")
    path = tmp_path / "station.toml"
    path.write_text(
        'station = "loom1"\nbundle = "engines/plain"\n'
        '[camera]\nkind = "loom"\nwidth_px = 200\nends_per_cm = 5\npicks_per_cm = 5\nline_rate_hz = 2000\n'
        "block_lines = 50\n[web]\nmm_per_px = 0.5\nmm_per_line = 0.5\nspan = { left_px = 0, right_px = 200 }\n"
        f'[events]\njournal = "journal"\npublish_endpoint = "ipc://{sockets}/e"\nrequest_endpoint = "ipc://{sockets}/r"\n'
        '[output]\nfolder = "."\nreports = false\n'
    )
    return path


@pytest.fixture
def running(station: Path) -> Iterator[Path]:
    process = glass_edge("run", "--config", station)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("roll "):
            break
    yield station
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


def _activated(folder: Path) -> list[str]:
    events = journal_events(folder / "journal")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    return [event["payload"]["version"] for event in events if event["kind"] == "engine.activated"]


def test_a_running_station_takes_the_newest_engine_and_refuses_the_rest(
    running: Path, run: Run, tmp_path: Path
) -> None:
    code, out, err = run("reload", "--config", running)
    assert (code, out) == (0, "plain 1 is the newest engine of its style and decides already\n"), err

    make_bundle(tmp_path / "engines", version="2")
    code, out, err = run("reload", "--config", running)
    assert (code, out) == (0, "plain 2 decides, 1 did before\n"), err
    assert _activated(tmp_path) == ["1", "2"]

    make_bundle(tmp_path / "engines", version="3", golden_shift=2.0)  # not what its golden tiles say
    code, _, err = run("reload", "--config", running)
    assert code == 1
    assert "the station refused: plain 3: " in err
    assert "plain 2 goes on" in err

    running.write_text(running.read_text().replace("line_rate_hz = 2000", "line_rate_hz = 1000") + "crops_mb = 77\n")
    code, _, err = run("reload", "--config", running)
    assert code == 1
    assert "changed since the station started: camera.line_rate_hz, output.crops_mb; restart the station" in err
    assert _activated(tmp_path) == ["1", "2"]
    kinds = [event["kind"] for event in journal_events(tmp_path / "journal")]
    assert kinds.count("roll.start") == 1
    assert kinds.count("coverage.gap") == 1  # the camera went on: only the edge of the roll's start was not scored


def test_a_station_that_does_not_run_is_not_reloaded(station: Path, run: Run) -> None:
    code, _, err = run("reload", "--config", station)
    assert code == 2
    assert "journal.running.json: no such file" in err
    keep_running(load_station(station))
    begun = time.monotonic()
    code, _, err = run("reload", "--config", station)
    assert code == 1
    assert "no answer" in err or "did not answer" in err
    assert time.monotonic() - begun < 30


def test_what_is_kept_is_what_the_file_says_wherever_it_is_named_from(
    station: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_running(load_station(station))
    monkeypatch.chdir(station.parent)
    assert changed_keys(load_station(Path(station.name))) == []
    running_path(load_station(station)).write_text("{")
    with pytest.raises(InputError, match=r"journal\.running\.json: cannot be read"):
        changed_keys(load_station(station))


_LEAF = st.none() | st.integers(0, 2)
_JSON = st.recursive(_LEAF, lambda each: st.dictionaries(st.sampled_from("ab"), each), max_leaves=6)


def _leaves(value: object, name: str = "") -> dict[str, object]:
    if not isinstance(value, dict) or not value:
        return {name: value}
    return {key: one for part, each in value.items() for key, one in _leaves(each, f"{name}.{part}").items()}


@given(st.dictionaries(st.sampled_from("abc"), _JSON), st.dictionaries(st.sampled_from("abc"), _JSON))
def test_a_difference_is_found_where_there_is_one(before: dict[str, object], after: dict[str, object]) -> None:
    found = _differences(before, after, "")
    assert (not found) == (before == after)
    assert found == sorted(set(found))
    old, new = _leaves(before), _leaves(after)
    for name in found:  # below each of them something is another
        assert {k: v for k, v in old.items() if f"{k}.".startswith(f".{name}.")} != {
            k: v for k, v in new.items() if f"{k}.".startswith(f".{name}.")
        }
