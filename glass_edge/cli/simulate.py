"""`glass-edge simulate`: strips of simulated cloth with known defects."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(name="simulate")(simulate)


def simulate(  # noqa: PLR0917 - typer makes options of them, none is positional
    out: Annotated[Path, typer.Argument(help="New folder for the strip or the data set.")],
    cloth: Annotated[
        str,
        typer.Option(
            help="plain, twill21, twill22, twill31, satin, or photo:linen, photo:canvas, photo:rib, photo:FILE."
        ),
    ] = "photo:canvas",
    width_px: Annotated[int, typer.Option(help="Pixels of a camera line.")] = 2048,
    lines: Annotated[int | None, typer.Option(help="Length in camera lines.")] = None,
    metres: Annotated[float | None, typer.Option(help="Length in metres (instead of --lines).")] = None,
    mm_per_px: Annotated[float, typer.Option(help="Width of a pixel on the cloth, mm.")] = 0.1,
    mm_per_line: Annotated[
        float | None, typer.Option(help="Advance between lines, mm; default: as --mm-per-px.")
    ] = None,
    ends_per_cm: Annotated[float, typer.Option(help="Warp yarns a cm (woven cloth).")] = 24.0,
    picks_per_cm: Annotated[float, typer.Option(help="Weft yarns a cm (woven cloth).")] = 20.0,
    defects: Annotated[
        str, typer.Option(help='What to weave in, e.g. "broken_pick:3,hole:2@4x4" (count, then WIDTHxLENGTH in mm).')
    ] = "",
    contrast: Annotated[
        float | None, typer.Option(help="Mean relative change over a defect, 0.01 to 1; default: natural strength.")
    ] = None,
    background: Annotated[str, typer.Option(help="Beside the selvedges: none, white, table or dark.")] = "none",
    seed: Annotated[int, typer.Option(help="Another seed is another piece of the same cloth.")] = 0,
    good: Annotated[
        int | None, typer.Option(help="Write a training data set (MVTec AD layout) with this many good strips.")
    ] = None,
    test_good: Annotated[int | None, typer.Option(help="Good test strips of the data set; default: a quarter.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Machine output on stdout.")] = False,
) -> None:
    """Write a strip of simulated cloth with its ground truth, or a training data set of the same cloth."""
    from rich.console import Console
    from rich.progress import Progress

    from glass_edge.acquisition.loom.defects import parse_orders
    from glass_edge.acquisition.loom.output import dataset_strips, write_dataset, write_strip
    from glass_edge.acquisition.loom.spec import LoomSpec, parse_background
    from glass_edge.errors import InputError

    per_line = mm_per_px if mm_per_line is None else mm_per_line
    if lines is not None and metres is not None:
        raise InputError("--lines and --metres both give the length; give one of them")
    if test_good is not None and good is None:
        raise InputError("--test-good belongs to a data set; give --good too")
    if metres is not None:
        if not 0 < metres <= 100_000 or per_line <= 0:
            raise InputError(f"--metres {metres:g} at {per_line:g} mm a line is impossible; give more than 0")
        lines = max(1, round(metres * 1000 / per_line))
    if lines is None:
        lines = 512 if good is not None else 4096
    spec = LoomSpec(
        cloth=cloth,
        width_px=width_px,
        mm_per_px=mm_per_px,
        mm_per_line=per_line,
        ends_per_cm=ends_per_cm,
        picks_per_cm=picks_per_cm,
        background=parse_background(background),
        defects=parse_orders(defects),
        contrast=contrast,
        section_lines=lines,
        seed=seed,
    )
    n_test = 0 if good is None else max(1, good // 4) if test_good is None else test_good
    total = lines if good is None else lines * dataset_strips(spec, good, n_test)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=as_json or not console.is_terminal) as bar:
        task = bar.add_task("weaving", total=total)

        def tick(n: int) -> None:
            bar.advance(task, n)

        if good is None:
            result = write_strip(spec, out, tick)
        else:
            result = write_dataset(spec, out, good=good, test_good=n_test, tick=tick)
    if as_json:
        typer.echo(json.dumps({"out": str(out)} | result))
    elif good is None:
        typer.echo(f"{out}/strip.png: {width_px} px x {lines} lines, {lines * per_line / 1000:.2f} m of {cloth}")
        for found in result["defects"]:
            typer.echo(
                f"  {found['kind']:<12} {found['along_mm']:9.1f} mm along {found['across_mm']:8.1f} mm across  "
                f"{found['width_mm']:.1f} x {found['length_mm']:.1f} mm  contrast {found['contrast']:.2f}"
            )
    else:
        kinds = ", ".join(f"{name} {count}" for name, count in result["defects"].items()) or "none"
        typer.echo(f"{out}: {good} good strips to train, {n_test} to test; defect strips: {kinds}")
