"""`glass-edge pod`: how large a defect must be to be found.

Promises: what cannot be planted or inspected is refused before anything runs (exit code 2); the files appear whole,
after everything was inspected; steps go to standard error with `--json`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from glass_edge.cli.pod_report import PodReport
    from glass_edge.cli.pod_run import Tick
    from glass_edge.service.roll_job import RollJob

PICTURE_NAME, TABLE_NAME, DOCUMENT_NAME, SHEET_NAME = "pod.png", "pod.csv", "pod.json", "pod-examples.png"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("pod")(pod)


def pod(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="engines/<style>/<version>, or the style.")],
    good: Annotated[
        list[Path],
        typer.Argument(metavar="GOOD...", help="Good cloth not trained on: images, folders of images, or a recording."),
    ],
    *,
    out: Annotated[Path, typer.Option(help="Folder for pod.png, pod.json, pod.csv and pod-examples.png.")],
    kinds: Annotated[
        str,
        typer.Option(
            help="Of missing_end, broken_pick, slub, float, hole, stain, parted_ends; joined by commas.",
        ),
    ] = "missing_end,broken_pick,hole,stain",
    sizes_mm: Annotated[
        str, typer.Option(help="Lengths or diameters: 0.5,1,2,4 or 0.5:16:6 (smallest, largest, how many), mm.")
    ] = "0.5:16:6",
    contrasts: Annotated[
        str, typer.Option(help="Mean grey of the defect over that of the cloth, less 1; from -0.8 to 1.")
    ] = "-0.4,-0.2,-0.1",
    per_size: Annotated[int, typer.Option(min=1, max=10_000, help="Defects of each kind, contrast and size.")] = 30,
    ends_per_cm: Annotated[
        float | None, typer.Option(min=0.5, max=200.0, help="Warp yarns a cm: the width of missing ends.")
    ] = None,
    picks_per_cm: Annotated[
        float | None, typer.Option(min=0.5, max=200.0, help="Weft yarns a cm: the width of broken picks and slubs.")
    ] = None,
    station: Annotated[Path | None, typer.Option(help="Station file for web, engine and inspection settings.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Alarm threshold, logit; default: the bundle's.")] = None,
    mm_per_px: Annotated[float | None, typer.Option(help="Width of a pixel, mm; default: the bundle's.")] = None,
    mm_per_line: Annotated[float | None, typer.Option(help="Advance a line, mm; default: as --mm-per-px.")] = None,
    joined: Annotated[bool, typer.Option("--joined", help="The images are consecutive scans of one web.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Another seed plants at other places.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print pod.json and nothing else.")] = False,
) -> None:
    """Plant defects of graded size into good cloth, inspect it, and fit the probability of detection."""
    from glass_edge.cli.plots import can_plot
    from glass_edge.cli.pod_cloth import read_cloth
    from glass_edge.cli.pod_orders import make_orders, parse_contrasts, parse_kinds, parse_sizes, yarn_pitch
    from glass_edge.cli.pod_report import document, make_report, print_report, rows
    from glass_edge.cli.pod_run import run_pod
    from glass_edge.files import csv_bytes, make_folder, write_bytes, write_json

    def say(text: str) -> None:
        typer.echo(text, err=True)

    wanted = parse_kinds(kinds)
    yarns = yarn_pitch(wanted, ends_per_cm, picks_per_cm)
    sizes, tones = parse_sizes(sizes_mm), parse_contrasts(contrasts)
    job = _job(bundle, good, station, threshold, joined=joined, scale=(mm_per_px, mm_per_line))
    orders = make_orders(wanted, tones, sizes, per_size, scale=job.web.scale, yarns=yarns, seed=seed)
    make_folder(out)
    stretches, is_all = read_cloth(job.camera)
    if not is_all:
        metres = sum(len(one.lines) for one in stretches) * job.web.mm_per_line / 1000
        say(f"the first {metres:.4g} m of the cloth are used: more is not held in memory")
    with _progress() as tick:
        run = run_pod(job, stretches, orders, yarns, seed=seed, say=say, tick=tick)
    report = make_report(run, job.web.mm_per_line)
    content = document(report, job, stretches, seed)
    write_json(out / DOCUMENT_NAME, content)
    write_bytes(out / TABLE_NAME, csv_bytes(rows(report, job, stretches)))
    files = [DOCUMENT_NAME, TABLE_NAME, *_pictures(report, job, out, can_plot=can_plot(say))]
    if as_json:
        typer.echo(json.dumps(content, indent=2))
        return
    print_report(report)
    for name in files:
        typer.echo(f"wrote {out / name}")


def _job(
    bundle: Path,
    good: list[Path],
    station: Path | None,
    threshold: float | None,
    *,
    joined: bool,
    scale: tuple[float | None, float | None],
) -> RollJob:
    from glass_edge.cli.replay_job import Played, replay_job
    from glass_edge.config.station import load_station
    from glass_edge.engine.bundle import load_bundle

    settings = load_station(station) if station is not None else None
    played = Played(tuple(good), joined, None, *scale)
    return replay_job(played, load_bundle(bundle), settings, roll_id="pod", threshold=threshold)


def _pictures(report: PodReport, job: RollJob, out: Path, *, can_plot: bool) -> list[str]:
    from PIL import Image

    from glass_edge.cli.pod_picture import draw_curves
    from glass_edge.cli.pod_sheet import draw_sheet
    from glass_edge.files import write_bytes

    sheet = io.BytesIO()
    Image.fromarray(draw_sheet(report)).save(sheet, "PNG")
    write_bytes(out / SHEET_NAME, sheet.getvalue())
    if not can_plot:
        return [SHEET_NAME]
    manifest = job.bundle.manifest
    own = job.inspection.threshold_logit
    logit = manifest.threshold.logit if own is None else own
    title = f"{manifest.style} {manifest.version}, threshold {logit:.4g}: planted defects found over their size"
    write_bytes(out / PICTURE_NAME, draw_curves(report, title))
    return [SHEET_NAME, PICTURE_NAME]


@contextmanager
def _progress() -> Iterator[Tick]:
    """A bar on a terminal, nothing otherwise (standard error)."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("inspecting", total=None)
        tick: Callable[[int, int], None] = lambda done, total: bar.update(task, completed=done, total=total)  # noqa: E731
        yield tick
