"""`glass-edge drift`: how good cloth and its picture have changed from roll to roll.

Promises: the journal is only read, also while its station runs; what the station would alarm for is what is shown, when
its station file is given; nothing is changed without `--anew`.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glass_edge.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from glass_edge.config.drift import DriftSettings
    from glass_edge.service.drift_report import StyleDrift


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("drift")(drift)


def drift(
    journal: Annotated[
        Path | None, typer.Argument(metavar="[JOURNAL]", help="The station's journal; left out: that of --config.")
    ] = None,
    *,
    config: Annotated[
        Path | None, typer.Option(help="The station file, for its journal and its [drift] limits; default: defaults.")
    ] = None,
    style: Annotated[str | None, typer.Option(help="Style to show; default: that of the newest roll.")] = None,
    out: Annotated[Path | None, typer.Option(help="Draw the charts into this PNG (extra 'report').")] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Begin the style's charts anew: the next rolls are the baseline.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document: all charts of the style.")] = False,
) -> None:
    """Show the control charts of a style: scores of good cloth, grey, contrast, sharpness, pitch, roll by roll."""
    from glass_edge.cli.drift_table import document, table
    from glass_edge.events.journal_reader import JournalReader
    from glass_edge.files import write_bytes
    from glass_edge.service.drift_memory import drift_memory_path, load_memory
    from glass_edge.service.drift_report import styles_of

    path, settings = _source(journal, config)
    memory = load_memory(drift_memory_path(path))
    with JournalReader(path) as reader:
        styles = styles_of(reader, settings, memory)
        station, epoch, head = reader.station, reader.epoch, reader.extent().head
    if not styles:
        raise InputError(
            f"{path}: no roll has told its figures; a station tells them at the end of each roll of [drift] least_m"
        )
    shown = _chosen(styles, style)
    if anew:
        _begin_anew(path, epoch, head, shown)
    typer.echo(json.dumps({"station": station} | document(shown), indent=2) if as_json else table(shown))
    if anew and not as_json:
        typer.echo(f"the charts of {shown.style} begin anew: the next {settings.least_rolls} rolls are their baseline")
    if out is not None:
        if importlib.util.find_spec("matplotlib") is None:
            raise MissingExtraError("report", "drawing charts")
        from glass_edge.cli.drift_picture import draw_drift

        write_bytes(out, draw_drift(shown, f"{station}, style {shown.style}"))
        if not as_json:
            typer.echo(str(out))


def _source(journal: Path | None, config: Path | None) -> tuple[Path, DriftSettings]:
    """The journal, and the limits."""
    from glass_edge.config.drift import DriftSettings
    from glass_edge.config.station import load_station

    if config is None:
        if journal is None:
            raise InputError("give a station's journal, or --config with its station file")
        return journal, DriftSettings()
    settings = load_station(config)
    return journal or settings.events.journal, settings.drift


def _chosen(styles: list[StyleDrift], style: str | None) -> StyleDrift:
    if style is None:
        return styles[-1]
    for one in styles:
        if one.style == style:
            return one
    raise InputError(f"no roll of style '{style}' has told its figures; there are {', '.join(s.style for s in styles)}")


def _begin_anew(path: Path, epoch: str, head: int, shown: StyleDrift) -> None:
    """Later rolls of the style's newest model have a baseline of their own."""
    from glass_edge.service.drift_memory import DriftMemory, KeptBaseline, change_memory, drift_memory_path

    empty = KeptBaseline(style=shown.style, model_sha256=shown.models[-1].model_sha256, after_seq=head)

    def change(memory: DriftMemory) -> DriftMemory:
        return memory.in_epoch(epoch).having(empty)

    change_memory(drift_memory_path(path), change)
