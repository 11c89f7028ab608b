"""Ten kilometres of web with injected scores: memory stays flat, whatever goes on for ever."""

from __future__ import annotations

import importlib
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from glass_edge.fabric.defect import Defect, DefectPhase
from glass_edge.fabric.geometry import WebScale
from glass_edge.inspection.sink import DefectCrop, QuietSink

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
MM_PER_LINE, STRIDE, CELLS = 0.1, 4, 120
KILOMETRE_LINES = 10_000_000


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("endless_scores")
    sys.modules.pop("endless_scores", None)


class Counter(QuietSink):
    def __init__(self) -> None:
        self.ends = self.news = 0
        self.running: list[float] = []
        self.peak_kb: list[int] = []

    def defect(self, defect: Defect, crop: DefectCrop | None) -> None:
        del crop
        self.news += defect.phase is DefectPhase.NEW
        self.ends += defect.phase is DefectPhase.END
        if defect.is_running and defect.box_mm.length_mm > 1e5:
            self.running.append(defect.box_mm.length_mm)

    def scores(self, strip: object) -> None:
        if strip.end_line // KILOMETRE_LINES != strip.first_line // KILOMETRE_LINES:  # type: ignore[attr-defined]
            self.peak_kb.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_is_flat_and_a_line_of_ten_kilometres_is_one_defect(endless: object) -> None:
    rows_per_m = round(1000 / MM_PER_LINE / STRIDE)
    scores = endless.Scores(CELLS, rows_per_m, with_running=True)  # type: ignore[attr-defined]
    feed = endless.Feed(scores, CELLS, 10 * KILOMETRE_LINES, 560)  # type: ignore[attr-defined]
    sink = Counter()
    scale = WebScale(0.1, MM_PER_LINE)
    stage = endless.defect_stage(feed, sink, scale, progress_s=5.0, crop_memory_mb=8)  # type: ignore[attr-defined]
    stage.run()
    assert sink.peak_kb[-1] - sink.peak_kb[0] < 8 * 1024  # from the first kilometre to the last
    assert sink.news == sink.ends
    assert sink.running[-1] == pytest.approx(1e7, rel=1e-4)
    assert sink.running == sorted(sink.running)
    assert stage.totals.lines_inspected >= 10 * KILOMETRE_LINES
    assert 8_000 < stage.totals.defects < 8_800  # a spot a metre; those near the endless line are part of it
