"""`glass-edge evaluate`.

Promises: progress goes to standard error, figures to standard output; test labels only measure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glass_edge.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from glass_edge.cli.evaluation_run import EvaluationRun, Tick


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("evaluate")(evaluate)


def evaluate(
    subject: Annotated[Path, typer.Argument(metavar="CHECKPOINT|BUNDLE", help="Run folder, checkpoint or bundle.")],
    *,
    data: Annotated[
        Path | None, typer.Option(help="Folder in MVTec AD layout; without it, the one of the recipe.")
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="A second run, checkpoint or bundle, evaluated beside the first.")
    ] = None,
    threshold_images: Annotated[
        Path | None, typer.Option(help="Good images for a checkpoint's threshold; without it, those held out.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for evaluation.json, the table of images and the sheet of pictures.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure a model on labelled images: AUROC, AP and PRO, defects found and false alarms."""
    try:
        import torch  # noqa: F401 - only to see whether it is there
    except ModuleNotFoundError as error:
        raise MissingExtraError("train", "glass-edge evaluate") from error
    from glass_edge.cli.evaluation_report import print_evaluations
    from glass_edge.cli.evaluation_run import write_evaluation

    for path in (subject, *([against] if against else [])):
        if not path.is_dir():
            raise InputError(f"{path}: no such folder; give a run folder, a checkpoint or a bundle")
    runs = [_run(subject, data, threshold_images)]
    place = out or runs[0].subject.output
    files = write_evaluation(runs[0], place) if place is not None else []
    if against is not None:
        runs.append(_run(against, data or runs[0].data.folder, threshold_images))
    if as_json:
        documents = [run.document() for run in runs]
        typer.echo(json.dumps(documents[0] if against is None else documents, indent=2))
        return
    print_evaluations(runs)
    for file in files:
        typer.echo(f"wrote {file}")


def _run(path: Path, data: Path | None, threshold_images: Path | None) -> EvaluationRun:
    from glass_edge.cli.evaluation_run import evaluate as run_evaluation
    from glass_edge.cli.evaluation_subject import open_subject

    with (
        _progress(f"scoring with {path}") as tick,
        open_subject(path, data=data, threshold_images=threshold_images) as opened,
    ):
        return run_evaluation(opened, data, tick)


@contextmanager
def _progress(what: str) -> Iterator[Tick]:
    """A bar on a terminal, a line at the start and the end otherwise (standard error, both)."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        typer.echo(what, err=True)
        yield lambda done, total: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
