"""Another engine for a running station: real engines, journal and sockets, commands as clients give them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from playing_station import ENGINE, Running, activated, check_sums
from station_support import make_bundle

from glass_edge.config.events import EventSettings
from glass_edge.config.grading import GradingSettings
from glass_edge.config.output import OutputSettings
from glass_edge.engine.bundle import load_bundle
from glass_edge.engine.keys import read_private_key, write_key_pair
from glass_edge.engine.signing import sign_bundle
from glass_edge.errors import InputError
from glass_edge.events.commands import change_recipe, change_roll
from glass_edge.events.errors import CommandRefusedError
from glass_edge.service import engine_keeper
from glass_edge.service.engine_memory import EngineMemory, memory_path
from glass_edge.service.roll_judge import JudgeRules
from glass_edge.service.runtime_folder import runtime_folder
from glass_edge.service.station import Station


@pytest.fixture
def sockets() -> Iterator[Path]:
    with runtime_folder() as folder:
        yield folder


def test_a_new_version_decides_at_once_and_no_line_is_lost(tmp_path: Path, sockets: Path) -> None:
    bundle = make_bundle(tmp_path / "engines")
    make_bundle(tmp_path / "engines", version="2", tile=(96, 64), threshold_logit=-2.0)
    with Running(tmp_path, sockets, bundle) as running:
        assert "no style 'twill' here; the station has 'plain'" in running.refused("twill")
        assert "no version '7'; there is '1', '2'" in running.refused("plain", "7")
        assert "plain 1 decides already" in running.refused("plain", "1")
        running.until(lambda events: any(one["kind"] == "defect.end" for one in events))
        assert running.change("plain") == "2"
        running.until_active("plain", "2")
        assert running.change("plain", "1") == "1"
        running.until(lambda events: activated(events) == [("plain", "1"), ("plain", "2"), ("plain", "1")])
    check_sums(running)
    assert not running.failures()
    assert running.report is not None
    assert (running.report.rolls, running.report.promised_per_100m) == (1, None)
    events = running.events
    (second,) = [one for one in events if one["kind"] == "engine.activated" and one["payload"]["version"] == "2"]
    assert second["roll_id"] == "R-1"
    assert second["payload"]["threshold_logit"] == -2.0
    # In the order of the web: what ended before it was announced before, what begins behind it is announced after.
    place = [one for one in events if one["kind"] in ("defect.new", "defect.end", "engine.activated")]
    at = place.index(second)
    assert max(one["payload"]["end_line"] for one in place[1:at]) <= min(
        one["payload"]["first_line"] for one in place[at:] if one["kind"] == "defect.new"
    )
    commands = [(one["payload"]["accepted"], one["payload"]["style"]) for one in events if one["kind"] == "command"]
    assert commands == [(False, "twill"), (False, "plain"), (False, "plain"), (True, "plain"), (True, "plain")]


def test_another_style_decides_where_the_next_roll_begins(tmp_path: Path, sockets: Path) -> None:
    bundle = make_bundle(tmp_path / "engines")
    make_bundle(tmp_path / "engines", style="twill", tile=(96, 64))
    loaded: list[str] = []

    def rules(style: str) -> JudgeRules:
        loaded.append(style)
        return JudgeRules(GradingSettings(table="ten-point" if style == "twill" else "four-point-metric").load(style))

    book = {"twill": tmp_path / "engines" / "twill"}
    with Running(tmp_path, sockets, bundle, book, rules=rules) as running:
        assert running.change("twill") == "1"
        running.until(lambda _: running.memory.pending is not None and loaded == ["plain", "twill"])
        time.sleep(0.3)  # it is ready long before
        assert activated(running.events) == [("plain", "1")]
        change_roll(f"ipc://{sockets}/r", "R-2")
        running.until_active("twill", "1")
    check_sums(running)
    told = [one for one in running.events if one["kind"] in ("roll.start", "roll.end", "engine.activated")]
    assert [(one["kind"], one["roll_id"], one["style"]) for one in told] == [
        ("engine.activated", None, None),
        ("roll.start", "R-1", "plain"),
        ("roll.end", "R-1", "plain"),
        ("engine.activated", None, None),
        ("roll.start", "R-2", "twill"),
        ("roll.end", "R-2", "twill"),
    ]
    assert [one["payload"]["grading_table"] for one in told if one["kind"] == "roll.end"] == [
        "four-point, metric",
        "ten-point",
    ]
    # A restart begins with it, a person's change of the station file wins.
    kept = EngineMemory(memory_path(tmp_path / "events.journal"), bundle.folder)
    assert str(kept.chosen) == "twill 1"
    assert kept.pending is None
    overruled = EngineMemory(memory_path(tmp_path / "events.journal"), tmp_path / "engines" / "twill")
    assert overruled.chosen is None
    assert str(overruled.overruled) == "twill 1"


def test_an_engine_that_fails_anything_never_decides(tmp_path: Path, sockets: Path) -> None:
    engines = tmp_path / "engines"
    bundle = make_bundle(engines)
    make_bundle(engines, version="2", golden_shift=1.0)
    changed = make_bundle(engines, version="3")
    (changed.folder / "model.onnx").write_bytes((changed.folder / "model.onnx").read_bytes() + b"\0")
    make_bundle(engines, version="4", model_tile=(96, 96))
    with Running(tmp_path, sockets, bundle) as running:
        for number, (version, reason) in enumerate(
            [("2", "differs from the checkpoint"), ("3", "SHA-256"), ("4", "tile")], start=1
        ):
            assert running.change("plain", version) == version
            running.until(lambda _, number=number: len(running.failures()) == number)
            told = running.failures()[-1]
            assert told.startswith(f"plain {version}: ")
            assert reason in told
            assert told.endswith("plain 1 goes on")
    check_sums(running)
    assert activated(running.events) == [("plain", "1")]
    assert running.memory.chosen is None
    assert running.memory.pending is None


def test_what_cannot_fit_is_refused_at_once(tmp_path: Path, sockets: Path) -> None:
    engines = tmp_path / "engines"
    bundle = make_bundle(engines)
    make_bundle(engines, style="coarse", mm_per_px=0.8)
    make_bundle(engines, style="near", mm_per_px=0.505)
    make_bundle(engines, style="wide", tile=(64, 64))
    (engines / "named").mkdir()
    (engines / "wide" / "1").rename(engines / "named" / "1")
    damaged = make_bundle(engines, style="damaged")
    (damaged.folder / "manifest.json").write_text("{}")
    book = {style: engines / style for style in ("coarse", "near", "named", "damaged", "absent")}
    with Running(tmp_path, sockets, bundle, book) as running:
        assert "trained at 0.8 mm a pixel, and the station's camera sees 0.5" in running.refused("coarse")
        assert "an engine of style 'wide'" in running.refused("named")
        assert "manifest.sha256 says" in running.refused("damaged")
        assert "absent: no such folder" in running.refused("absent")
        assert running.change("near") == "1"
        running.stop.asked.set()
    assert activated(running.events) == [("plain", "1")]


def test_an_engine_without_the_signature_that_the_station_requires_is_refused(tmp_path: Path, sockets: Path) -> None:
    pair = write_key_pair(tmp_path / "mill")
    make_bundle(tmp_path / "engines")
    make_bundle(tmp_path / "engines", version="2")
    own = load_bundle(tmp_path / "engines" / "plain" / "1")
    sign_bundle(own, read_private_key(pair.private), None, datetime.now(UTC))
    bundle = load_bundle(tmp_path / "engines" / "plain" / "1")
    strict = ENGINE.model_copy(update={"require_signature": True, "trusted_keys": (pair.public,)})
    with Running(tmp_path, sockets, bundle, engine=strict) as running:
        assert "the bundle is not signed" in running.refused("plain", "2")
        running.stop.asked.set()


def test_the_newest_request_counts_and_one_for_the_present_engine_takes_back(tmp_path: Path, sockets: Path) -> None:
    engines = tmp_path / "engines"
    bundle = make_bundle(engines)
    for style in ("twill", "canvas"):
        make_bundle(engines, style=style, tile=(96, 64))
    with Running(tmp_path, sockets, bundle, {style: engines / style for style in ("twill", "canvas")}) as running:
        running.change("twill")
        running.change("canvas")
        running.until(lambda _: str(running.memory.pending) == "canvas 1")
        time.sleep(0.3)
        change_roll(f"ipc://{sockets}/r", "R-2")
        running.until_active("canvas", "1")
        running.change("twill")
        running.until(lambda _: str(running.memory.pending) == "twill 1")
        time.sleep(0.3)
        assert running.change("canvas") == "1"  # it decides: the twill is taken back
        running.until(lambda _: running.memory.pending is None)
        change_roll(f"ipc://{sockets}/r", "R-3")
        running.until(lambda events: sum(one["kind"] == "roll.start" for one in events) == 3)
    check_sums(running)
    assert activated(running.events) == [("plain", "1"), ("canvas", "1")]
    assert not running.failures()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("engine-")]


def test_what_never_came_to_decide_is_told(tmp_path: Path, sockets: Path) -> None:
    engines = tmp_path / "engines"
    bundle = make_bundle(engines)
    make_bundle(engines, style="twill")
    book = {"twill": engines / "twill"}
    with Running(tmp_path, sockets, bundle, book, lines=1500) as running:
        running.change("twill")
        running.until(lambda _: running.memory.pending is not None)
    assert running.failures() == ["twill 1: the run ended before it could decide"]
    # Killed instead, the station tells it when it begins again.
    EngineMemory(memory_path(tmp_path / "events.journal"), bundle.folder).ask("twill", "1")
    with Running(tmp_path, sockets, bundle, book, lines=1500) as again:
        pass
    assert again.failures()[1:] == ["twill 1: asked for, and the station ended before it decided; ask again"]
    assert EngineMemory(memory_path(tmp_path / "events.journal"), bundle.folder).pending is None


def test_a_choice_that_cannot_be_kept_is_told_and_decides(
    tmp_path: Path, sockets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(tmp_path / "engines")
    make_bundle(tmp_path / "engines", version="2")

    def full(*_: object) -> None:
        raise InputError("no space left on device")

    with Running(tmp_path, sockets, bundle, lines=3000) as running:
        monkeypatch.setattr("glass_edge.service.engine_memory.write_json", full)
        running.change("plain")
        running.until_active("plain", "2")
    codes = {one["payload"].get("fault_code") for one in running.events} - {None}
    assert codes == {engine_keeper.NOT_KEPT_FAULT}
    check_sums(running, 3000)


def test_a_station_without_recipes_and_one_without_a_roll_say_so(tmp_path: Path, sockets: Path) -> None:
    events = EventSettings(
        journal=tmp_path / "journal", publish_endpoint=f"ipc://{sockets}/e", request_endpoint=f"ipc://{sockets}/r"
    )
    with (
        Station("loom7", events, OutputSettings(folder=tmp_path), is_simulated=True),
        pytest.raises(CommandRefusedError, match="no engine is active yet"),
    ):
        change_recipe(f"ipc://{sockets}/r", "plain")
