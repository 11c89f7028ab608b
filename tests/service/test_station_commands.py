"""Commands to a whole station: what they do to its rolls and stops, also across a restart."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from station_support import journal_events, make_bundle, save, spotted

from glass_edge.acquisition.recording import ReplayCamera
from glass_edge.config.engine import EngineSettings
from glass_edge.config.events import EventSettings
from glass_edge.config.grading import load_grading
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.output import OutputSettings
from glass_edge.config.stop_rule import StopSettings
from glass_edge.config.web import WebSettings
from glass_edge.engine.bundle import Bundle
from glass_edge.events.commands import acknowledge, change_recipe, change_roll, set_bypass
from glass_edge.events.errors import CommandRefusedError
from glass_edge.events.requester import request_snapshot
from glass_edge.fabric.defect import Defect, DefectPhase, DefectShape
from glass_edge.fabric.geometry import WebBox, WebScale, to_mm
from glass_edge.fabric.roll import Roll
from glass_edge.fabric.stop_rule_values import StopRules
from glass_edge.service.roll_job import RollJob
from glass_edge.service.roll_judge import JudgeRules, RollJudge
from glass_edge.service.runtime_folder import runtime_folder
from glass_edge.service.station import Station

TABLE = load_grading("four-point-metric").table()
WEB = WebSettings(mm_per_px=0.5, mm_per_line=0.25, span={"left_px": 0, "right_px": 200})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("engines"))


@pytest.fixture
def sockets() -> Iterator[Path]:
    with runtime_folder() as folder:
        yield folder


class Mill:
    """A folder with cloth that has many defects, and a station that asks for a stop because of them."""

    def __init__(self, folder: Path, sockets: Path, bundle: Bundle) -> None:
        save(folder / "i" / "1.png", spotted(600, [(60 + 40 * k, 50 + 12 * k) for k in range(7)]))
        self.folder, self.bundle = folder, bundle
        self.endpoint = f"ipc://{sockets}/r"
        self.events = EventSettings(
            journal=folder / "events.journal", publish_endpoint=f"ipc://{sockets}/e", request_endpoint=self.endpoint
        )

    def station(self) -> Station:
        return Station("loom7", self.events, OutputSettings(folder=self.folder), is_simulated=True)

    def weave(self, station: Station, roll_id: str) -> None:
        stop = StopSettings(enabled=True, min_interval_s=0, dense={"defects": 6, "within_m": 1.0}).rules()
        camera = ReplayCamera(self.folder / "i")
        inspection = InspectionSettings(read_timeout_s=0.02, gap_mm=0.0, run_gap_mm=0.0)
        engine = EngineSettings(precision="f32", threads=1)
        station.inspect(RollJob(roll_id, camera, self.bundle, WEB, engine, inspection, False, JudgeRules(TABLE, stop)))

    def journaled(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in journal_events(self.folder / "events.journal") if event["kind"] == kind]


@pytest.fixture
def mill(tmp_path: Path, sockets: Path, bundle: Bundle) -> Mill:
    return Mill(tmp_path, sockets, bundle)


def test_a_bypass_outlives_the_station_and_holds_back_stops_alone(mill: Mill) -> None:
    with mill.station() as station:
        mill.weave(station, "R-1")
        set_bypass(mill.endpoint, True, reason="new beam")
    with mill.station() as station:
        mill.weave(station, "R-2")
        _, snapshot = request_snapshot(mill.endpoint)
        assert snapshot.is_bypassed
        # what was asked before goes on waiting
        assert snapshot.stop_request is not None
        acknowledge(mill.endpoint, snapshot.stop_request.request_id, accepted=True)
        set_bypass(mill.endpoint, False)
        mill.weave(station, "R-3")
    assert [event["roll_id"] for event in mill.journaled("stop.request")] == ["R-1", "R-3"]
    ends = {event["roll_id"]: event["payload"] for event in mill.journaled("roll.end")}
    assert ends["R-1"]["defects"] == ends["R-2"]["defects"] == 7
    assert ends["R-1"]["points"] == ends["R-2"]["points"] > 0
    told = [(event["payload"]["state"], event["payload"]["is_bypassed"]) for event in mill.journaled("status")]
    one_roll = ["Initialized", "Ready", "ContinuousExecution", "Ready"]
    assert (
        told
        == [
            *((state, False) for state in one_roll),
            ("Ready", True),  # told at once
            ("Halted", True),
            *((state, True) for state in one_roll),
            ("Ready", False),
            *((state, False) for state in one_roll[1:]),
            ("Halted", False),
        ]
    )
    commands = [event["payload"] for event in mill.journaled("command")]
    assert [(command["command"], command["is_on"]) for command in commands] == [
        ("bypass", True),
        ("acknowledge", None),
        ("bypass", False),
    ]


def test_a_bypass_switched_while_a_roll_runs_is_told_with_the_roll(mill: Mill) -> None:
    images = mill.folder / "slow"
    save(images / "1.png", spotted(3000, [(2900, 50)]))
    camera = ReplayCamera(images, block_lines=50, line_rate_hz=1500)
    inspection = InspectionSettings(read_timeout_s=0.02)
    engine = EngineSettings(precision="f32", threads=1)
    with mill.station() as station:
        one = RollJob("R-1", camera, mill.bundle, WEB, engine, inspection, False, JudgeRules(TABLE))
        thread = threading.Thread(target=station.inspect, args=(one,))
        thread.start()
        while not mill.journaled("roll.start"):
            assert thread.is_alive()
        with pytest.raises(CommandRefusedError) as caught:
            change_recipe(mill.endpoint, "satin")
        assert "satin" in caught.value.reason
        set_bypass(mill.endpoint, True)
        change_roll(mill.endpoint, "R-2")
        thread.join(60)
    events = journal_events(mill.folder / "events.journal")
    switched = next(event for event in events if event["kind"] == "command" and event["payload"]["is_on"])
    told = events[switched["seq"]]
    assert (told["kind"], told["roll_id"], told["payload"]["is_bypassed"]) == ("status", "R-1", True)
    assert told["payload"]["state"] == "ContinuousExecution"
    assert told["is_partial"]
    kinds = [event["kind"] for event in events]
    changed = next(event["seq"] for event in events if event["payload"].get("roll_id") == "R-2")
    assert kinds.index("roll.start", kinds.index("roll.start") + 1) > changed - 1


def test_what_goes_on_when_the_bypass_ends_is_asked_for_then() -> None:
    scale = WebScale(0.5, 0.25)
    judge = RollJudge(JudgeRules(stop=StopRules(0.0, 0.0, hole=False, running_above_mm=50.0)), scale)
    judge.roll_started(Roll("R", "plain", 0))

    def report(lines: int, phase: DefectPhase) -> Defect:
        box = WebBox(left_px=10, right_px=12, first_line=0, end_line=lines)
        box_mm = to_mm(box, scale, left_selvedge_px=0, roll_first_line=0)
        return Defect(1, phase, DefectShape.WARP_LINE, box, box_mm, 1.0, 0.9, 0.8, 3.0)

    assert judge.take(report(300, DefectPhase.NEW), 100.0, is_bypassed=True) is None
    assert judge.take(report(600, DefectPhase.UPDATE), 200.0, is_bypassed=True) is None
    decision = judge.take(report(900, DefectPhase.UPDATE), 300.0)
    assert decision is not None
    assert decision.cause.value == "running"
    assert judge.take(report(1200, DefectPhase.UPDATE), 400.0) is None  # asked for once
