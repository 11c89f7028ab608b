"""An engine in a minute: the Mahalanobis map of the first good cloth, fitted and built in one go.

Promises: the bundle is one like any other, whitening folded into its convolutions and the mean square as the score,
judged against its checkpoint and with a threshold from cloth that was not fitted; which images are used depends on
their names and sizes alone, and the run folder records them.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from glass_edge.cli.build import built_document
from glass_edge.cli.build_bundle import BuildRequest, Built, build, new_bundle_folder
from glass_edge.cli.train_jobs import TrainingJob, TrainOptions
from glass_edge.cli.train_result import Outcome, outcome_of, training_document
from glass_edge.cli.training_progress import TrainingProgress
from glass_edge.cli.training_run import TrainingReport, train
from glass_edge.config.recipe import Recipe
from glass_edge.engine.openvino_model import supported_precisions
from glass_edge.errors import InputError
from glass_edge.glass.data_folder import good_files
from glass_edge.glass.data_images import read_header
from glass_edge.glass.data_listing import relative_name

QUICK_TILES = 200
"""Tiles used unless told otherwise: what two CPU cores fit and build in about a minute."""
_FEWEST_IMAGES = 2
_MM_PER_METRE = 1000
ENGINES = Path("engines")


@dataclass(frozen=True, slots=True)
class QuickEngine:
    """What came of it.

    Attributes:
        report: of the fit.
        built: the bundle; None when the fit was stopped.
    """

    report: TrainingReport
    built: Built | None


def quick_engine(job: TrainingJob, options: TrainOptions, progress: TrainingProgress) -> QuickEngine:
    """Fit the Mahalanobis map of the first good cloth and build its bundle.

    Args:
        job: with the method 'mahalanobis'.
        options: how much cloth, where the engine goes, its version.
        progress: shows what happens.

    Raises:
        InputError: recipe, images, folders or version cannot be used. ParityError: the graph is not the model.
    """
    target = new_bundle_folder(options.engines or ENGINES, job.recipe.style, options.version)
    names, total = first_good(job.recipe, images=options.images, metres=options.metres)
    if len(names) < total:
        progress.say(f"the first {len(names)} of {total} good images, in order of their names")
    # the report shows what training did; here there is none, and it takes as long as the fit
    report = train(job.recipe_file, job.recipe, job.run_folder, progress, resume=False, only=names, with_report=False)
    if report.stopped:
        return QuickEngine(report, None)
    request = BuildRequest(
        checkpoint=job.run_folder,
        engines=target.parent.parent,
        version=target.name,
        precisions=supported_precisions(),
    )
    return QuickEngine(report, build(request, progress.say))


def quick_document(engine: QuickEngine, job: TrainingJob) -> dict[str, Any]:
    """The fit and its bundle as JSON values."""
    document = training_document(engine.report, job)
    if engine.built is None:
        return document | {"engine": None}
    return document | {"engine": built_document(engine.built), "next": next_after_quick(job)}


def quick_outcome(job: TrainingJob, progress: TrainingProgress, options: TrainOptions) -> Outcome:
    """`quick_engine` for one of several recipes.

    Raises:
        GlassEdgeError: it failed.
    """
    engine = quick_engine(job, options, progress)
    outcome = outcome_of(engine.report, job)
    text = outcome.text if engine.built is None else f"bundle {engine.built.bundle.folder}"
    return replace(outcome, document=quick_document(engine, job), text=text)


def next_after_quick(job: TrainingJob) -> list[str]:
    """What a user would type while the line inspects with the quick engine."""
    return [f"glass-edge train {shlex.quote(str(job.recipe_file))}"]


def first_good(recipe: Recipe, *, images: int | None = None, metres: float | None = None) -> tuple[list[str], int]:
    """Names of the first good images that hold so much cloth, in order of their names; all when there is less.

    Args:
        recipe: says where the images are.
        images: so many.
        metres: as many as are so long together along the web, m; None for both: as many as hold `QUICK_TILES` tiles.

    Returns:
        The names relative to the data folder, at least two where there are two, and how many images there are.

    Raises:
        InputError: no images, or metres of images whose scale is not known.
    """
    folder = recipe.data.folder
    files = good_files(folder)
    if metres is not None and recipe.data.mm_per_px is None:
        raise InputError(f"--metres {metres:g}: the recipe does not say data.mm_per_px; give it, or use --images")
    wanted: float = images or QUICK_TILES
    if metres is not None:
        wanted = metres
    taken: list[str] = []
    amount = 0.0
    for path in files:
        if amount >= wanted and len(taken) >= _FEWEST_IMAGES:
            break
        taken.append(relative_name(path, folder))
        amount += 1 if images is not None else _cloth_of(path, recipe, in_metres=metres is not None)
    return taken, len(files)


def _cloth_of(path: Path, recipe: Recipe, *, in_metres: bool) -> float:
    """Metres of web or number of tiles an image shows; 0 for a file of which training will complain."""
    try:
        header = read_header(path)
    except InputError:
        return 0
    if in_metres:
        return header.lines * (recipe.data.mm_per_px or 0) / _MM_PER_METRE
    return (header.lines // recipe.tile.height_px) * (header.width_px // recipe.tile.width_px)
