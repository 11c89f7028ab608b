"""What a training came to, for people and for programs.

Promises: one JSON document a recipe, with the same keys whether one or many were trained; a recipe that failed is
named with its error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import typer
from rich.console import Console
from rich.table import Table

from glass_edge.cli.train_jobs import TrainingJob
from glass_edge.cli.training_run import TrainingReport, next_commands
from glass_edge.glass.data_folder import Layout, recognise

Ending = Literal["done", "stopped", "failed", "not begun"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one of several recipes.

    Attributes:
        style: its name.
        ending: how it ended.
        document: see `training_document`; of a recipe that was not trained only what is known.
        text: the result in a few words, or the error.
        machine: where it was trained, when that is not this machine.
    """

    style: str
    ending: Ending
    document: dict[str, Any] = field(default_factory=dict)
    text: str = ""
    machine: str = ""


def training_document(report: TrainingReport, job: TrainingJob) -> dict[str, Any]:
    """The result as JSON values."""
    recipe = report.recipe
    return {
        "run_folder": str(report.run.folder),
        "checkpoint": str(report.run.checkpoint) if report.is_whole else None,
        "style": recipe.style,
        "method": recipe.method,
        "epochs": report.epochs,
        "stopped": report.stopped,
        "ended": report.result.ended,
        "chosen_epoch": report.result.chosen,
        "seconds": round(report.seconds, 3),
        "losses": report.losses,
        "images": {"train": len(report.data.train), "holdout": len(report.data.holdout)},
        "skipped": [one.name for one in report.data.skipped],
        "training_data_sha256": report.data.fingerprint,
        "next": _next(report, job),
    }


def print_training(report: TrainingReport, job: TrainingJob) -> None:
    """The result of one recipe, for a person."""
    if not report.is_whole:
        typer.echo("stopped before the first epoch was finished: there is no checkpoint; begin again with")
    elif report.stopped:
        typer.echo(f"stopped: {report.run.checkpoint} holds epoch {report.result.chosen}; continue with")
    else:
        typer.echo(f"{report.run.checkpoint}: {done_in_words(report)}, {report.seconds:.0f} s; next")
    for command in _next(report, job):
        typer.echo(f"  {command}")


def done_in_words(report: TrainingReport) -> str:
    """What the checkpoint is."""
    result = report.result
    if report.recipe.method == "mahalanobis":
        return "fitted in closed form"
    chosen = f" of {result.epochs}, the best on held-out cloth" if report.recipe.training.select != "last" else ""
    return f"epoch {result.chosen}{chosen}"


def outcome_of(report: TrainingReport, job: TrainingJob, machine: str = "") -> Outcome:
    """One of several, when it ended without an error."""
    document = training_document(report, job)
    if not report.stopped:
        return Outcome(job.recipe.style, "done", document, done_in_words(report), machine)
    return Outcome(job.recipe.style, "stopped", document, f"{report.epochs} epochs are kept", machine)


def print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """A table of several recipes, and behind it each error in full."""
    where = any(one.machine for one in outcomes)
    table = Table()
    for name in ("style", "ended", "result", *(["machine"] if where else []), "s", "run folder"):
        table.add_column(name, overflow="fold")  # a name that was cut short is of no use
    for one in outcomes:
        seconds = one.document.get("seconds")
        table.add_row(
            one.style,
            one.ending,
            "" if one.ending == "failed" else one.text,
            *([one.machine] if where else []),
            "" if seconds is None else f"{seconds:.0f}",
            str(one.document.get("run_folder", "")),
        )
    console = Console(highlight=False, markup=False, soft_wrap=True)
    console.print(table)
    for one in outcomes:
        for line in one.text.splitlines() if one.ending == "failed" else ():
            typer.echo(f"error: {one.style}: {line}", err=True)
    if any(one.ending != "done" for one in outcomes):
        typer.echo("finish the others with the same command and --resume")


def outcome_documents(outcomes: Sequence[Outcome]) -> list[dict[str, Any]]:
    """Several recipes as JSON values."""
    return [
        {
            **one.document,
            "style": one.style,
            "ending": one.ending,
            "machine": one.machine or None,
            "error": one.text if one.ending == "failed" else None,
        }
        for one in outcomes
    ]


def _next(report: TrainingReport, job: TrainingJob) -> list[str]:
    return next_commands(report, job.recipe_file, labelled=has_labels(job.recipe.data.folder))


def has_labels(folder: Path) -> bool:
    """Whether a data folder holds labelled test images for `evaluate`."""
    return (folder / "test").is_dir() or recognise(folder) is Layout.VISA
