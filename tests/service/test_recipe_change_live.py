"""The demo engine is exchanged under load, on simulated linen that comes as a loom weaves it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from station_support import journal_events

from glass_edge.acquisition.loom.loom_camera import LoomCamera
from glass_edge.acquisition.loom.spec import LoomSpec
from glass_edge.config.engine import EngineSettings
from glass_edge.config.events import EventSettings
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.output import OutputSettings
from glass_edge.config.recipes import RecipeEntry
from glass_edge.config.web import WebSettings
from glass_edge.engine.bundle import load_bundle
from glass_edge.engine.bundle_writer import write_bundle
from glass_edge.service.recipe_book import RecipeBook, Recipes
from glass_edge.service.roll_job import RollJob, RollReport
from glass_edge.service.roll_judge import JudgeRules
from glass_edge.service.runtime_folder import runtime_folder
from glass_edge.service.station import Station

ENGINES = Path(__file__).parents[2] / "engines"
WIDTH, LINES, RATE_HZ, HALO = 1024, 6000, 400.0, 16

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (ENGINES / "demo").is_dir(), reason="the demo engines are not in this checkout"),
]


def engines(folder: Path) -> dict[str, Path]:
    """Two versions of one style, and another with other tiles."""
    for name, style, versions in (("demo", "linen", ("1", "2")), ("demo-greige", "greige", ("1",))):
        source = load_bundle(ENGINES / name)
        for version in versions:
            manifest = source.manifest.model_copy(update={"style": style, "version": version, "files": {}})
            write_bundle(folder, manifest, {file: source.read(file) for file in source.manifest.files})
    return {"linen": folder / "linen", "greige": folder / "greige"}


def test_no_camera_line_is_lost_while_engines_change(tmp_path: Path) -> None:
    places = engines(tmp_path / "engines")
    spec = LoomSpec("photo:linen", WIDTH, section_lines=LINES)
    settings = EngineSettings(precision="f32", pin_threads=False)
    web = WebSettings(mm_per_px=0.1, mm_per_line=0.1, span={"left_px": 0, "right_px": WIDTH})
    book = RecipeBook({style: RecipeEntry(bundle=place) for style, place in places.items()})
    inspection = InspectionSettings(min_area_mm2=4.0, crops=False)
    job = RollJob(
        "R-1",
        LoomCamera(spec, line_rate_hz=RATE_HZ, block_lines=64),
        load_bundle(places["linen"] / "1"),
        web,
        settings,
        inspection,
        live=True,
        recipes=Recipes(book, lambda style: JudgeRules()),
    )
    reports: list[RollReport] = []
    journal = tmp_path / "events.journal"

    def told(kind: str) -> list[dict[str, Any]]:
        return [event for event in journal_events(journal) if event["kind"] == kind]

    def until(seen: Callable[[], bool]) -> None:
        for _ in range(1200):
            if seen():
                return
            time.sleep(0.05)
        raise AssertionError("it never came")

    with runtime_folder() as sockets:
        endpoints = {f"{name}_endpoint": f"ipc://{sockets}/{name}" for name in ("publish", "request")}
        events = EventSettings(journal=journal, **endpoints)
        with Station("loom7", events, OutputSettings(folder=tmp_path), is_simulated=True) as station:
            thread = threading.Thread(target=lambda: reports.append(station.inspect(job)))
            thread.start()
            until(lambda: bool(told("roll.start")))
            time.sleep(1.0)
            assert station.change_recipe("linen", "2") == "2"
            until(lambda: len(told("engine.activated")) == 2)
            assert station.change_recipe("greige", None) == "1"
            time.sleep(3.0)
            station.change_roll("R-2")
            until(lambda: len(told("engine.activated")) == 3)
            thread.join()
    (report,) = reports
    assert report.missed_lines == {"segment_edge": 2 * HALO}
    assert not report.faults
    ends = [event["payload"] for event in told("roll.end")]
    assert [(event["style"], event["roll_id"]) for event in told("roll.start")] == [("linen", "R-1"), ("greige", "R-2")]
    assert sum(end["lines_woven"] for end in ends) == LINES
    assert sum(end["lines_inspected"] for end in ends) == LINES - 2 * HALO
    versions = [event["payload"]["style"] + event["payload"]["version"] for event in told("engine.activated")]
    assert versions == ["linen1", "linen2", "greige1"]
