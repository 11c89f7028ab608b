"""The metrics of an inspection against its own totals, and the page as a scraper reads it."""

from __future__ import annotations

import socket
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from glass_edge.errors import InputError
from glass_edge.events.drafts import DraftMaker
from glass_edge.events.journal import Journal
from glass_edge.events.payloads import StationState
from glass_edge.fabric.geometry import WebScale
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.coverage import CoverageGap, GapReason
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import Fault, Progress
from glass_edge.service.box_metrics import AdapterFigures, BoxCollector
from glass_edge.service.metrics import QUANTILES, MetricsSink, StationMetrics
from glass_edge.service.metrics_server import MetricsServer


def _page(url: str) -> dict[tuple[str, str], float]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        text = answer.read().decode()
    return {
        (sample.name, ",".join(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_lines_of_all_rolls_add_up() -> None:
    registry = CollectorRegistry()
    sink = MetricsSink(StationMetrics(registry, "1.0"), mm_per_line=0.5)
    for number, roll_lines in enumerate((1000, 700)):
        sink.progress(Progress(lines_inspected=400, tiles=10 * number + 7))
        sink.coverage_gap(CoverageGap(0, 30, GapReason.BAD_BLOCK, 0.0, 15.0))
        sink.roll_ended(Roll("a", "s", 0), RollTotals(roll_lines, roll_lines - 30, 30, 0))
        sink.progress(Progress(lines_inspected=0, tiles=10 * number + 9))
    assert registry.get_sample_value("glass_edge_lines_inspected_total") == 970 + 670
    assert registry.get_sample_value("glass_edge_inspected_metres_total") == pytest.approx(0.82)
    assert registry.get_sample_value("glass_edge_lines_missed_total", {"reason": "bad_block"}) == 60
    assert registry.get_sample_value("glass_edge_rolls_total") == 2
    assert registry.get_sample_value("glass_edge_tiles_total") == 19


def test_quantiles_are_those_of_the_latest_scores() -> None:
    registry = CollectorRegistry()
    sink = MetricsSink(StationMetrics(registry, "1.0"), mm_per_line=0.5)
    random = np.random.default_rng(7)
    old, new = random.normal(50, 1, (64, 1024)), random.normal(-3, 2, (4096, 64))
    new[:, :4] = np.nan  # beside the cloth
    sink.scores(ScoreStrip(0, 64, 1, 0, old.astype(np.float32)))
    for row in range(0, 4096, 32):
        sink.scores(ScoreStrip(row, row + 32, 1, 0, new[row : row + 32].astype(np.float32)))
    sink.progress(Progress())
    for quantile in QUANTILES[:3]:
        shown = registry.get_sample_value("glass_edge_score_logit", {"quantile": str(quantile)})
        assert shown == pytest.approx(np.nanquantile(new, quantile), abs=0.25)


def test_the_page_shows_the_box_and_the_faults(tmp_path: Path) -> None:
    zone = tmp_path / "thermal_zone0"
    zone.mkdir()
    (zone / "type").write_text("x86_pkg_temp\n")
    (zone / "temp").write_text("61500\n")
    registry = CollectorRegistry()
    metrics = StationMetrics(registry, "1.0")
    adapters = [AdapterFigures("mes", 2, 0.5, True), AdapterFigures("plc", None, 99.0, False)]
    with Journal(tmp_path / "j", "loom-1") as journal:
        for _ in range(3):
            journal.append(DraftMaker(None, WebScale(1, 1), True).status(StationState.READY))
        registry.register(BoxCollector(journal.path, {"journal": tmp_path}, lambda: adapters, thermal=tmp_path))
        MetricsSink(metrics, 0.5).fault(Fault("camera", "cable"))
        with MetricsServer(registry, 0) as server:
            page = _page(server.url)
            with pytest.raises(InputError, match=r"metrics\.port = \d+: cannot be bound"):
                MetricsServer(registry, int(server.url.split(":")[2].split("/")[0])).__enter__()
    assert page["glass_edge_journal_head", ""] == 3
    assert page["glass_edge_journal_oldest", ""] == 1
    assert page["glass_edge_temperature_celsius", "thermal_zone0:x86_pkg_temp"] == 61.5
    assert page["glass_edge_disk_free_bytes", "journal"] > 0
    assert page["glass_edge_adapter_seq", "mes"] == 2
    assert ("glass_edge_adapter_seq", "plc") not in page
    assert (page["glass_edge_adapter_following", "mes"], page["glass_edge_adapter_following", "plc"]) == (1, 0)
    assert page["glass_edge_faults_total", "camera"] == 1
    assert page["glass_edge_station_info", "1.0"] == 1
    assert page["glass_edge_unreadable_total", ""] == 0


def test_what_cannot_be_read_is_missing_and_counted(tmp_path: Path) -> None:
    def broken() -> list[AdapterFigures]:
        raise InputError("status.json: is no state of an adapter")

    registry = CollectorRegistry()
    registry.register(BoxCollector(tmp_path / "none", {"crops": tmp_path / "away"}, broken, thermal=tmp_path))
    with MetricsServer(registry, 0) as server:
        page = _page(server.url)
        port = int(server.url.split(":")[2].split("/")[0])
    assert page == {("glass_edge_unreadable_total", ""): 3}
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0
