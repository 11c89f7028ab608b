"""A roll of images or recorded lines, as `replay`, `calibrate threshold` and `pod` play them.

Promises: an option wins over the station file, that over the recording's own scale, and that over the bundle's; what
does not fit is refused before anything plays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glass_edge.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    from glass_edge.acquisition.raw_player import RawPlayer
    from glass_edge.acquisition.recording import ReplayCamera
    from glass_edge.config.inspection import InspectionSettings
    from glass_edge.config.station import StationSettings
    from glass_edge.config.web import WebSettings
    from glass_edge.engine.bundle import Bundle
    from glass_edge.engine.manifest import Manifest
    from glass_edge.service.roll_job import RollJob


@dataclass(frozen=True, slots=True)
class Played:
    """What is played and how.

    Attributes:
        places: images, folders of them, or one recording.
        joined: the images are consecutive scans of one web.
        line_rate_hz: None: the station file's, else as fast as they are read.
        mm_per_px, mm_per_line: None: not given.
    """

    places: tuple[Path, ...]
    joined: bool = False
    line_rate_hz: float | None = None
    mm_per_px: float | None = None
    mm_per_line: float | None = None


def replay_job(
    played: Played,
    bundle: Bundle,
    settings: StationSettings | None,
    *,
    roll_id: str,
    threshold: float | None = None,
    is_graded: bool = False,
) -> RollJob:
    """The roll to inspect, checked.

    Args:
        played: what is played.
        bundle: verified bundle.
        settings: the station's; None: defaults.
        roll_id: name of the roll.
        threshold: alarm threshold instead of the station's or the bundle's, logits.
        is_graded: with the station's grading, stop rules and reports.

    Raises:
        InputError: an option, the images or the recording do not fit.
    """
    from glass_edge.acquisition.raw_player import RawPlayer
    from glass_edge.cli.joined import lens_map
    from glass_edge.cli.judging import judge_rules
    from glass_edge.config.engine import EngineSettings
    from glass_edge.service.roll_job import RollJob, check_job
    from glass_edge.service.roll_judge import JudgeRules

    camera = _camera(played, settings)
    mm_per_px, mm_per_line = played.mm_per_px, played.mm_per_line
    if isinstance(camera, RawPlayer) and settings is None and mm_per_px is None:
        mm_per_px, mm_per_line = camera.header.mm_per_px, mm_per_line or camera.header.mm_per_line
    has_scale = settings is not None and played.mm_per_px is None
    job = RollJob(
        roll_id=roll_id,
        camera=camera,
        bundle=bundle,
        web=_web(settings, bundle.manifest, mm_per_px, mm_per_line),
        engine=settings.engine if settings else EngineSettings(),
        inspection=_inspection(settings, threshold),
        live=False,
        judge=judge_rules(settings, bundle.manifest.style) if is_graded else JudgeRules(),
        report_table=settings.grading.table if settings is not None and is_graded else None,
        across=lens_map(settings.web, camera) if settings is not None and has_scale else None,
    )
    check_job(job)
    return job


def _camera(played: Played, settings: StationSettings | None) -> ReplayCamera | RawPlayer:
    """A recording of raw lines, or images."""
    from glass_edge.acquisition.raw_player import RawPlayer, is_recording
    from glass_edge.acquisition.recording import ReplayCamera
    from glass_edge.config.camera import ReplayCameraSettings

    line_rate_hz = played.line_rate_hz
    recordings = [place for place in played.places if is_recording(place)]
    if recordings:
        if len(played.places) > 1:
            raise InputError(f"{recordings[0]}: a recording is played by itself; leave the other places out")
        return RawPlayer(recordings[0], line_rate_hz=line_rate_hz)
    recorded = settings.camera if settings and isinstance(settings.camera, ReplayCameraSettings) else None
    return ReplayCamera(
        list(played.places),
        separate=not played.joined,
        line_rate_hz=line_rate_hz if line_rate_hz is not None else recorded.line_rate_hz if recorded else None,
        block_lines=recorded.block_lines if recorded else 256,
        channels=recorded.channels if recorded else None,
        full_scale_16bit=recorded.full_scale_16bit if recorded else None,
    )


def _web(
    settings: StationSettings | None, manifest: Manifest, mm_per_px: float | None, mm_per_line: float | None
) -> WebSettings:
    """Scale and span: an option wins over the station file, and that over the bundle."""
    from pydantic import ValidationError

    from glass_edge.config.web import WebSettings

    known = settings.web.model_dump() if settings else {}
    if mm_per_px is None and not known:
        mm_per_px = manifest.mm_per_px
        if mm_per_px is None:
            raise InputError(
                f"how wide is a pixel on the cloth? The bundle of style {manifest.style} does not know it: give "
                "--mm-per-px (positions and sizes are told in mm), or a station file"
            )
    if mm_per_px is not None:
        known["mm_per_px"] = mm_per_px
        known["mm_per_line"] = mm_per_px if mm_per_line is None else mm_per_line
    elif mm_per_line is not None:
        known["mm_per_line"] = mm_per_line
    try:
        return WebSettings.model_validate(known)
    except ValidationError as error:
        problems = error.errors()
        names = ("--" + "-".join(map(str, one["loc"])).replace("_", "-") for one in problems)
        lines = [f"{name} {one['input']}: {one['msg']}" for name, one in zip(names, problems, strict=True)]
        raise InputError("\n".join(lines)) from error


def _inspection(settings: StationSettings | None, threshold: float | None) -> InspectionSettings:
    from glass_edge.config.inspection import InspectionSettings

    inspection = settings.inspection if settings else InspectionSettings()
    if threshold is None:
        return inspection
    if not math.isfinite(threshold):
        raise InputError(f"--threshold {threshold}: a finite logit is needed")
    return inspection.model_copy(update={"threshold_logit": threshold})
