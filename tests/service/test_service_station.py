"""A whole station in this process: real engine, journal and sockets."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from station_support import Pixels, cloth, cut_off, journal_events, make_bundle, save, spotted

from glass_edge.acquisition.camera import CameraLostError, LineBlock
from glass_edge.acquisition.recording import ReplayCamera
from glass_edge.config.engine import EngineSettings
from glass_edge.config.events import EventSettings
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.output import OutputSettings
from glass_edge.config.web import WebSettings
from glass_edge.engine.bundle import Bundle
from glass_edge.errors import InputError
from glass_edge.fabric.roll import Roll
from glass_edge.inspection.sink import Progress, QuietSink
from glass_edge.service.event_sink import CROPS_FAULT
from glass_edge.service.roll_job import RollJob, check_job
from glass_edge.service.runtime_folder import runtime_folder
from glass_edge.service.signals import StopRequest
from glass_edge.service.station import Station

WEB = WebSettings(mm_per_px=0.5, mm_per_line=0.25, span={"left_px": 0, "right_px": 200})
ENGINE = EngineSettings(precision="f32", threads=1)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("engines"))


@pytest.fixture
def sockets() -> Iterator[Path]:
    with runtime_folder() as folder:
        yield folder


def _job(
    camera: ReplayCamera, bundle: Bundle, roll_id: str = "R-1", web: WebSettings = WEB, **changes: object
) -> RollJob:
    settings = InspectionSettings(**({"read_timeout_s": 0.02, "gap_mm": 0.0} | changes))
    return RollJob(roll_id, camera, bundle, web, ENGINE, settings, live=False)


def _station(folder: Path, sockets: Path, **output: object) -> Station:
    events = EventSettings(
        journal=folder / "events.journal",
        publish_endpoint=f"ipc://{sockets}/e",
        request_endpoint=f"ipc://{sockets}/r",
    )
    return Station("loom7", events, OutputSettings(folder=folder, **output), is_simulated=True)


def _told(events: list[dict[str, Any]]) -> list[str]:
    """Kinds, a status by its state and fault."""
    names = []
    for event in events:
        payload = event["payload"]
        fault = f" {payload['fault_code']}" if payload.get("fault_code") else ""
        names.append(payload["state"] + fault if event["kind"] == "status" else event["kind"])
    return names


def test_two_rolls_with_two_engines_are_one_gapless_story(tmp_path: Path, sockets: Path, bundle: Bundle) -> None:
    other = make_bundle(tmp_path / "engines", style="other", tile=(96, 64), mm_per_px=None)
    save(tmp_path / "a" / "1.png", spotted(300, [(100, 50), (200, 120)]))
    save(tmp_path / "b" / "1.png", spotted(200, [(60, 100)]))
    with _station(tmp_path, sockets) as station:
        first = station.inspect(_job(ReplayCamera(tmp_path / "a"), bundle))
        second = station.inspect(_job(ReplayCamera(tmp_path / "b"), other, "R-2"))
    events = journal_events(tmp_path / "events.journal")
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    life = ["defect.new", "defect.end"]
    assert _told(events) == [
        *["Initialized", "engine.activated", "Ready", "roll.start", "ContinuousExecution", "coverage.gap"],
        *[*life, *life, "coverage.gap", "roll.end", "Ready"],
        *["engine.activated", "Ready", "roll.start", "ContinuousExecution", "coverage.gap"],
        *[*life, "coverage.gap", "roll.end", "Ready", "Halted"],
    ]
    activated = [event["payload"] for event in events if event["kind"] == "engine.activated"]
    assert [(one["style"], one["model_sha256"]) for one in activated] == [
        ("plain", bundle.model_sha256),
        ("other", other.model_sha256),
    ]
    ends = [event["payload"] for event in events if event["kind"] == "roll.end"]
    for end, report, woven in zip(ends, (first, second), (300, 200), strict=True):
        assert end["lines_woven"] == report.totals.lines_woven == woven
        assert end["lines_missed"] == report.missed_lines["segment_edge"] == 32
        assert end["woven_m"] == pytest.approx(woven * 0.25e-3)
    defect = next(event["payload"] for event in events if event["kind"] == "defect.end")
    assert (defect["first_line"], defect["end_line"], defect["left_px"], defect["right_px"]) == (100, 112, 48, 64)
    assert (defect["along_mm"], defect["across_mm"]) == (25.0, 24.0)
    assert (station.crops_folder / defect["crop_file"]).is_file()
    assert not first.faults
    assert not first.was_stopped


def test_a_damaged_image_is_a_fault_event_and_a_gap(tmp_path: Path, sockets: Path, bundle: Bundle) -> None:
    for number in range(3):
        save(tmp_path / "i" / f"{number}.png", cloth(100))
    cut_off(tmp_path / "i" / "2.png")
    with _station(tmp_path, sockets) as station:
        report = station.inspect(_job(ReplayCamera(tmp_path / "i"), bundle))
    assert report.faults == {"camera": 1}
    assert report.missed_lines == {"segment_edge": 64, "camera_gap": 100}
    events = journal_events(tmp_path / "events.journal")
    (fault,) = [event["payload"] for event in events if event["payload"].get("fault_code")]
    assert fault["state"] == "ContinuousExecution"
    assert fault["roll_lines"] == 200
    assert "2.png: damaged or cut off" in fault["message"]


def test_pictures_that_cannot_be_kept_cost_one_fault_and_no_event(
    tmp_path: Path, sockets: Path, bundle: Bundle
) -> None:
    save(tmp_path / "i" / "1.png", spotted(300, [(40, 50), (100, 120), (200, 60)]))

    class TakesTheFolderAway(QuietSink):
        def roll_started(self, roll: Roll) -> None:
            shutil.rmtree(tmp_path / "crops")
            (tmp_path / "crops").write_text("in the way")

    with _station(tmp_path, sockets) as station:
        report = station.inspect(_job(ReplayCamera(tmp_path / "i"), bundle), [TakesTheFolderAway()])
    assert report.totals.defects == 3
    told = _told(journal_events(tmp_path / "events.journal"))
    assert told.count("defect.end") == 3
    assert [name for name in told if CROPS_FAULT in name] == [f"ContinuousExecution {CROPS_FAULT}"]


def test_a_stop_request_ends_the_roll_in_good_order(tmp_path: Path, sockets: Path, bundle: Bundle) -> None:
    save(tmp_path / "i" / "1.png", cloth(4000))
    stop = StopRequest()

    class StopsEarly(QuietSink):
        def progress(self, progress: Progress) -> None:
            if progress.lines_inspected:
                stop.asked.set()

    camera = ReplayCamera(tmp_path / "i", block_lines=50, line_rate_hz=1000)
    with _station(tmp_path, sockets) as station:
        report = station.inspect(_job(camera, bundle, progress_s=0.05), [StopsEarly()], stop)
    assert report.was_stopped
    assert 0 < report.totals.lines_woven < 4000
    assert _told(journal_events(tmp_path / "events.journal"))[-3:] == ["roll.end", "Ready", "Halted"]


class _TornCable(ReplayCamera):
    def read(self, timeout_s: float) -> LineBlock | None:
        block = super().read(timeout_s)
        if block is not None and block.first_line >= 100:
            raise CameraLostError("the cable was torn")
        return block


def test_a_lost_camera_reaches_the_caller_after_roll_end_and_leaves_the_state_error(
    tmp_path: Path, sockets: Path, bundle: Bundle
) -> None:
    save(tmp_path / "i" / "1.png", cloth(300))
    with pytest.raises(CameraLostError, match="torn"), _station(tmp_path, sockets) as station:
        station.inspect(_job(_TornCable(tmp_path / "i", block_lines=50), bundle))
    told = _told(journal_events(tmp_path / "events.journal"))
    assert told[-3:] == ["coverage.gap", "Error fatal", "roll.end"]
    assert not [thread for thread in threading.enumerate() if thread.name in ("camera", "inference", "defects")]


def test_a_watcher_that_fails_stops_everything(tmp_path: Path, sockets: Path, bundle: Bundle) -> None:
    save(tmp_path / "i" / "1.png", spotted(300, [(100, 50)]))

    class Fails(QuietSink):
        def defect(self, *_: object) -> None:
            raise ValueError("a fault of the program")

    with pytest.raises(ValueError, match="fault of the program"), _station(tmp_path, sockets) as station:
        station.inspect(_job(ReplayCamera(tmp_path / "i"), bundle), [Fails()])
    last = journal_events(tmp_path / "events.journal")[-1]["payload"]
    assert (last["state"], last["fault_code"]) == ("Error", "failed")
    assert last["message"] == "a fault of the program"


def test_a_taken_socket_or_an_unwritable_place_is_refused_before_anything_plays(tmp_path: Path, sockets: Path) -> None:
    with _station(tmp_path / "one", sockets), pytest.raises(InputError, match="publishes here; stop it"):
        _station(tmp_path / "two", sockets).__enter__()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="file"):
        _station(tmp_path / "file", sockets).__enter__()
    (tmp_path / "three").mkdir()
    (tmp_path / "three" / "crops").write_text("in the way")
    with pytest.raises(InputError, match="crops"):
        _station(tmp_path / "three", sockets).__enter__()
    with _station(tmp_path / "one", sockets):  # nothing was left claimed
        pass


def test_what_does_not_fit_is_refused_with_what_would(tmp_path: Path, bundle: Bundle) -> None:
    auto = WEB.model_copy(update={"span": "auto"})

    def refused(match: str, shape: tuple[int, ...], web: WebSettings = auto, **changes: object) -> None:
        folder = tmp_path / "-".join(map(str, shape))
        save(folder / "1.png", cloth(shape[0], shape[1]) if len(shape) == 2 else spotted_colour(shape))
        with pytest.raises(InputError, match=match):
            check_job(_job(ReplayCamera(folder), bundle, web=web, **changes))

    def spotted_colour(shape: tuple[int, ...]) -> Pixels:
        return cloth(shape[0] * 3, shape[1]).reshape(shape)

    refused("3 channels and the engine", (100, 200, 3))
    refused("20 px are too narrow", (100, 20))
    refused("nothing is left of cloth 33 px", (100, 33))
    refused("35 lines, and no image here has the 36", (35, 200))
    refused("beyond the camera line of 100 px", (100, 100), WEB)
    refused(r"advance_px = 48: a multiple of 16 from 16 to 32", (100, 200), advance_px=48)
    save(tmp_path / "joined" / "1.png", cloth(20))
    save(tmp_path / "joined" / "2.png", cloth(20))
    check_job(_job(ReplayCamera(tmp_path / "joined", separate=False), bundle))
