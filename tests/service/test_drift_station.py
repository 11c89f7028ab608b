"""A station whose rolls are compared: what it journals, in which order, and that nothing else changes."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from station_support import cloth, journal_events, make_bundle, save

from glass_edge.acquisition.recording import ReplayCamera
from glass_edge.config.drift import DriftSettings
from glass_edge.config.engine import EngineSettings
from glass_edge.config.events import EventSettings
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.output import OutputSettings
from glass_edge.config.web import FixedSpan, WebSettings
from glass_edge.engine.bundle import Bundle
from glass_edge.service import drift_camera
from glass_edge.service.roll_job import RollJob, RollReport
from glass_edge.service.station import Station

WIDTH, LINES = 200, 1200
SETTINGS = DriftSettings(every_m=0.0, lines=128, least_m=0.05, least_rolls=8)


@pytest.fixture(autouse=True)
def priority(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift_camera, "_LOWEST_PRIORITY", os.getpriority(os.PRIO_PROCESS, 0))


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


def station(folder: Path, drift: DriftSettings | None = SETTINGS) -> Station:
    events = EventSettings(
        journal=folder / "events.journal",
        publish_endpoint=f"ipc://{folder}/e",
        request_endpoint=f"ipc://{folder}/r",
        status_s=3600,
    )
    return Station("loom-1", events, OutputSettings(folder=folder, reports=False), is_simulated=True, drift=drift)


def weave(
    one: Station, bundle: Bundle, folder: Path, number: int, *, light: float = 1.0, n_lines: int = LINES
) -> RollReport:
    lines = np.rint(light * cloth(n_lines, WIDTH, seed=number)).astype(np.uint8)
    camera = ReplayCamera([save(folder / f"roll-{number}.png", lines)])
    web = WebSettings(mm_per_px=0.1, mm_per_line=0.1, span=FixedSpan(left_px=0, right_px=WIDTH))
    job = RollJob(
        f"R{number}", camera, bundle, web, EngineSettings(precision="f32"), InspectionSettings(crops=False), live=False
    )
    return one.inspect(job)


def told(folder: Path) -> list[tuple[str | None, str]]:
    """Roll before, and fault code, of each drift."""
    roll, found = None, []
    for event in journal_events(folder / "events.journal"):
        roll = event["roll_id"] or roll
        code = event["payload"].get("fault_code")
        if code is not None:
            found.append((roll, code))
    return found


def test_figures_come_before_the_end_and_a_darker_picture_is_told_after_it(tmp_path: Path, bundle: Bundle) -> None:
    with station(tmp_path) as one:
        for number in range(9):
            weave(one, bundle, tmp_path, number)
        report = weave(one, bundle, tmp_path, 9, light=0.85)
    assert report.faults.keys() == {"drift_mean_grey", "drift_score_median", "drift_score_p99", "drift_score_p999"}
    assert report.totals.defects == 0  # the alarm comes before false ones do
    with station(tmp_path) as one:  # another start
        again = weave(one, bundle, tmp_path, 10, light=0.85)
        for number in range(11, 60):
            if weave(one, bundle, tmp_path, number).faults:
                break
    assert again.faults.keys() == report.faults.keys()
    events = journal_events(tmp_path / "events.journal")
    kinds = [event["kind"] for event in events]
    for place, kind in enumerate(kinds):
        assert (kind == "roll.end") == (kinds[place - 1] == "roll.figures")
    figures = [event for event in events if event["kind"] == "roll.figures"]
    assert figures[0]["payload"]["model_sha256"] == bundle.model_sha256
    assert figures[0]["payload"]["samples"] >= 1
    assert figures[0]["payload"]["mean_grey"] == pytest.approx(127.5, abs=0.5)
    assert figures[9]["payload"]["mean_grey"] == pytest.approx(108.4, abs=0.5)
    assert figures[9]["payload"]["score_median"] == pytest.approx(0.1 * (128 - 108.4) - 5, abs=0.05)
    drifts = told(tmp_path)
    assert [roll for roll, code in drifts if code == "drift_mean_grey"] == ["R9", "R10"]
    assert [code for _, code in drifts if code.endswith("_over")] != []
    first = next(event for event in events if event["payload"].get("fault_code") == "drift_mean_grey")
    assert (first["payload"]["state"], first["roll_id"]) == ("Ready", None)
    assert " in roll R9, and the first 8 rolls of plain had 127." in first["payload"]["message"]


def test_a_short_roll_and_a_station_without_the_watch_tell_none(tmp_path: Path, bundle: Bundle) -> None:
    with station(tmp_path / "a") as one:
        weave(one, bundle, tmp_path, 0, n_lines=300)
    with station(tmp_path / "b", None) as one:
        weave(one, bundle, tmp_path, 1)
    for name in "ab":
        kinds = {event["kind"] for event in journal_events(tmp_path / name / "events.journal")}
        assert "roll.end" in kinds
        assert "roll.figures" not in kinds
