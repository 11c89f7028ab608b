"""`glass-edge train`.

Promises: progress goes to standard error, the result to standard output; Ctrl-C keeps the last finished epoch; options
that contradict each other are refused before anything is read.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glass_edge.errors import MissingExtraError

if TYPE_CHECKING:
    from glass_edge.cli.train_jobs import TrainingJob, TrainOptions
    from glass_edge.cli.train_result import Outcome
    from glass_edge.cli.training_progress import TrainingProgress

_INTERRUPTED = 130
_FAILED = 1
_QUICK = "An engine in a minute (--quick)"
_SEVERAL = "Several recipes"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("train")(train)


def train(
    recipes: Annotated[
        list[Path], typer.Argument(metavar="RECIPE", help="Recipe of each style: engines/<style>.toml.")
    ],
    *,
    run_folder: Annotated[
        Path | None, typer.Option(help="Folder of the run; without it, RUNS_FOLDER/<style>-<UTC>.")
    ] = None,
    runs_folder: Annotated[Path | None, typer.Option(help="Folder of the runs; without it, runs.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs, instead of the recipe's.")] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume",
            help="Continue the run in --run-folder, or the style's newest; of several recipes, those not finished.",
        ),
    ] = False,
    mahalanobis: Annotated[
        bool, typer.Option("--mahalanobis", help="Train nothing: distance of the whitened features to good cloth.")
    ] = False,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="--mahalanobis on the first good cloth, and build its bundle: inspect with it while GLASS trains.",
            rich_help_panel=_QUICK,
        ),
    ] = False,
    images: Annotated[
        int | None,
        typer.Option(help="Use the first so many good images, by name; without it, 200 tiles.", rich_help_panel=_QUICK),
    ] = None,
    metres: Annotated[
        float | None,
        typer.Option(help="Use so many metres of the first good images (data.mm_per_px).", rich_help_panel=_QUICK),
    ] = None,
    engines: Annotated[
        Path | None,
        typer.Option(help="The bundle becomes ENGINES/<style>/<version>; without it, engines.", rich_help_panel=_QUICK),
    ] = None,
    version: Annotated[
        str | None, typer.Option(help="Version of the bundle; without it, the UTC time.", rich_help_panel=_QUICK)
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Spread the recipes over a Ray cluster: HOST:PORT, auto (the one this machine is in), or local.",
            rich_help_panel=_SEVERAL,
        ),
    ] = None,
    cpus: Annotated[
        int | None,
        typer.Option(
            help="With --ray: processor cores, and so threads, of a recipe; without it, its training.threads, or what "
            "lets most recipes run at once.",
            rich_help_panel=_SEVERAL,
        ),
    ] = None,
    gpus: Annotated[
        float | None,
        typer.Option(
            help="With --ray: graphics cards of a recipe, 0.5 for half of one; without it, 1 where the cluster has any "
            "and the recipe may use it.",
            rich_help_panel=_SEVERAL,
        ),
    ] = None,
    retries: Annotated[
        int | None,
        typer.Option(
            help="With --ray: how often a recipe whose worker or machine died is continued; without it, 3.",
            rich_help_panel=_SEVERAL,
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON; of several recipes a list.")] = False,
) -> None:
    """Train styles on good cloth and write a checkpoint of each.

    Several recipes are trained one after the other, or spread over a Ray cluster. Exit code 1: one of them failed.
    """
    try:
        import torch  # noqa: F401 - only to see whether it is there
    except ModuleNotFoundError as error:
        raise MissingExtraError("train", "glass-edge train") from error
    from glass_edge.cli.train_jobs import TrainOptions, plan_jobs

    options = TrainOptions(
        recipes=tuple(recipes),
        run_folder=run_folder,
        runs_folder=runs_folder,
        epochs=epochs,
        resume=resume,
        mahalanobis=mahalanobis,
        quick=quick,
        images=images,
        metres=metres,
        engines=engines,
        version=version,
        ray=ray,
        cpus=cpus,
        gpus=gpus,
        retries=retries,
    )
    jobs = plan_jobs(options)
    if ray is not None:
        from glass_edge.cli.train_ray import train_on_cluster

        _tell_many(train_on_cluster(jobs, options), as_json=as_json)
    elif len(jobs) > 1:
        _train_many(jobs, options, as_json=as_json)
    elif quick:
        _quick_engine(jobs[0], options, as_json=as_json)
    else:
        _train_one(jobs[0], as_json=as_json)


def _train_one(job: TrainingJob, *, as_json: bool) -> None:
    from glass_edge.cli.train_result import print_training, training_document
    from glass_edge.cli.training_progress import TrainingProgress
    from glass_edge.cli.training_run import train as run_training

    with TrainingProgress() as progress:
        _warn(job, progress)
        report = run_training(job.recipe_file, job.recipe, job.run_folder, progress, resume=job.resume)
    if as_json:
        _print_json(training_document(report, job))
    else:
        print_training(report, job)
    if report.stopped:
        raise typer.Exit(_INTERRUPTED)


def _quick_engine(job: TrainingJob, options: TrainOptions, *, as_json: bool) -> None:
    from glass_edge.cli.build import print_built
    from glass_edge.cli.quick_engine import next_after_quick, quick_document, quick_engine
    from glass_edge.cli.train_result import print_training
    from glass_edge.cli.training_progress import TrainingProgress

    with TrainingProgress() as progress:
        _warn(job, progress)
        engine = quick_engine(job, options, progress)
    if as_json:
        _print_json(quick_document(engine, job))
    elif engine.built is None:
        print_training(engine.report, job)
    else:
        print_built(engine.built)
        typer.echo("inspect with it, and meanwhile")
        for command in next_after_quick(job):
            typer.echo(f"  {command}")
    if engine.built is None:
        raise typer.Exit(_INTERRUPTED)


def _train_many(jobs: Sequence[TrainingJob], options: TrainOptions, *, as_json: bool) -> None:
    from glass_edge.cli.quick_engine import quick_outcome
    from glass_edge.cli.train_many import train_in_turn, train_one
    from glass_edge.cli.training_progress import TrainingProgress

    do = partial(quick_outcome, options=options) if options.quick else train_one
    with TrainingProgress() as progress:
        outcomes = train_in_turn(jobs, progress, do)
    _tell_many(outcomes, as_json=as_json)


def _tell_many(outcomes: Sequence[Outcome], *, as_json: bool) -> None:
    from glass_edge.cli.train_result import outcome_documents, print_outcomes

    if as_json:
        _print_json(outcome_documents(outcomes))
    else:
        print_outcomes(outcomes)
    if any(one.ending == "failed" for one in outcomes):
        raise typer.Exit(_FAILED)
    if any(one.ending != "done" for one in outcomes):
        raise typer.Exit(_INTERRUPTED)


def _warn(job: TrainingJob, progress: TrainingProgress) -> None:
    for warning in job.recipe.warnings():
        progress.say(f"warning: {warning}")


def _print_json(document: Any) -> None:  # noqa: ANN401 - any JSON value
    typer.echo(json.dumps(document, indent=2))
