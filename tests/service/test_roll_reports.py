"""Reports at the end of rolls, made by a process of their own."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from station_support import journal_events, make_bundle, save, spotted

from glass_edge.acquisition.recording import ReplayCamera
from glass_edge.config.engine import EngineSettings
from glass_edge.config.events import EventSettings
from glass_edge.config.grading import load_grading
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.output import OutputSettings
from glass_edge.config.web import WebSettings
from glass_edge.service.roll_job import RollJob
from glass_edge.service.roll_judge import JudgeRules
from glass_edge.service.roll_reports import MOST_WAITING, RollReports
from glass_edge.service.runtime_folder import runtime_folder
from glass_edge.service.station import Station

pytest.importorskip("matplotlib")
WEB = WebSettings(mm_per_px=0.5, mm_per_line=0.25, span={"left_px": 0, "right_px": 200})
METRIC = "four-point-metric"


@pytest.fixture
def sockets() -> Iterator[Path]:
    with runtime_folder() as folder:
        yield folder


def inspect(folder: Path, sockets: Path, **changes: object) -> Path:
    """One roll with two spots; returns the journal."""
    save(folder / "i" / "1.png", spotted(300, [(100, 50), (200, 120)]))
    journal = folder / "events.journal"
    events = EventSettings(
        journal=journal, publish_endpoint=f"ipc://{sockets}/e", request_endpoint=f"ipc://{sockets}/r"
    )
    output = OutputSettings(**({"folder": folder / "out"} | changes))
    with Station("loom7", events, output, is_simulated=True) as station:
        station.inspect(
            RollJob(
                "R/1",
                ReplayCamera(folder / "i"),
                make_bundle(folder / "engines"),
                WEB,
                EngineSettings(precision="f32", threads=1),
                InspectionSettings(gap_mm=0.0, run_gap_mm=0.0),
                live=False,
                judge=JudgeRules(load_grading(METRIC).table()),
                report_table=METRIC,
            )
        )
    return journal


def test_a_roll_that_ends_has_its_report_when_the_station_is_closed(tmp_path: Path, sockets: Path) -> None:
    journal = inspect(tmp_path, sockets)
    (folder,) = (tmp_path / "out" / "reports").iterdir()
    assert folder.name.startswith("R_1-")
    assert {"roll.json", "report.pdf", "roll-map.png", "defects.csv"} <= {path.name for path in folder.iterdir()}
    document = json.loads((folder / "roll.json").read_text(encoding="utf-8"))
    assert document["defects"]["count"] == 2
    assert document["grade"]["total_points"] == document["roll_end"]["points"] == 2
    assert not [event for event in journal_events(journal) if event["payload"].get("fault_code")]


def test_no_report_is_made_where_the_station_wants_none(tmp_path: Path, sockets: Path) -> None:
    inspect(tmp_path, sockets, reports=False)
    assert not (tmp_path / "out" / "reports").exists()


def test_a_report_that_fails_is_told_and_costs_nothing_else(tmp_path: Path, sockets: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "reports").write_text("no folder", encoding="utf-8")
    journal = inspect(tmp_path, sockets)
    events = journal_events(journal)
    told = [event["payload"] for event in events if event["payload"].get("fault_code") == "report_failed"]
    assert len(told) == 1
    assert "roll R/1: no report" in told[0]["message"]
    assert str(tmp_path / "out" / "reports") in told[0]["message"]
    assert events[-1]["payload"]["state"] == "Halted"


def test_a_station_that_must_stop_gives_the_report_up(tmp_path: Path) -> None:
    told: list[str] = []
    reports = RollReports(tmp_path / "none.journal", tmp_path, tmp_path / "reports", told.append)
    for number in range(MOST_WAITING):
        reports.ask(f"R{number}", METRIC)
    begun_s = time.monotonic()
    reports.close(0.0)
    assert time.monotonic() - begun_s < 20
    assert len(told) == MOST_WAITING
    assert all("no report" in one for one in told)


def test_no_more_than_a_few_wait(tmp_path: Path) -> None:
    told: list[str] = []
    reports = RollReports(tmp_path / "none.journal", tmp_path, tmp_path / "reports", told.append)
    folders = [reports.ask(f"R{number}", METRIC) for number in range(3 * MOST_WAITING)]
    assert folders.count(None) >= MOST_WAITING
    assert sum("left out" in one for one in told) == folders.count(None)
    reports.close(0.0)
