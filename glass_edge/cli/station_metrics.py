"""The metrics of a station that runs, where its file asks for them.

Promises: without `[metrics] port` nothing is opened; with it the page answers from before the first line to the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from glass_edge.config.station import StationSettings
    from glass_edge.inspection.sink import InspectionSink
    from glass_edge.service.box_metrics import AdapterFigures
    from glass_edge.service.roll_job import RollJob


@contextmanager
def station_metrics(settings: StationSettings, job: RollJob) -> Iterator[tuple[RollJob, list[InspectionSink]]]:
    """The job as it is to be run, and who watches it for the metrics.

    Raises:
        InputError: the port cannot be bound.
    """
    if settings.metrics.port is None:
        yield job, []
        return
    from prometheus_client import CollectorRegistry

    from glass_edge import __version__
    from glass_edge.inspection.parameters import promised_per_100m
    from glass_edge.service.box_metrics import BoxCollector
    from glass_edge.service.metrics import MetricsSink, StationMetrics
    from glass_edge.service.metrics_server import MetricsServer

    registry = CollectorRegistry()
    metrics = StationMetrics(registry, __version__)
    disks = {"journal": settings.events.journal.parent, "pictures": settings.output.folder}
    registry.register(BoxCollector(settings.events.journal, disks, lambda: _adapters(settings.metrics.adapter_folders)))
    sink = MetricsSink(metrics, settings.web.mm_per_line)
    threshold = settings.inspection.threshold_logit
    manifest = job.bundle.manifest
    sink.decides(
        manifest.threshold.logit if threshold is None else threshold, promised_per_100m(manifest, job.inspection)
    )
    with MetricsServer(registry, settings.metrics.port):
        yield replace(job, observe_inference_s=metrics.inference_s.observe), [sink]


def _adapters(folders: tuple[Path, ...]) -> list[AdapterFigures]:
    from glass_edge.adapters.status_file import AdapterState, read_status
    from glass_edge.service.box_metrics import AdapterFigures

    figures = []
    for folder in folders:
        now = read_status(folder / "status.json")
        age_s = (datetime.now(UTC) - now.written_utc).total_seconds()
        figures.append(AdapterFigures(now.adapter, now.seq, age_s, now.state is AdapterState.FOLLOWING))
    return figures
