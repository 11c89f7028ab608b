"""What systemd hears of a real station: nothing that the inspection's own progress does not say."""

from __future__ import annotations

import itertools
import os
import re
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from notify_peer import NotifyPeer
from station_support import Pixels, cloth, glass_edge, make_bundle

from glass_edge.acquisition.camera import LineBlock
from glass_edge.config.engine import EngineSettings
from glass_edge.config.events import EventSettings
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.output import OutputSettings
from glass_edge.config.web import WebSettings
from glass_edge.engine.bundle import Bundle
from glass_edge.inspection.sink import Progress, QuietSink
from glass_edge.service import roll_job
from glass_edge.service.notify import Notifier
from glass_edge.service.notify_station import StationNotes, TurnWatch
from glass_edge.service.roll_job import RollJob
from glass_edge.service.runtime_folder import runtime_folder
from glass_edge.service.signals import StopRequest
from glass_edge.service.station import Station

WATCHDOG_S = 3.0


class Loom:
    """A camera that hands over some cloth and then sees a loom that stands; `hang` keeps its reader."""

    is_simulated = True
    width_px, channels, first_line = 200, 1, 0

    def __init__(self, lines: Pixels, *, hangs: bool = False) -> None:
        self._lines = lines
        self._hangs = hangs
        self._is_played = False
        self.let_go = threading.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        return

    def read(self, timeout_s: float) -> LineBlock | None:
        if self._is_played:
            self.let_go.wait(60 if self._hangs else timeout_s)
            return None
        self._is_played = True
        return LineBlock(self._lines, 0, 0, datetime.now(UTC), time.monotonic(), starts_segment=True)


class StuckEngine:
    """A real engine whose device does not come back once it is warm and tested."""

    def __init__(self, engine: Any) -> None:  # noqa: ANN401 - whatever the factory gives
        self._engine = engine
        self.let_go = threading.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def __enter__(self) -> Self:
        self._engine.__enter__()
        return self

    def __exit__(self, *exc: Any) -> None:  # noqa: ANN401
        self._engine.__exit__(*exc)

    def collect(self) -> np.ndarray:
        self.let_go.wait(60)
        return self._engine.collect()


class FullDisk(QuietSink):
    """A watcher whose disk does not answer."""

    def __init__(self) -> None:
        self.let_go = threading.Event()

    def progress(self, progress: Progress) -> None:
        self.let_go.wait(60)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_bundle(tmp_path_factory.mktemp("engines"))


@pytest.fixture
def sockets() -> Iterator[Path]:
    with runtime_folder() as folder:
        yield folder


class Running:
    """A station that runs in a thread and tells `peer`."""

    def __init__(
        self, folder: Path, sockets: Path, bundle: Bundle, camera: Loom, watchers: Sequence[QuietSink] = ()
    ) -> None:
        self.peer = NotifyPeer(folder)
        self.stop = StopRequest()
        events = EventSettings(
            journal=folder / "journal", publish_endpoint=f"ipc://{sockets}/e", request_endpoint=f"ipc://{sockets}/r"
        )
        web = WebSettings(mm_per_px=0.5, mm_per_line=0.5, span={"left_px": 0, "right_px": 200})
        inspection = InspectionSettings(read_timeout_s=0.1, progress_s=0.5)
        engine = EngineSettings(precision="f32", threads=1)
        job = RollJob("R-1", camera, bundle, web, engine, inspection, live=True)

        def work() -> None:
            with (
                Notifier(self.peer.address, WATCHDOG_S) as notifier,
                Station("loom", events, OutputSettings(folder=folder), is_simulated=True) as station,
                StationNotes(notifier, self.stop, 12.5) as notes,
            ):
                station.inspect(job, [*watchers, notes], self.stop, notes.turned)

        self._thread = threading.Thread(target=work)
        self._thread.start()

    def end(self) -> list[dict[str, str]]:
        self.stop.asked.set()
        told = self.peer.listen_until(lambda message: "STOPPING" in message, 20)
        self._thread.join(30)
        assert not self._thread.is_alive()
        return told


def _is_ready(message: dict[str, str]) -> bool:
    return message.get("READY") == "1"


def _pings(messages: list[dict[str, str]]) -> int:
    return sum(message == {"WATCHDOG": "1"} for message in messages)


def test_a_standing_loom_feeds_the_watchdog(tmp_path: Path, sockets: Path, bundle: Bundle) -> None:
    running = Running(tmp_path, sockets, bundle, Loom(cloth(300)))
    told = running.peer.listen_until(_is_ready, 60)
    assert _is_ready(told[-1])
    assert told[0] == {"STATUS": "opening the engine and the camera"}
    assert _pings(told) == 0
    quiet = running.peer.listen(2 * WATCHDOG_S)  # not a line comes meanwhile
    assert _pings(quiet) >= 3
    stamps = [at for at, message in running.peer.messages if "WATCHDOG" in message or "READY" in message]
    assert max(b - a for a, b in itertools.pairwise(stamps)) < WATCHDOG_S
    status = [message["STATUS"] for message in quiet if "STATUS" in message]
    assert status[-1].startswith("ContinuousExecution: roll R-1, 0.1 m inspected at 0.0 m/min, 0 defects")
    ended = running.end()
    assert ended[-1] == {
        "STOPPING": "1",
        "STATUS": "stopping: what was taken in is inspected",
        "EXTEND_TIMEOUT_USEC": "12500000",
    }


