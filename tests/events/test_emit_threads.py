"""No thread of the inspection waits on a socket: a real station among peers that mean no good."""

from __future__ import annotations

import statistics
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import zmq
from events_support import ipc_settings, numbered

sys.path.append(str(Path(__file__).parents[1] / "service"))
sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import event_peers
from station_support import journal_events, make_bundle, save, spotted

from glass_edge.acquisition.recording import ReplayCamera
from glass_edge.config.engine import EngineSettings
from glass_edge.config.events import EventSettings
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.output import OutputSettings
from glass_edge.config.web import WebSettings
from glass_edge.events.publisher import Publisher
from glass_edge.service.roll_job import RollJob
from glass_edge.service.station import Station

INSPECTION = {"camera", "inference", "defects"}
PUBLISHER = "events-publisher"
LINES, LINE_RATE_HZ = 3200, 800


class Audit:
    """Which threads call ZeroMQ, who emits and how long that takes, and where the inspection's threads are seen."""

    def __init__(self) -> None:
        self.zmq_calls: Counter[tuple[str, str]] = Counter()
        self.emits: list[tuple[str, float, float]] = []
        self.seen: Counter[str] = Counter()
        self.seen_in_zmq: set[str] = set()
        self._stop = threading.Event()

    def watch(self, patch: pytest.MonkeyPatch) -> None:
        """Wrap everything of a socket, poller and context that can be called, and `emit_all`."""
        for owner in (zmq.Socket, zmq.Poller, zmq.Context):
            for name in dir(owner):
                method = getattr(owner, name)
                if callable(method) and (not name.startswith("_") or name in ("__init__", "__enter__", "__exit__")):
                    patch.setattr(owner, name, self._counted(f"{owner.__name__}.{name}", method))
        emit_all = Publisher.emit_all

        def timed(publisher: Publisher, drafts: Any) -> Any:  # noqa: ANN401 - passed on
            started_s = time.perf_counter()
            try:
                return emit_all(publisher, drafts)
            finally:
                self.emits.append((threading.current_thread().name, started_s, time.perf_counter() - started_s))

        patch.setattr(Publisher, "emit_all", timed)

    def _counted(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*values: Any, **named: Any) -> Any:  # noqa: ANN401 - passed on
            self.zmq_calls[threading.current_thread().name, name] += 1
            return method(*values, **named)

        return counted

    @contextmanager
    def sampling(self) -> Iterator[None]:
        """Look at the stacks of the inspection's threads every few milliseconds."""
        sampler = threading.Thread(target=self._sample)
        sampler.start()
        try:
            yield
        finally:
            self._stop.set()
            sampler.join()

    def _sample(self) -> None:
        while not self._stop.wait(0.003):
            names = {thread.ident: thread.name for thread in threading.enumerate()}
            for ident, innermost in sys._current_frames().items():
                name = names.get(ident, "")
                if name in INSPECTION:
                    self.seen[name] += 1
                    frame: FrameType | None = innermost
                    while frame is not None:
                        if "/zmq/" in frame.f_code.co_filename:
                            self.seen_in_zmq.add(name)
                        frame = frame.f_back


def among(station: Publisher) -> AbstractContextManager[None]:
    endpoints = station.publish_endpoint, station.request_endpoint
    return event_peers.at_work(*endpoints, "stalled", "greedy", "deaf", "flooding")


def test_the_inspection_makes_no_call_of_zeromq(
    short_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make_bundle(tmp_path / "engines")
    spots = [(line, column) for line in range(60, LINES - 60, 40) for column in (50, 120)]
    save(tmp_path / "i" / "1.png", spotted(LINES, spots))
    camera = ReplayCamera(tmp_path / "i", block_lines=50, line_rate_hz=LINE_RATE_HZ)
    web = WebSettings(mm_per_px=0.5, mm_per_line=0.25, span={"left_px": 0, "right_px": 200})
    engine = EngineSettings(precision="f32", threads=1)
    inspection = InspectionSettings(read_timeout_s=0.02, gap_mm=0.0, crops=False)
    job = RollJob("R-1", camera, bundle, web, engine, inspection, live=False)
    events = EventSettings(
        journal=tmp_path / "events.journal",
        publish_endpoint=f"ipc://{short_path}/e",
        request_endpoint=f"ipc://{short_path}/r",
        high_water_mark=10,
    )
    audit = Audit()
    audit.watch(monkeypatch)
    with (
        Station("loom1", events, OutputSettings(folder=tmp_path), is_simulated=True) as station,
        among(station.publisher),
        audit.sampling(),
    ):
        report = station.inspect(job)
    told = journal_events(tmp_path / "events.journal")
    assert report.totals.defects == len(spots)
    assert len(told) == len(audit.emits) > 2 * len(spots)
    emitting = Counter(name for name, _, _ in audit.emits)
    assert emitting["defects"] > 2 * len(spots)  # it was the inspection that emitted
    callers = {thread for thread, _ in audit.zmq_calls}
    assert callers == {PUBLISHER}
    assert audit.zmq_calls[PUBLISHER, "Socket.send_multipart"] > len(told)  # the audit sees what there is to see
    assert set(audit.seen) == INSPECTION
    assert min(audit.seen.values()) > 100
    assert audit.seen_in_zmq == set()


def test_emit_takes_no_longer_among_such_peers(short_path: Path) -> None:
    """Medians, and loosely: the machine of the tests is shared. benchmarks/hostile_peers.py has the figures."""

    def median_s(publisher: Publisher) -> float:
        times = []
        for number in range(150):
            started_s = time.perf_counter()
            publisher.emit(numbered(number))
            times.append(time.perf_counter() - started_s)
            time.sleep(0.005)
        return statistics.median(times)

    with Publisher(ipc_settings(short_path, high_water_mark=10), "loom1") as publisher:
        before_s = median_s(publisher)
        with among(publisher):
            during_s = median_s(publisher)
    assert during_s < 10 * before_s + 0.05, f"{before_s * 1e3:.1f} ms before, {during_s * 1e3:.1f} ms during"
