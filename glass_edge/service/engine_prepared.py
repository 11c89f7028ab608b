"""An engine made ready to take over on a running station.

Promises: what comes back was verified, fits the station, passed its golden tiles on this machine and is warm; an engine
that fails any of it is closed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from glass_edge.engine.base import Engine
from glass_edge.engine.bundle import Bundle, load_bundle
from glass_edge.errors import InputError
from glass_edge.inspection.engine_changes import ReadyEngine
from glass_edge.inspection.parameters import active_engine
from glass_edge.service.engine_slots import EngineName
from glass_edge.service.recipe_book import Recipes
from glass_edge.service.roll_job import RollJob, check_job
from glass_edge.service.roll_judge import JudgeRules

_SAME_SCALE = 0.03  # as `fit_check.limits.scale_across` has it


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """An engine that can take over, or decides, and what comes with it.

    Attributes:
        bundle: its bundle.
        ready: for the inspection.
        rules: grading and stop rules of its style.
        follow: what else belongs to its style, called where it decides; None: nothing.
        because: why the station goes back to it by itself; None: it was asked for.
    """

    bundle: Bundle
    ready: ReadyEngine
    rules: JudgeRules
    follow: Callable[[], None] | None = None
    because: str | None = None

    @property
    def name(self) -> EngineName:
        """Which engine it is."""
        return EngineName.of(self.bundle)


def beginning(job: RollJob, engine: Engine) -> Prepared:
    """The engine that a run begins with, which the inspection enters itself."""
    active = active_engine(job.bundle.manifest, job.bundle.model_sha256, engine, job.inspection)
    return Prepared(job.bundle, ReadyEngine(engine, active, job.cloth), job.judge)


def prepare(job: RollJob, recipes: Recipes, bundle: Bundle) -> Prepared:
    """Verify, open, test and warm an engine.

    Args:
        job: what the run began with.
        recipes: of the station.
        bundle: as it was asked for.

    Raises:
        GlassEdgeError: any of it fails.
    """
    verified = load_bundle(bundle.folder)
    if verified.manifest_sha256 != bundle.manifest_sha256:
        raise InputError(f"{bundle.folder}: the bundle was changed after it was asked for; ask again")
    style = verified.manifest.style
    rules = recipes.rules(style)
    follow = None if recipes.follow is None else recipes.follow(style)
    job = replace(job, bundle=verified, judge=rules)
    check_job(job)
    engine = job.open_engine(verified)
    try:
        active = active_engine(verified.manifest, verified.model_sha256, engine, job.inspection)
        engine.__enter__()
    except BaseException as error:
        engine.__exit__(type(error), error, error.__traceback__)
        raise
    return Prepared(verified, ReadyEngine(engine, active, job.cloth), rules, follow)


def check_scale(job: RollJob, bundle: Bundle) -> None:
    """Raises InputError where a bundle's style was trained at another scale than the station's camera has; the scale of
    the bundle that the station begins with is accepted.
    """
    scale, here = bundle.manifest.mm_per_px, job.web.mm_per_px
    if scale is None or scale == job.bundle.manifest.mm_per_px or abs(scale / here - 1) <= _SAME_SCALE:
        return
    raise InputError(
        f"{bundle.folder}: trained at {scale:g} mm a pixel, and the station's camera sees {here:g} ([web] mm_per_px); "
        "an engine trained on pictures of this camera is needed"
    )
