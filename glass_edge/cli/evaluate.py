"""`glass-edge evaluate`.

Promises: progress goes to standard error, figures to standard output; test labels only measure.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
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
        Path | None,
        typer.Option(help="Labelled folder (layout of MVTec AD, MPDD, WFDD or VisA); without it, the recipe's."),
    ] = None,
    against: Annotated[
        Path | None, typer.Option(help="A second run, checkpoint or bundle, evaluated beside the first.")
    ] = None,
    threshold_images: Annotated[
        Path | None, typer.Option(help="Good images for a checkpoint's threshold; without it, those held out.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for evaluation.json, tables, curves and pictures; without it, the run folder."),
    ] = None,
    maps: Annotated[
        Path | None, typer.Option(help="Folder for a score map (16-bit PNG) and an overlay of each test image.")
    ] = None,
    all_epochs: Annotated[
        bool, typer.Option("--all-epochs", help="Evaluate each kept epoch of a run: what did the choice cost?")
    ] = False,
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
    if all_epochs:
        if against is not None or maps is not None:
            raise InputError("--all-epochs: goes with neither --against nor --maps; leave them out")
        _all_epochs(subject, data, threshold_images, out, as_json=as_json)
        return
    runs = [_run(subject, data, threshold_images)]
    place = out or runs[0].subject.output
    files = write_evaluation(runs[0], place) if place is not None else []
    if maps is not None:
        files.append(_write_maps(runs[0], maps))
    if against is not None:
        runs.append(_run(against, data or runs[0].data.folder, threshold_images))
    if place is not None:
        files += _write_picture(runs, place)
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


def _write_maps(run: EvaluationRun, folder: Path) -> Path:
    from glass_edge.cli.evaluation_maps import write_maps

    with _progress(f"writing maps into {folder}") as tick:
        return write_maps(run, folder, tick)[-1]


def _write_picture(runs: Sequence[EvaluationRun], place: Path) -> list[Path]:
    from glass_edge.cli.evaluation_picture import PICTURE_NAME, NamedCurves, draw_curves
    from glass_edge.cli.plots import can_plot
    from glass_edge.files import write_bytes

    if not can_plot(_say):
        return []
    is_distinct = len({run.subject.path.name for run in runs}) == len(runs)
    models = [
        NamedCurves(run.subject.path.name if is_distinct else run.name, run.evaluation.curves(), run.figures)
        for run in runs
    ]
    write_bytes(place / PICTURE_NAME, draw_curves(models))
    return [place / PICTURE_NAME]


def _all_epochs(
    run_folder: Path, data: Path | None, threshold_images: Path | None, out: Path | None, *, as_json: bool
) -> None:
    from glass_edge.cli.evaluation_epochs import evaluate_epochs, print_epochs, write_epochs

    with _progress(f"scoring with the epochs of {run_folder}") as tick:
        found = evaluate_epochs(run_folder, data, threshold_images, tick)
    files = write_epochs(found, out or run_folder, _say)
    if as_json:
        typer.echo(json.dumps(found.document(), indent=2))
        return
    print_epochs(found)
    for file in files:
        typer.echo(f"wrote {file}")


def _say(text: str) -> None:
    typer.echo(text, err=True)


@contextmanager
def _progress(what: str) -> Iterator[Tick]:
    """A bar on a terminal, a line at the start and the end otherwise (standard error, both)."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        _say(what)
        yield lambda done, total: None
        return
    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
