"""`glass-edge bundle diff`.

Promises: both bundles are verified first; equal ones are called equal; with `--run` their logits are compared on both
bundles' golden tiles.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glass_edge.errors import InputError

if TYPE_CHECKING:
    from glass_edge.engine.bundle import Bundle
    from glass_edge.engine.bundle_diff import BundleDiff, Change, Value
    from glass_edge.engine.logit_diff import LogitDifference

_SHOWN_HASH = 16
_WIDTH = 200


def diff(
    a: Annotated[Path, typer.Argument(metavar="A", help="Bundle engines/<style>/<version>, or the style.")],
    b: Annotated[Path, typer.Argument(metavar="B", help="Another one.")],
    *,
    run: Annotated[bool, typer.Option("--run", help="Compare the logits on both bundles' golden tiles too.")] = False,
    precision: Annotated[str, typer.Option(help="Of both engines, with --run.")] = "f32",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what differs between two bundles: settings, threshold, parity, metrics, files, signatures."""
    from glass_edge.cli.engine_options import engine_settings
    from glass_edge.engine.bundle import load_bundle
    from glass_edge.engine.bundle_diff import compare
    from glass_edge.engine.logit_diff import compare_logits

    if precision != "f32" and not run:
        raise InputError("--precision is only used with --run; add --run")
    first, second = load_bundle(a), load_bundle(b)
    found = compare(first, second)
    logits = compare_logits(first, second, engine_settings(precision=precision)) if run else ()
    if as_json:
        document = {
            "a": str(first.folder),
            "b": str(second.folder),
            "equal": found.is_empty,
            **dataclasses.asdict(found),
            "logits": [dataclasses.asdict(one) for one in logits],
        }
        typer.echo(json.dumps(document, indent=2))
        return
    _print(first, second, found, logits)


def _print(a: Bundle, b: Bundle, found: BundleDiff, logits: tuple[LogitDifference, ...]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False, markup=False, soft_wrap=True)
    if not console.is_terminal:
        console = Console(highlight=False, markup=False, soft_wrap=True, width=_WIDTH)
    names = [f"{one.manifest.style} {one.manifest.version}" for one in (a, b)]
    names = names if names[0] != names[1] else [str(a.folder), str(b.folder)]
    if found.is_empty:
        console.print(f"{a.folder} and {b.folder}: the same manifest, {found.same_files} files and signatures")
    if found.values:
        table = Table("differs", *names, "B less A")
        for change in found.values:
            table.add_row(change.name, _text(change.a), _text(change.b), _difference(change))
        console.print(table)
    if found.files:
        table = Table("file", *(f"{name}, SHA-256" for name in names))
        for change in found.files:
            table.add_row(change.name, *(_text(one)[:_SHOWN_HASH] for one in (change.a, change.b)))
        console.print(table)
        console.print(f"{found.same_files} files are the same in both")
    if logits:
        table = Table("golden tiles of", "tiles", "largest", "mean", *(f"alarm cells, {name}" for name in names))
        table.add_column("decided otherwise")
        table.title = "difference of the logits"
        for one in logits:
            counts = (one.alarm_cells_a, one.alarm_cells_b)
            table.add_row(
                one.tiles_of,
                str(one.tiles),
                f"{one.max_abs:.3g}",
                f"{one.mean_abs:.3g}",
                *map(str, counts),
                f"{one.alarm_cells_changed} of {one.cells} cells",
            )
        console.print(table)


def _text(value: Value) -> str:
    if value is None:
        return "-"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _difference(change: Change) -> str:
    a, b = change.a, change.b
    if isinstance(a, bool) or isinstance(b, bool) or not isinstance(a, int | float) or not isinstance(b, int | float):
        return ""
    return f"{b - a:+.4g}"
