"""Pictures through the inspection once, and its tracker on their scores as often as wanted.

Promises: scores are those of the pipeline as a station runs it; the defects that the tracker makes of them with the
pipeline's own rules are the pipeline's, box for box, or `score_pictures` fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from glass_edge.acquisition.recording import ReplayCamera
from glass_edge.config.engine import EngineSettings
from glass_edge.config.inspection import InspectionSettings
from glass_edge.config.web import WebSettings
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.factory import open_engine
from glass_edge.fabric.defect import Defect, DefectPhase
from glass_edge.fabric.geometry import WebBox, WebScale
from glass_edge.inspection.cloth_place import ClothPlace, PlaceTrack
from glass_edge.inspection.parameters import style_parameters
from glass_edge.inspection.pipeline import InspectionPipeline
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import Fault, QuietSink, Segment
from glass_edge.inspection.tracker import DefectRules, DefectTracker
from glass_edge.service.roll_job import RollJob, check_job


@dataclass(slots=True)
class ScoredPicture:
    """A picture of cloth as the inspection saw it.

    Attributes:
        segment: its place on the web.
        strips: scores as the tracker gets them: smoothed, lower in the selvedge zone.
        reported: boxes of the defects that the pipeline reported at the bundle's threshold, lines of the web.
    """

    segment: Segment
    strips: list[ScoreStrip] = field(default_factory=list)
    reported: list[WebBox] = field(default_factory=list)

    @property
    def lines(self) -> int:
        """Lines that were inspected."""
        return sum(strip.n_lines for strip in self.strips)

    def defects(self, rules: DefectRules, scale: WebScale) -> list[WebBox]:
        """Boxes of the defects that a station with these rules reports; those that merged into others are left out."""
        tracker = DefectTracker(rules, scale, self.strips[0].stride_px)
        places = PlaceTrack()
        places.begin(ClothPlace(self.segment.first_line, self.segment.cloth, self.segment.inspected))
        tracker.begin(self.strips[0].first_line, places, self.strips[0].first_cell)
        reports = [report for strip in self.strips for report in tracker.push(strip)] + tracker.flush()
        return [report.box_px for report in reports if _is_final(report)]

    def on_picture(self, box: WebBox) -> WebBox:
        """A box with its lines counted from the picture's first."""
        first = self.segment.first_line
        return WebBox(box.left_px, box.right_px, box.first_line - first, box.end_line - first)


@dataclass(slots=True)
class _Pictures(QuietSink):
    """Keeps what the pipeline tells."""

    pictures: list[ScoredPicture] = field(default_factory=list)

    def segment_started(self, segment: Segment) -> None:
        """A new picture."""
        self.pictures.append(ScoredPicture(segment))

    def scores(self, strip: ScoreStrip) -> None:
        """Keep the scores."""
        self.pictures[-1].strips.append(strip)

    def defect(self, defect: Defect, crop: object) -> None:
        """Keep the box."""
        if _is_final(defect):
            self.pictures[-1].reported.append(defect.box_px)

    def fault(self, fault: Fault) -> None:
        """Every fault ends the measurement."""
        raise SystemExit(fault.message)


def rules_of(settings: InspectionSettings, threshold_logit: float) -> DefectRules:
    """The tracker's rules of a station with these settings."""
    return DefectRules(
        threshold_logit,
        settings.min_area_mm2,
        settings.gap_mm,
        settings.update_step_mm,
        settings.hysteresis_logit,
        settings.run_gap_mm,
        settings.run_width_mm,
        settings.running_mm,
    )


def roll_job(bundle: Bundle, files: Sequence[Path], mm_per_px: float) -> RollJob:
    """A roll of pictures, each a piece of cloth by itself."""
    job = RollJob(
        roll_id=str(files[0]),
        camera=ReplayCamera(files),
        bundle=bundle,
        web=WebSettings(mm_per_px=mm_per_px, mm_per_line=mm_per_px),
        engine=EngineSettings(),
        inspection=InspectionSettings(crops=False),
        live=False,
    )
    check_job(job)
    return job


def score_pictures(bundle: Bundle, files: Sequence[Path], mm_per_px: float) -> list[ScoredPicture]:
    """Inspect pictures, in the order given.

    Raises:
        SystemExit: the inspection met a fault, or the tracker makes other defects of the scores than the pipeline.
    """
    job = roll_job(bundle, files, mm_per_px)
    sink = _Pictures()
    engine = open_engine(bundle, job.engine)
    style = style_parameters(bundle.manifest, engine, job.inspection)
    pipeline = InspectionPipeline(
        job.camera,
        engine,
        sink,
        roll_id=job.roll_id,
        style=style,
        scale=job.scale,
        cloth=job.cloth,
        selvedge_margin_mm=job.web.selvedge_margin_mm,
        wander_mm=job.web.wander_mm,
        settings=job.inspection,
        live=False,
    )
    with pipeline:
        pipeline.wait()
    rules = rules_of(job.inspection, style.threshold_logit)
    for file, picture in zip(files, sink.pictures, strict=True):
        if picture.defects(rules, job.scale) != picture.reported:
            raise SystemExit(f"{file}: the tracker makes other defects of the scores than the pipeline reported")
    return sink.pictures


def _is_final(defect: Defect) -> bool:
    return defect.phase is DefectPhase.END and defect.merged_into is None
