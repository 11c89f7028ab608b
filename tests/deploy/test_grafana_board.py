"""Every query of the board asks for metrics that a station has, and a real Prometheus answers it."""

from __future__ import annotations

import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from glass_edge.acquisition.camera import CameraFigures
from glass_edge.events.drafts import DraftMaker
from glass_edge.events.journal import Journal
from glass_edge.events.payloads import StationState
from glass_edge.fabric.geometry import WebScale
from glass_edge.inspection.coverage import CoverageGap, GapReason
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import Fault, Latency, Progress
from glass_edge.service.box_metrics import AdapterFigures, BoxCollector
from glass_edge.service.metrics import MetricsSink, StationMetrics
from glass_edge.service.metrics_server import MetricsServer

DEPLOY = Path(__file__).resolve().parents[2] / "deploy" / "grafana"
BOARD = json.loads((DEPLOY / "glass-edge.json").read_text())
EXPRESSIONS = [target["expr"] for panel in BOARD["panels"] for target in panel["targets"]]


@pytest.fixture(scope="module")
def station(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[MetricsServer, MetricsSink]]:
    folder = tmp_path_factory.mktemp("station")
    zone = folder / "thermal_zone0"
    zone.mkdir()
    (zone / "type").write_text("cpu\n")
    (zone / "temp").write_text("50000\n")
    registry = CollectorRegistry()
    metrics = StationMetrics(registry, "1.0")
    metrics.threshold.set(2.5)
    metrics.promised.set(0.5)
    metrics.inference_s.observe(0.02)
    sink = MetricsSink(metrics, mm_per_line=0.1)
    sink.fault(Fault("camera", "cable"))
    sink.coverage_gap(CoverageGap(0, 10, GapReason.BAD_BLOCK, 0.0, 1.0))
    sink.scores(ScoreStrip(0, 8, 1, 0, np.zeros((8, 8), np.float32)))
    sink.progress(Progress())
    with Journal(folder / "j", "loom-1") as journal:
        journal.append(DraftMaker(None, WebScale(1, 1), True).status(StationState.READY))
        adapters = [AdapterFigures("mes", 1, 0.5, True)]
        registry.register(BoxCollector(journal.path, {"journal": folder}, lambda: adapters, thermal=folder))
        with MetricsServer(registry, 0) as server:
            yield server, sink


def test_every_metric_asked_for_is_one_a_station_shows(station: tuple[MetricsServer, MetricsSink]) -> None:
    with urllib.request.urlopen(station[0].url, timeout=5) as answer:
        shown = set(re.findall(r"^(glass_edge_\w+)", answer.read().decode(), re.MULTILINE))
    asked = {name for expression in EXPRESSIONS for name in re.findall(r"glass_edge_\w+", expression)}
    assert len(asked) > 20
    assert asked <= shown


def test_each_panel_has_its_own_place() -> None:
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in BOARD["panels"]]
    assert len(set(places)) == len(places) == len({panel["title"] for panel in BOARD["panels"]})


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _ask(port: int, query: str) -> list[Any]:
    text = urllib.parse.urlencode({"query": query})
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/v1/query?{text}", timeout=5) as answer:
        document = json.load(answer)
    assert document["status"] == "success", document
    return list(document["data"]["result"])


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs the Debian package prometheus")
def test_a_real_prometheus_answers_every_query(station: tuple[MetricsServer, MetricsSink], tmp_path: Path) -> None:
    server, sink = station
    text = (DEPLOY / "prometheus.yml").read_text().replace("15s", "1s")
    text = text.replace("127.0.0.1:9464", server.url.removeprefix("http://").removesuffix("/metrics"))
    (tmp_path / "prometheus.yml").write_text(text)
    port = _free_port()
    command = ["prometheus", f"--config.file={tmp_path}/prometheus.yml", f"--storage.tsdb.path={tmp_path}/data"]
    with (tmp_path / "log").open("w") as log:
        running = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log)
    try:
        lines = 0
        deadline_s = time.monotonic() + 60
        empty = list(EXPRESSIONS)
        while empty and time.monotonic() < deadline_s:
            lines += 1000
            figures = CameraFigures(line_rate_hz=1000.0, exposure_headroom=0.4)
            sink.progress(
                Progress(lines_inspected=lines, tiles=lines // 100, latency_new=Latency(1, 0.2, 0.2), camera=figures)
            )
            time.sleep(0.5)
            try:
                empty = [one for one in empty if not _ask(port, one.replace("$station", "sample"))]
            except (urllib.error.URLError, ConnectionError):
                continue  # it is starting
        assert not empty, (tmp_path / "log").read_text()[-2000:]
    finally:
        running.terminate()
        running.wait(20)
