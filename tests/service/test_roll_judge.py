"""Grades, stop requests and roll changes of a whole station, over its own socket and in its own journal."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from station_support import cloth, journal_events, make_bundle, save, spotted

from glass_edge.acquisition.recording import ReplayCamera
from glass_edge.config.engine import EngineSettings
from glass_edge.config.events import EventSettings
from glass_edge.config.grading import load_grading
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.output import OutputSettings
from glass_edge.config.stop_rule import StopSettings
from glass_edge.config.web import WebSettings
from glass_edge.engine.bundle import Bundle
from glass_edge.events.commands import change_roll
from glass_edge.events.errors import CommandRefusedError, NoAnswerError
from glass_edge.events.requester import request_status
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.fabric.grading import points_per_100_m2
from glass_edge.fabric.roll import Roll, RollTotals, WidthFigures
from glass_edge.inspection.sink import Segment
from glass_edge.service.roll_job import RollJob, RollReport
from glass_edge.service.roll_judge import JudgeRules, RollJudge
from glass_edge.service.runtime_folder import runtime_folder
from glass_edge.service.station import Station

WEB = WebSettings(mm_per_px=0.5, mm_per_line=0.25, span={"left_px": 0, "right_px": 200})
TABLE = load_grading("four-point-metric").table()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("engines"))


@pytest.fixture
def sockets() -> Iterator[Path]:
    with runtime_folder() as folder:
        yield folder


def station_in(folder: Path, publish: str, request: str) -> Station:
    events = EventSettings(journal=folder / "events.journal", publish_endpoint=publish, request_endpoint=request)
    return Station("loom7", events, OutputSettings(folder=folder), is_simulated=True)


def job(camera: ReplayCamera, bundle: Bundle, judge: JudgeRules, *, live: bool = False) -> RollJob:
    settings = InspectionSettings(read_timeout_s=0.02, gap_mm=0.0, run_gap_mm=0.0)
    return RollJob("R-1", camera, bundle, WEB, EngineSettings(precision="f32", threads=1), settings, live, judge)


def test_the_end_of_a_roll_tells_its_grade(tmp_path: Path, sockets: Path, bundle: Bundle) -> None:
    save(tmp_path / "i" / "1.png", spotted(300, [(100, 50), (200, 120)]))
    with station_in(tmp_path, f"ipc://{sockets}/e", f"ipc://{sockets}/r") as station:
        report = station.inspect(job(ReplayCamera(tmp_path / "i"), bundle, JudgeRules(TABLE)))
    end = next(event["payload"] for event in journal_events(tmp_path / "events.journal") if event["kind"] == "roll.end")
    assert (end["grading_table"], end["points"]) == (TABLE.name, 2)
    inspected_m = (300 - 32) * 0.25e-3
    assert end["points_per_100_m2"] == pytest.approx(points_per_100_m2(2, inspected_m, 100.0))
    assert end["is_first_quality"] is False
    assert end["grade_reasons"]
    assert any("not inspected" in remark for remark in end["grade_remarks"])
    assert [grade.total_points for grade in report.grades] == [2]


def test_a_stop_is_asked_for_behind_the_defect_that_causes_it(tmp_path: Path, sockets: Path, bundle: Bundle) -> None:
    save(tmp_path / "i" / "1.png", spotted(600, [(60 + 40 * k, 50 + 12 * k) for k in range(7)]))
    stop = StopSettings(enabled=True, dense={"defects": 6, "within_m": 1.0}).rules()
    with station_in(tmp_path, f"ipc://{sockets}/e", f"ipc://{sockets}/r") as station:
        station.inspect(job(ReplayCamera(tmp_path / "i"), bundle, JudgeRules(TABLE, stop)))
    events = journal_events(tmp_path / "events.journal")
    asked = [event for event in events if event["kind"] == "stop.request"]
    assert len(asked) == 1
    before = events[asked[0]["seq"] - 2]
    assert before["kind"] == "defect.end"
    payload = asked[0]["payload"]
    assert (payload["defect_id"], payload["cause"]) == (before["payload"]["defect_id"], "dense")
    assert payload["reason"].startswith("6 defects")
    assert payload["along_mm"] == before["payload"]["along_mm"]


def _inspect_meanwhile(station: Station, one: RollJob, out: list[RollReport]) -> threading.Thread:
    thread = threading.Thread(target=lambda: out.append(station.inspect(one)))
    thread.start()
    return thread


def test_a_roll_is_changed_over_the_socket_without_losing_a_line(tmp_path: Path, sockets: Path, bundle: Bundle) -> None:
    save(tmp_path / "i" / "1.png", cloth(2000))
    camera = ReplayCamera(tmp_path / "i", block_lines=50, line_rate_hz=500)
    endpoint = f"ipc://{sockets}/r"
    reports: list[RollReport] = []
    with station_in(tmp_path, f"ipc://{sockets}/e", endpoint) as station:
        with pytest.raises(NoAnswerError, match="no roll is running"):
            change_roll(endpoint, "R-2")
        thread = _inspect_meanwhile(station, job(camera, bundle, JudgeRules(TABLE)), reports)
        deadline_s = time.monotonic() + 30
        while request_status(endpoint).head < 5 and time.monotonic() < deadline_s:
            time.sleep(0.02)
        time.sleep(0.5)
        with pytest.raises(NoAnswerError, match="R-1 is open already"):
            change_roll(endpoint, "R-1")
        answer = change_roll(endpoint, "R-2")
        with pytest.raises(NoAnswerError, match="R-2 is open already"):
            change_roll(endpoint, "R-2")
        thread.join(60)
    events = journal_events(tmp_path / "events.journal")
    starts = [event for event in events if event["kind"] == "roll.start"]
    ends = [event for event in events if event["kind"] == "roll.end"]
    assert [event["roll_id"] for event in starts] == [event["roll_id"] for event in ends] == ["R-1", "R-2"]
    first_line = starts[1]["payload"]["first_line"]
    assert answer.first_line <= first_line < answer.first_line + 4
    assert ends[0]["payload"]["end_line"] == first_line
    assert sum(end["payload"]["lines_woven"] for end in ends) == 2000
    assert reports[0].rolls == 2
    assert reports[0].totals.lines_woven == 2000


def test_commands_are_not_taken_over_tcp_without_keys(tmp_path: Path) -> None:
    with (
        station_in(tmp_path, "tcp://127.0.0.1:*", "tcp://127.0.0.1:*") as station,
        pytest.raises(CommandRefusedError, match="client loopback is observer, and roll needs the role controller"),
    ):
        change_roll(station.publisher.request_endpoint, "R-2")


def test_cloth_that_cannot_be_graded_is_told_once_and_the_width_is_the_mean() -> None:
    narrow = load_grading("four-point-metric").model_copy(update={"edge_exclusion_mm": 60.0}).table()
    segment = Segment(0, ClothSpan(10, 190), ClothSpan(30, 170), "")
    judge = RollJudge(JudgeRules(narrow), WebScale(0.5, 0.25))
    judge.roll_started(Roll("R", "plain", 0))
    told = judge.segment_started(segment)
    assert told is not None
    assert "edge_exclusion_mm" in told
    assert judge.segment_started(segment) is None
    totals = RollTotals(4000, 4000, 0, 0, WidthFigures(80.0, 79.0, 90.0))
    assert judge.grade(totals) is None
    judge = RollJudge(JudgeRules(TABLE), WebScale(0.5, 0.25))
    judge.roll_started(Roll("R", "plain", 0))
    judge.segment_started(segment)
    grade = judge.grade(totals)
    assert grade is not None
    assert (grade.width_mm, grade.woven_m) == (80.0, 1.0)
