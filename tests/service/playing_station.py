"""A whole station in this process that plays cloth as a loom weaves it, and is commanded as clients do."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import pytest
from station_support import HALO, Pixels, journal_events, save, spotted

from glass_edge.acquisition.recording import ReplayCamera
from glass_edge.config.engine import EngineSettings
from glass_edge.config.events import EventSettings
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.output import OutputSettings
from glass_edge.config.recipes import RecipeEntry
from glass_edge.config.web import WebSettings
from glass_edge.engine.bundle import Bundle
from glass_edge.events.commands import change_recipe
from glass_edge.events.errors import CommandRefusedError
from glass_edge.service.engine_memory import EngineMemory, memory_path
from glass_edge.service.recipe_book import RecipeBook, Recipes
from glass_edge.service.roll_job import RollJob, RollReport
from glass_edge.service.roll_judge import JudgeRules
from glass_edge.service.signals import StopRequest
from glass_edge.service.station import Station

LINES, BLOCK = 6000, 50
WEB = WebSettings(mm_per_px=0.5, mm_per_line=0.25, span={"left_px": 0, "right_px": 200})
ENGINE = EngineSettings(precision="f32", threads=1)


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
    cloth: Pixels | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    report: RollReport | None = None
    may_fail: bool = False
    error: BaseException | None = None

    def __enter__(self) -> Self:
        spots = [(line, 40 + line % 97) for line in range(100, self.lines - 100, 400)]
        if not (self.folder / "i").exists():
            save(self.folder / "i" / "1.png", spotted(self.lines, spots) if self.cloth is None else self.cloth)
        camera = ReplayCamera(self.folder / "i", block_lines=BLOCK, line_rate_hz=self.line_rate_hz)
        own = self.bundle.manifest.style
        entries = {own: self.bundle.folder.parent} | self.book
        book = RecipeBook({style: RecipeEntry(bundle=folder) for style, folder in entries.items()})
        self.memory = EngineMemory(memory_path(self.folder / "events.journal"), self.bundle.folder)
        usual = {"read_timeout_s": 0.02, "gap_mm": 0.0, "run_gap_mm": 0.0, "progress_s": 0.05}
        settings = InspectionSettings(**(usual | self.settings))
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
            try:
                with station:
                    self.report = station.inspect(job, [], self.stop)
            except Exception as error:  # noqa: BLE001 - raised where the test leaves the station
                self.error = error

        self._thread = threading.Thread(target=run)
        self._thread.start()
        self.until(lambda events: any(one["kind"] == "roll.start" for one in events))
        return self

    def __exit__(self, *exc: object) -> None:
        if exc[0] is not None:
            self.stop.asked.set()
        self._thread.join(60)
        if self.error is not None and exc[0] is None and not self.may_fail:
            raise self.error

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

    def failures(self, code: str = "recipe_failed") -> list[str]:
        return [one["payload"]["message"] for one in self.events if one["payload"].get("fault_code") == code]


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
