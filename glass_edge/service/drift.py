"""What a run needs so that drift is seen.

Promises: see the parts: `drift_camera` measures pictures, `drift_record` tells the figures of a roll, `drift_watch`
looks at the charts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from glass_edge.config.drift import DriftSettings
from glass_edge.events.schema import Draft, Event
from glass_edge.service.drift_camera import DriftCamera
from glass_edge.service.drift_record import Decider, FiguresSink
from glass_edge.service.roll_job import RollJob


def with_figures(
    job: RollJob,
    settings: DriftSettings,
    emit: Callable[[Draft], Event],
    *,
    threshold_logit: float,
    is_simulated: bool,
) -> tuple[RollJob, FiguresSink]:
    """The job with a camera whose pictures are measured, and the sink that tells figures.

    Args:
        job: to be run.
        settings: table `[drift]`.
        emit: keeps and publishes a draft.
        threshold_logit: of the engine it begins with.
        is_simulated: True for replays and simulated looms.
    """
    camera = DriftCamera(job.camera, settings, mm_per_line=job.web.mm_per_line, span=job.fixed_span)
    decider = Decider(job.bundle.model_sha256, threshold_logit)
    figures = FiguresSink(emit, camera, settings, scale=job.scale, decider=decider, is_simulated=is_simulated)
    return replace(job, camera=camera), figures
