"""Cloth through the inspection, for planted defects: what was announced and what was inspected.

Promises: the pipeline is that of `replay`, without joining marks in a row; damage and engine failures are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from glass_edge.cli.pod_cloth import PlantedCamera
from glass_edge.cli.replay import FAILURES
from glass_edge.errors import InputError
from glass_edge.fabric.defect import Defect, DefectPhase
from glass_edge.fabric.geometry import WebBox
from glass_edge.inspection.cloth_place import OUTSIDE_LOGIT
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import DefectCrop, Fault, QuietSink, Segment
from glass_edge.service.roll_job import RollJob
from glass_edge.service.roll_pipeline import inspect_once


@dataclass(slots=True)
class Inspected:
    """A stretch of scores without a break: web lines, and the columns that were inspected over all of it."""

    first_line: int
    end_line: int
    left_px: int
    right_px: int

    @property
    def box(self) -> WebBox | None:
        """All of it, None when no column was."""
        return (
            WebBox(self.left_px, self.right_px, self.first_line, self.end_line)
            if self.right_px > self.left_px
            else None
        )


@dataclass(slots=True)
class InspectedCloth(QuietSink):
    """Collects boxes of announced defects, what was inspected, and faults.

    Attributes:
        started: told the first line of each segment.
        found: boxes of defects that have ended, those that merged into others not counted.
        inspected: in the order of the web.
        faults: that mean that cloth was not inspected as it should have been.
    """

    started: Callable[[int], None]
    found: list[WebBox] = field(default_factory=list)
    inspected: list[Inspected] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    _is_new: bool = True

    def segment_started(self, segment: Segment) -> None:
        """A new stretch begins."""
        self._is_new = True
        self.started(segment.first_line)

    def scores(self, strip: ScoreStrip) -> None:
        """Note what was inspected."""
        columns = np.flatnonzero((strip.logits > OUTSIDE_LOGIT).all(axis=0))
        left, right = (0, 0) if not len(columns) else (int(columns[0]), int(columns[-1]) + 1)
        left, right = ((strip.first_cell + cell) * strip.stride_px for cell in (left, right))
        if self._is_new or self.inspected[-1].end_line != strip.first_line:
            self.inspected.append(Inspected(strip.first_line, strip.end_line, left, right))
        else:
            last = self.inspected[-1]
            last.end_line, last.left_px = strip.end_line, max(last.left_px, left)
            last.right_px = min(last.right_px, right)
        self._is_new = False

    def defect(self, defect: Defect, crop: DefectCrop | None) -> None:
        """Keep the box."""
        if defect.phase is DefectPhase.END and defect.merged_into is None:
            self.found.append(defect.box_px)

    def fault(self, fault: Fault) -> None:
        """Keep what matters."""
        if fault.kind in FAILURES:
            self.faults.append(fault.message)


def inspect_cloth(job: RollJob, camera: PlantedCamera, started: Callable[[int], None]) -> InspectedCloth:
    """Inspect what the camera plays.

    Args:
        job: what with; its own camera is not used.
        camera: the cloth.
        started: told the first line of each segment.

    Raises:
        InputError: cloth was not inspected, or nothing was.
    """
    inspection = job.inspection.model_copy(update={"crops": False, "run_gap_mm": 0.0})
    sink = InspectedCloth(started)
    inspect_once(job, sink, camera=camera, inspection=inspection)
    if sink.faults:
        raise InputError(f"{sink.faults[0]}; cloth is needed that is inspected without a fault")
    if not sink.inspected:
        raise InputError("nothing of the cloth was inspected; play it with `glass-edge replay` to see why")
    return sink
