"""Several receivers of what the inspection finds.

Promises: every receiver gets every call, in the order of the list; an exception of one stops the inspection, as that of
a single receiver does.
"""

from __future__ import annotations

from collections.abc import Sequence

from glass_edge.fabric.defect import Defect
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.coverage import CoverageGap
from glass_edge.inspection.parameters import ActiveEngine
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import DefectCrop, Fault, InspectionSink, Progress, Segment


class FanOutSink:
    """Hands every call on to `sinks`."""

    def __init__(self, sinks: Sequence[InspectionSink]) -> None:
        self._sinks = tuple(sinks)

    def roll_started(self, roll: Roll) -> None:
        """Handed on."""
        for sink in self._sinks:
            sink.roll_started(roll)

    def segment_started(self, segment: Segment) -> None:
        """Handed on."""
        for sink in self._sinks:
            sink.segment_started(segment)

    def engine_changed(self, line: int, engine: ActiveEngine, so_far: RollTotals | None) -> None:
        """Handed on."""
        for sink in self._sinks:
            sink.engine_changed(line, engine, so_far)

    def scores(self, strip: ScoreStrip) -> None:
        """Handed on."""
        for sink in self._sinks:
            sink.scores(strip)

    def defect(self, defect: Defect, crop: DefectCrop | None) -> None:
        """Handed on."""
        for sink in self._sinks:
            sink.defect(defect, crop)

    def coverage_gap(self, gap: CoverageGap) -> None:
        """Handed on."""
        for sink in self._sinks:
            sink.coverage_gap(gap)

    def fault(self, fault: Fault) -> None:
        """Handed on."""
        for sink in self._sinks:
            sink.fault(fault)

    def progress(self, progress: Progress) -> None:
        """Handed on."""
        for sink in self._sinks:
            sink.progress(progress)

    def roll_ended(self, roll: Roll, totals: RollTotals) -> None:
        """Handed on."""
        for sink in self._sinks:
            sink.roll_ended(roll, totals)
