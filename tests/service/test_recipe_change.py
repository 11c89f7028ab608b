"""Another engine for a running station: real engines, journal and sockets, commands as clients give them."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest
from station_support import HALO, journal_events, make_bundle, save, spotted

from glass_edge.acquisition.recording import ReplayCamera
from glass_edge.config.engine import EngineSettings
from glass_edge.config.events import EventSettings
from glass_edge.config.grading import GradingSettings
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.output import OutputSettings
from glass_edge.config.recipes import RecipeEntry
from glass_edge.config.web import WebSettings
from glass_edge.engine.bundle import Bundle, load_bundle
from glass_edge.engine.keys import read_private_key, write_key_pair
from glass_edge.engine.signing import sign_bundle
from glass_edge.errors import InputError
from glass_edge.events.commands import change_recipe, change_roll
from glass_edge.events.errors import CommandRefusedError
from glass_edge.service import engine_keeper
from glass_edge.service.engine_memory import EngineMemory, memory_path
from glass_edge.service.recipe_book import RecipeBook, Recipes
from glass_edge.service.roll_job import RollJob, RollReport
from glass_edge.service.roll_judge import JudgeRules
from glass_edge.service.runtime_folder import runtime_folder
from glass_edge.service.signals import StopRequest
from glass_edge.service.station import Station

LINES, BLOCK = 6000, 50
WEB = WebSettings(mm_per_px=0.5, mm_per_line=0.25, span={"left_px": 0, "right_px": 200})
ENGINE = EngineSettings(precision="f32", threads=1)


@pytest.fixture
def sockets() -> Iterator[Path]:
    with runtime_folder() as folder:
        yield folder


@dataclass
class Running:
    """A station that plays cloth as a loom weaves it, in a thread, until it is left."""

    folder: Path
    sockets: Path
    bundle: Bundle
    book: dict[str, Path] = field(default_factory=dict)
    engine: EngineSettings = ENGINE
    lines: int = LINES
    line_rate_hz: float = 1500.0
    rules: Callable[[str], JudgeRules] = lambda style: JudgeRules()
    report: RollReport | None = None

    def __enter__(self) -> Self:
        spots = [(line, 40 + line % 97) for line in range(100, self.lines - 100, 400)]
        if not (self.folder / "i").exists():
            save(self.folder / "i" / "1.png", spotted(self.lines, spots))
        camera = ReplayCamera(self.folder / "i", block_lines=BLOCK, line_rate_hz=self.line_rate_hz)
        own = self.bundle.manifest.style
        entries = {own: self.bundle.folder.parent} | self.book
        book = RecipeBook({style: RecipeEntry(bundle=folder) for style, folder in entries.items()})
        self.memory = EngineMemory(memory_path(self.folder / "events.journal"), self.bundle.folder)
        settings = InspectionSettings(read_timeout_s=0.02, gap_mm=0.0, run_gap_mm=0.0, progress_s=0.05)
        recipes = Recipes(book, self.rules, self.memory)
        job = RollJob(
            "R-1", camera, self.bundle, WEB, self.engine, settings, live=True, judge=self.rules(own), recipes=recipes
        )
        events = EventSettings(
            journal=self.folder / "events.journal",
            publish_endpoint=f"ipc://{self.sockets}/e",
            request_endpoint=f"ipc://{self.sockets}/r",
        )
        station = Station("loom7", events, OutputSettings(folder=self.folder), is_simulated=True)
        self.stop = StopRequest()

        def run() -> None:
            with station:
                self.report = station.inspect(job, [], self.stop)

        self._thread = threading.Thread(target=run)
        self._thread.start()
        self.until(lambda events: any(one["kind"] == "roll.start" for one in events))
        return self

    def __exit__(self, *exc: object) -> None:
        if exc[0] is not None:
            self.stop.asked.set()
        self._thread.join(60)

    @property
    def events(self) -> list[dict[str, Any]]:
        if not (self.folder / "events.journal").exists():
            return []
        try:
            return journal_events(self.folder / "events.journal")
        except sqlite3.OperationalError:  # it is just being made
            return []

    def until(self, seen: Callable[[list[dict[str, Any]]], bool]) -> None:
        for _ in range(3000):
            if seen(self.events):
                return
            assert self._thread.is_alive(), "the station ended"
            time.sleep(0.01)
        raise AssertionError("it was never told")

    def until_active(self, style: str, version: str) -> None:
        self.until(lambda events: (style, version) in activated(events))

    def change(self, style: str, version: str | None = None) -> str:
        reply = change_recipe(f"ipc://{self.sockets}/r", style, version=version, operator="Ada")
        assert reply.style == style
        return reply.version

    def refused(self, style: str, version: str | None = None) -> str:
        with pytest.raises(CommandRefusedError) as refusal:
            self.change(style, version)
        return refusal.value.reason

    def failures(self) -> list[str]:
        return [one["payload"]["message"] for one in self.events if one["payload"].get("fault_code") == "recipe_failed"]


def activated(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    found = [one["payload"] for one in events if one["kind"] == "engine.activated"]
    return [(one["style"], one["version"]) for one in found]


def check_sums(running: Running, lines: int = LINES) -> None:
    """No line lost, none missed but the edges, and each defect has one new and one end."""
    report, events = running.report, running.events
    assert report is not None
    ends = [one["payload"] for one in events if one["kind"] == "roll.end"]
    assert sum(end["lines_woven"] for end in ends) == lines
    assert sum(end["lines_inspected"] for end in ends) == lines - 2 * HALO
    assert report.missed_lines == {"segment_edge": 2 * HALO}
    gaps = [one["payload"] for one in events if one["kind"] == "coverage.gap"]
    assert sum(gap["end_line"] - gap["first_line"] for gap in gaps) == 2 * HALO
    roll, lives = 0, {"defect.new": [], "defect.end": []}
    for one in events:
        roll += one["kind"] == "roll.start"
        if one["kind"] in lives:
            lives[one["kind"]].append((roll, one["payload"]["defect_id"]))
    assert lives["defect.new"]
    assert sorted(lives["defect.new"]) == sorted(lives["defect.end"])
    assert [one["seq"] for one in events] == list(range(1, len(events) + 1))


def test_a_new_version_decides_at_once_and_no_line_is_lost(tmp_path: Path, sockets: Path) -> None:
    bundle = make_bundle(tmp_path / "engines")
    make_bundle(tmp_path / "engines", version="2", tile=(96, 64), threshold_logit=-2.0)
    with Running(tmp_path, sockets, bundle) as running:
        assert "no style 'twill' here; the station has 'plain'" in running.refused("twill")
        assert "no version '7'; there is '1', '2'" in running.refused("plain", "7")
        assert "plain 1 decides already" in running.refused("plain", "1")
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


def test_a_damaged_memory_is_refused_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "journal.engine.json"
    memory = EngineMemory(path, tmp_path / "b")
    memory.ask("twill", "2")
    memory.choose("plain", "1")
    assert (str(memory.chosen), str(memory.pending)) == ("plain 1", "twill 2")
    memory.choose("twill", "2")
    assert memory.pending is None
    whole = path.read_text()
    for text in ("", whole[: len(whole) // 2], "[]", whole.replace('"format": 1', '"format": 2')):
        path.write_text(text)
        with pytest.raises(InputError, match=r"journal\.engine\.json.*delete it"):
            EngineMemory(path, tmp_path / "b")