def test_a_station_without_cloth_is_ready_and_alive(tmp_path: Path, sockets: Path, bundle: Bundle) -> None:
    camera = Loom(cloth(1))
    camera._is_played = True
    running = Running(tmp_path, sockets, bundle, camera)
    assert _is_ready(running.peer.listen_until(_is_ready, 60)[-1])
    quiet = running.peer.listen(WATCHDOG_S)
    assert _pings(quiet) >= 1
    assert {message["STATUS"] for message in quiet if "STATUS" in message} == {"Ready: no line of cloth yet"}
    running.end()


_slow = pytest.mark.slow


@pytest.mark.parametrize("part", ["engine", pytest.param("camera", marks=_slow), pytest.param("disk", marks=_slow)])
def test_what_hangs_starves_the_watchdog(
    tmp_path: Path, sockets: Path, bundle: Bundle, part: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera, disk, engines = Loom(cloth(300), hangs=part == "camera"), FullDisk(), []

    def stuck(*arguments: Any) -> StuckEngine:  # noqa: ANN401
        engines.append(StuckEngine(real(*arguments)))
        return engines[0]

    real = roll_job.open_engine
    if part == "engine":
        monkeypatch.setattr(roll_job, "open_engine", stuck)
    running = Running(tmp_path, sockets, bundle, camera, [disk] if part == "disk" else [])
    try:
        running.peer.listen_until(_is_ready, 5)
        running.peer.listen(1.5)  # one more feed may be due for turns before it hung
        assert _pings(running.peer.listen(WATCHDOG_S)) == 0
    finally:
        for held in (camera, disk, *engines):
            held.let_go.set()
        running.end()


@given(st.lists(st.dictionaries(st.sampled_from("cid"), st.integers(0, 3), min_size=1), max_size=12))
def test_the_watch_says_yes_only_when_every_stage_moved_since_its_last_yes(history: list[dict[str, int]]) -> None:
    watch, last = TurnWatch(), dict.fromkeys("cid", 0)
    for turns in history:
        expected = all(turns[name] != last.get(name, 0) for name in turns)
        assert watch.all_turned(turns) is expected
        last = dict(turns) if expected else last


def _station_file(folder: Path, sockets: Path, bundle: Bundle) -> Path:
    path = folder / "station.toml"
    path.write_text(
        f'station = "loom1"\nroll_id = "R-5"\nbundle = "{bundle.folder}"\n'
        '[camera]\nkind = "loom"\nwidth_px = 200\nends_per_cm = 5\npicks_per_cm = 5\nline_rate_hz = 500\n'
        "block_lines = 50\n[web]\nmm_per_px = 0.5\nmm_per_line = 0.5\nspan = { left_px = 0, right_px = 200 }\n"
        f'[events]\njournal = "journal"\npublish_endpoint = "ipc://{sockets}/e"\nrequest_endpoint = "ipc://{sockets}/r"\n'
        '[output]\nfolder = "."\nreport_wait_s = 7.0\n[inspection]\nstop_drain_s = 3.0\n'
    )
    return path


def test_the_command_tells_its_life(tmp_path: Path, sockets: Path, bundle: Bundle) -> None:
    station = _station_file(tmp_path, sockets, bundle)
    with NotifyPeer(tmp_path) as peer:
        environment = os.environ | {"NOTIFY_SOCKET": peer.address, "WATCHDOG_USEC": str(round(WATCHDOG_S * 1e6))}
        process = glass_edge("run", "--config", station, env=environment)
        try:
            opening = peer.listen_until(_is_ready, 60)
            assert _is_ready(opening[-1])
            running = peer.listen(1.5 * WATCHDOG_S)
            process.send_signal(signal.SIGTERM)
            ending = peer.listen_until(lambda message: "STOPPING" in message, 30)
            err = process.communicate(timeout=60)[1]
        finally:
            process.kill()
    assert process.returncode == 0, err
    assert [message for message in opening if "WATCHDOG" in message] == []
    assert _pings(running) >= 2
    status = [message["STATUS"] for message in running if "STATUS" in message]
    figures = r"(\d+\.\d) m inspected at (\d+\.\d) m/min, 0 defects(, \d+\.\d m not inspected)?"
    said = re.fullmatch(f"ContinuousExecution: roll R-5, {figures}", status[-1])
    assert said is not None, status[-1]
    assert float(said[1]) > 0
    assert 1 < float(said[2]) <= 15.1  # at most 500 lines of 0.5 mm a second
    assert ending[-1]["EXTEND_TIMEOUT_USEC"] == "30000000"  # 3 s to drain, 7 s for a report, 20 s to close


def test_a_station_that_cannot_start_is_never_ready(tmp_path: Path, sockets: Path, bundle: Bundle) -> None:
    station = _station_file(tmp_path, sockets, bundle)
    station.write_text(station.read_text().replace("right_px = 200", "right_px = 2000"))
    with NotifyPeer(tmp_path) as peer:
        process = glass_edge("run", "--config", station, env=os.environ | {"NOTIFY_SOCKET": peer.address})
        err = process.communicate(timeout=60)[1]
        assert process.returncode == 2, err
        assert peer.listen(0.2) == []
