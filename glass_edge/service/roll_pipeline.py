"""The pipeline of a roll, as a station, a threshold's evidence and a study of detection run it.

Promises: one place says how a job becomes a pipeline, so that what is judged beforehand is what runs on the line; an
engine whose pipeline could not be made is closed.
"""

from __future__ import annotations

from glass_edge.acquisition.camera import Camera
from glass_edge.config.inspection import InspectionSettings
from glass_edge.engine.base import Engine
from glass_edge.inspection.parameters import style_parameters
from glass_edge.inspection.pipeline import InspectionPipeline
from glass_edge.inspection.sink import InspectionSink
from glass_edge.service.roll_job import RollJob


def make_pipeline(job: RollJob, engine: Engine, sink: InspectionSink) -> InspectionPipeline:
    """The pipeline of a job, not started.

    Raises:
        InputError: the parts do not fit each other.
    """
    return InspectionPipeline(
        job.camera,
        engine,
        sink,
        roll_id=job.roll_id,
        style=style_parameters(job.bundle.manifest, engine, job.inspection),
        scale=job.scale,
        cloth=job.cloth,
        selvedge_margin_mm=job.web.selvedge_margin_mm,
        wander_mm=job.web.wander_mm,
        settings=job.inspection,
        live=job.live,
    )


def inspect_once(job: RollJob, sink: InspectionSink, *, camera: Camera, inspection: InspectionSettings) -> None:
    """Inspect a job's cloth outside of a station, to its end.

    Args:
        job: what with.
        sink: told everything.
        camera: what is played instead of the job's camera, or that one.
        inspection: instead of the job's.

    Raises:
        InputError: the parts do not fit each other. GlassEdgeError: a part failed.
    """
    one = RollJob(job.roll_id, camera, job.bundle, job.web, job.engine, inspection, live=False, across=job.across)
    engine = one.open_engine(job.bundle)
    try:
        pipeline = make_pipeline(one, engine, sink)
    except BaseException as error:
        engine.__exit__(type(error), error, error.__traceback__)
        raise
    with pipeline:
        pipeline.wait()
