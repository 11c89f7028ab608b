"""The figures of a station for Prometheus.

Promises: counters only grow while the station runs, over all its rolls; lines inspected and lines missed add up to the
lines woven at every roll's end; nothing here waits for anything, so the inspection is not held up.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from glass_edge.fabric.defect import Defect, DefectPhase
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.coverage import CoverageGap
from glass_edge.inspection.parameters import ActiveEngine
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import DefectCrop, Fault, Latency, Progress, QuietSink

QUANTILES = (0.5, 0.9, 0.99, 0.999)
_INFERENCE_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
_SCORES_KEPT = 65536
_SCORES_A_STRIP = 2048


class StationMetrics:
    """The metrics, all named `glass_edge_*`.

    Args:
        registry: where they are shown; which station it is says the label of the scraper's target.
        version: of the program.
    """

    def __init__(self, registry: CollectorRegistry, version: str) -> None:
        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"glass_edge_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"glass_edge_{name}", text, labels, registry=registry)

        gauge("station_info", "1; its label says what runs", "version").labels(version).set(1)
        self.lines_inspected = counter("lines_inspected", "Camera lines inspected")
        self.lines_missed = counter("lines_missed", "Camera lines not inspected, by reason", "reason")
        self.metres_inspected = counter("inspected_metres", "Metres of cloth inspected")
        self.tiles = counter("tiles", "Tiles scored")
        self.defects = counter("defects", "Defects that began, less those that grew together with another")
        self.merged = counter("defects_merged", "Defects that grew together with another")
        self.faults = counter("faults", "Faults told, by kind", "kind")
        self.rolls = counter("rolls", "Rolls ended")
        self.tiles_per_s = gauge("tiles_per_second", "Tiles a second of the inference thread's working time")
        self.block_queue = gauge("block_queue", "Blocks that wait for the inference thread")
        self.block_queue_max = gauge("block_queue_max", "Most blocks that ever waited on this run")
        self.strip_queue = gauge("strip_queue", "Messages that wait for the defects thread")
        self.web_m_per_min = gauge("web_metres_per_minute", "Speed of the cloth")
        self.cloth_width_mm = gauge("cloth_width_mm", "Live width of the cloth; NaN where a selvedge is out of sight")
        self.latency_new_s = gauge("defect_new_seconds_max", "Longest way of a defect's line to its report, this run")
        self.latency_mean_s = gauge("defect_new_seconds_mean", "Mean of it")
        self.scores = gauge("score_logit", "Quantiles of the latest smoothed scores, logits", "quantile")
        self.threshold = gauge("threshold_logit", "Threshold of the active engine, logits")
        self.promised = gauge("promised_alarms_per_100m", "False alarms the engine promises at most; NaN: it does not")
        self.exposure_headroom = gauge("exposure_headroom", "Part of a line's time left by the exposure; NaN: unknown")
        self.line_rate_hz = gauge("camera_lines_per_second", "Lines a second by the camera's clock; NaN: it has none")
        self.inference_s = Histogram(
            "glass_edge_inference_seconds",
            "From the submission of a batch of tiles to its scores",
            buckets=_INFERENCE_BUCKETS_S,
            registry=registry,
        )


class _ScoreRing:
    """The latest scores, thinned out evenly; float32."""

    def __init__(self) -> None:
        self._values: NDArray[np.float32] = np.empty(_SCORES_KEPT, np.float32)
        self._count = 0

    def put(self, logits: NDArray[np.float32]) -> None:
        flat = logits.ravel()
        flat = flat[np.isfinite(flat)]  # cells that lie beside the cloth are NaN
        flat = flat[:: max(1, len(flat) // _SCORES_A_STRIP)][:_SCORES_KEPT]
        at = self._count % _SCORES_KEPT
        head = flat[: _SCORES_KEPT - at]
        self._values[at : at + len(head)] = head
        self._values[: len(flat) - len(head)] = flat[len(head) :]
        self._count += len(flat)

    def quantiles(self) -> NDArray[np.float64] | None:
        kept = self._values[: min(self._count, _SCORES_KEPT)]
        return np.quantile(kept, QUANTILES).astype(np.float64) if len(kept) else None


class MetricsSink(QuietSink):
    """Keeps the metrics of a running inspection; one for each run.

    Args:
        metrics: what is kept.
        mm_per_line: advance of the cloth between two camera lines, mm.
    """

    def __init__(self, metrics: StationMetrics, mm_per_line: float) -> None:
        self._metrics = metrics
        self._mm_per_line = mm_per_line
        self._scores = _ScoreRing()
        self._inspected = 0  # lines of the open roll that are counted already
        self._tiles = 0

    def engine_changed(self, line: int, engine: ActiveEngine, so_far: RollTotals | None) -> None:
        """Its threshold and promise."""
        del line, so_far
        self.decides(engine.parameters.threshold_logit, engine.promised_per_100m)

    def decides(self, threshold_logit: float, promised_per_100m: float | None) -> None:
        """Threshold and promise of the engine that decides."""
        self._metrics.threshold.set(threshold_logit)
        self._metrics.promised.set(_number(promised_per_100m))

    def scores(self, strip: ScoreStrip) -> None:
        """Into the quantiles."""
        self._scores.put(strip.logits)

    def defect(self, defect: Defect, crop: DefectCrop | None) -> None:
        """Counted when it begins."""
        del crop
        if defect.phase is DefectPhase.NEW:
            self._metrics.defects.inc()
        elif defect.merged_into is not None:
            self._metrics.merged.inc()

    def coverage_gap(self, gap: CoverageGap) -> None:
        """Counted by its reason."""
        self._metrics.lines_missed.labels(gap.reason.value).inc(gap.end_line - gap.first_line)

    def fault(self, fault: Fault) -> None:
        """Counted by its kind."""
        self._metrics.faults.labels(fault.kind).inc()

    def progress(self, progress: Progress) -> None:
        """All that is told about once a second."""
        shown = self._metrics
        self._count_lines(progress.lines_inspected)
        shown.tiles.inc(max(0, progress.tiles - self._tiles))
        self._tiles = progress.tiles
        shown.tiles_per_s.set(progress.tiles_per_s)
        shown.block_queue.set(progress.block_queue)
        shown.block_queue_max.set(progress.block_queue_max)
        shown.strip_queue.set(progress.strip_queue)
        shown.web_m_per_min.set(progress.web_m_per_min)
        shown.cloth_width_mm.set(_number(progress.cloth_width_mm))
        shown.exposure_headroom.set(_number(progress.camera.exposure_headroom))
        shown.line_rate_hz.set(_number(progress.camera.line_rate_hz))
        self._latency(progress.latency_new)
        quantiles = self._scores.quantiles()
        for name, value in zip(QUANTILES, () if quantiles is None else quantiles, strict=False):
            shown.scores.labels(str(name)).set(value)

    def roll_ended(self, roll: Roll, totals: RollTotals) -> None:
        """Counted, with what the last progress did not tell of."""
        del roll
        self._count_lines(totals.lines_inspected)
        self._inspected = 0
        self._metrics.rolls.inc()

    def _count_lines(self, of_roll: int) -> None:
        more = max(0, of_roll - self._inspected)
        self._inspected = of_roll
        self._metrics.lines_inspected.inc(more)
        self._metrics.metres_inspected.inc(more * self._mm_per_line / 1000)

    def _latency(self, latency: Latency) -> None:
        if latency.count:
            self._metrics.latency_new_s.set(latency.max_s)
            self._metrics.latency_mean_s.set(latency.mean_s)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value
