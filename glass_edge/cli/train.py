"""`glass-edge train`.

Promises: progress goes to standard error, the result to standard output; Ctrl-C keeps the last finished epoch.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glass_edge.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from glass_edge.cli.training_run import TrainingReport
    from glass_edge.config.recipe import Recipe

_INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("train")(train)


def train(
    recipe: Annotated[Path, typer.Argument(metavar="RECIPE", help="Recipe of the style: engines/<style>.toml.")],
    *,
    run_folder: Annotated[Path | None, typer.Option(help="Folder of the run; without it, runs/<style>-<UTC>.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs, instead of the recipe's.")] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --run-folder (without it: the newest in runs/).")
    ] = False,
    mahalanobis: Annotated[
        bool, typer.Option("--mahalanobis", help="Train nothing: distance of the whitened features to good cloth.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Train a style on good cloth and write a checkpoint."""
    try:
        import torch  # noqa: F401 - only to see whether it is there
    except ModuleNotFoundError as error:
        raise MissingExtraError("train", "glass-edge train") from error
    from glass_edge.cli.training_progress import TrainingProgress
    from glass_edge.cli.training_run import train as run_training
    from glass_edge.config.recipe import load_recipe
    from glass_edge.glass.run_folder import default_run_folder, latest_run_folder

    settings = _changed(load_recipe(recipe), epochs=epochs, mahalanobis=mahalanobis)
    if resume and settings.method == "mahalanobis":
        raise InputError("--resume: the method 'mahalanobis' trains nothing, so there is nothing to continue")
    folder = run_folder or (latest_run_folder if resume else default_run_folder)(settings.style)
    with TrainingProgress() as progress:
        for warning in settings.warnings():
            progress.say(f"warning: {warning}")
        report = run_training(recipe, settings, folder, progress, resume=resume)
    _print(report, recipe, settings, as_json=as_json)
    if report.stopped:
        raise typer.Exit(_INTERRUPTED)


def _changed(recipe: Recipe, *, epochs: int | None, mahalanobis: bool) -> Recipe:
    update: dict[str, Any] = {}
    if epochs is not None:
        if not 1 <= epochs <= 100_000:
            raise InputError(f"--epochs {epochs}: give a number from 1 to 100000")
        update["epochs"] = epochs
    if mahalanobis:
        update["method"] = "mahalanobis"
    return recipe.model_copy(update={"training": recipe.training.model_copy(update=update)}) if update else recipe


def _print(report: TrainingReport, recipe_file: Path, recipe: Recipe, *, as_json: bool) -> None:
    from glass_edge.cli.training_run import next_commands

    commands = next_commands(report, recipe_file, labelled=(recipe.data.folder / "test").is_dir())
    if as_json:
        document = {
            "run_folder": str(report.run.folder),
            "checkpoint": str(report.run.checkpoint) if report.is_whole else None,
            "style": recipe.style,
            "method": recipe.method,
            "epochs": report.epochs,
            "stopped": report.stopped,
            "seconds": round(report.seconds, 3),
            "losses": report.losses,
            "images": {"train": len(report.data.train), "holdout": len(report.data.holdout)},
            "skipped": [one.name for one in report.data.skipped],
            "training_data_sha256": report.data.fingerprint,
            "next": commands,
        }
        typer.echo(json.dumps(document, indent=2))
        return
    if not report.is_whole:
        typer.echo("stopped before the first epoch was finished: there is no checkpoint; begin again with")
    elif report.stopped:
        typer.echo(f"stopped: {report.run.checkpoint} holds epoch {report.epochs}; continue with")
    else:
        done = "fitted in closed form" if recipe.method == "mahalanobis" else f"epoch {report.epochs}"
        typer.echo(f"{report.run.checkpoint}: {done}, {report.seconds:.0f} s; next")
    for command in commands:
        typer.echo(f"  {command}")
