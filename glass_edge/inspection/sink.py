"""What the inspection tells the world.

Promises: all calls come from one thread, in the order of the web (a defect may end after lines behind it were booked,
never before its own); exactly one `roll_started` before and one `roll_ended` after everything of a roll; an exception
raised by a sink ends the inspection and is raised again from `InspectionPipeline.wait`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.camera import CameraFigures
from glass_edge.fabric.defect import Defect
from glass_edge.fabric.geometry import ClothSpan, WebBox
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.coverage import CoverageGap
from glass_edge.inspection.parameters import ActiveEngine
from glass_edge.inspection.score_strip import ScoreStrip


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of cloth without a break, about to be inspected.

    Attributes:
        first_line: web line at which it starts.
        cloth: columns that show cloth, selvedge to selvedge.
        inspected: columns that are scored: the cloth less the selvedge margin.
        source: name of what is played, empty for a camera.
    """

    first_line: int
    cloth: ClothSpan
    inspected: ClothSpan
    source: str


@dataclass(frozen=True, slots=True)
class Fault:
    """Something went wrong that a person should know.

    Attributes:
        kind: stable name: camera, bad_block, overrun, engine_error, non_finite_scores, no_cloth_found, fatal.
        message: what happened and what to do, in a sentence.
        is_fatal: the inspection ends because of it.
    """

    kind: str
    message: str
    is_fatal: bool = False


@dataclass(frozen=True, slots=True)
class DefectCrop:
    """The picture of a defect; a defect longer than the crop limit shows its first part.

    Attributes:
        box_px: what the image shows, in camera columns and web lines.
        image: uint8 (lines, columns) or (lines, columns, 3) RGB.
        logits: float32 (rows, cells), smoothed; cells that were not scored are NaN.
        scores_box_px: what the logits cover: box_px widened to whole cells.
    """

    box_px: WebBox
    image: NDArray[np.uint8]
    logits: NDArray[np.float32]
    scores_box_px: WebBox


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the moment a defect's last line was received to its report."""

    count: int = 0
    mean_s: float = 0.0
    max_s: float = 0.0

    def add(self, seconds: float) -> Latency:
        """With one more measurement."""
        n = self.count + 1
        return Latency(n, self.mean_s + (seconds - self.mean_s) / n, max(self.max_s, seconds))


@dataclass(frozen=True, slots=True)
class Progress:
    """How the inspection is doing.

    Attributes:
        elapsed_s: since the engine was ready.
        lines_received: lines of the blocks that reached the inference thread.
        lines_inspected, lines_missed: booked so far.
        inspected_m: metres of lines_inspected.
        defects: defects found, those that merged into others not counted.
        tiles: tiles scored.
        tiles_per_s: tiles a second of the inference thread's working time (waiting for lines not counted).
        lines_per_s: lines inspected a second of elapsed time.
        block_queue, strip_queue: items waiting before the inference and before the defects thread.
        block_queue_max: most blocks that ever waited.
        latency_new, latency_end: from a defect's last known line to its `new` and its `end`.
        web_m_per_min: speed of the web over the last seconds, lines that were lost included.
        cloth_width_mm: live width; None where a selvedge is out of sight.
        camera: what the camera measures of itself.
    """

    elapsed_s: float = 0.0
    lines_received: int = 0
    lines_inspected: int = 0
    lines_missed: int = 0
    inspected_m: float = 0.0
    defects: int = 0
    tiles: int = 0
    tiles_per_s: float = 0.0
    lines_per_s: float = 0.0
    block_queue: int = 0
    strip_queue: int = 0
    block_queue_max: int = 0
    latency_new: Latency = Latency()
    latency_end: Latency = Latency()
    web_m_per_min: float = 0.0
    cloth_width_mm: float | None = None
    camera: CameraFigures = field(default_factory=CameraFigures)


class InspectionSink(Protocol):
    """Receiver of everything the inspection finds."""

    def roll_started(self, roll: Roll) -> None:
        """The first lines of the roll are here."""

    def segment_started(self, segment: Segment) -> None:
        """A stretch of cloth without a break begins, or goes on with another engine."""

    def engine_changed(self, line: int, engine: ActiveEngine, so_far: RollTotals | None) -> None:
        """Another engine decides from web line `line` on; `so_far` is the open roll up to there, None without one."""

    def scores(self, strip: ScoreStrip) -> None:
        """Smoothed scores, in order and without hole within a segment; not to be written to."""

    def defect(self, defect: Defect, crop: DefectCrop | None) -> None:
        """A defect is new, has grown, or has ended; the picture comes with its end, None if there is none."""

    def coverage_gap(self, gap: CoverageGap) -> None:
        """A stretch of cloth was not inspected."""

    def fault(self, fault: Fault) -> None:
        """Something went wrong."""

    def progress(self, progress: Progress) -> None:
        """How it is going; about once a second, and once at the end."""

    def roll_ended(self, roll: Roll, totals: RollTotals) -> None:
        """Everything of the roll was reported."""


class QuietSink:
    """A sink that ignores everything: a base for sinks that want only some of the calls."""

    def roll_started(self, roll: Roll) -> None:
        """Ignored."""

    def segment_started(self, segment: Segment) -> None:
        """Ignored."""

    def engine_changed(self, line: int, engine: ActiveEngine, so_far: RollTotals | None) -> None:
        """Ignored."""

    def scores(self, strip: ScoreStrip) -> None:
        """Ignored."""

    def defect(self, defect: Defect, crop: DefectCrop | None) -> None:
        """Ignored."""

    def coverage_gap(self, gap: CoverageGap) -> None:
        """Ignored."""

    def fault(self, fault: Fault) -> None:
        """Ignored."""

    def progress(self, progress: Progress) -> None:
        """Ignored."""

    def roll_ended(self, roll: Roll, totals: RollTotals) -> None:
        """Ignored."""
