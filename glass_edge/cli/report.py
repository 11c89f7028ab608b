"""`glass-edge report`: map, gallery and grade of a roll from a station's journal.

Promises: the journal is only read, also while its station runs; what cannot be reported is said before a file is
written (exit code 2).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glass_edge.errors import InputError

if TYPE_CHECKING:
    from glass_edge.service.report import WrittenReport
    from glass_edge.service.roll_record import RollPlace


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("report")(report)


def report(
    roll: Annotated[
        str | None, typer.Argument(metavar="[ROLL]", help="Name of the roll; left out: the last one.")
    ] = None,
    *,
    journal: Annotated[Path | None, typer.Option(help="The station's journal.")] = None,
    config: Annotated[Path | None, typer.Option(help="The station file, instead of the journal.")] = None,
    crops: Annotated[
        Path | None, typer.Option(help="Folder of the pictures of defects; default: as the station lays it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the report; default runs/reports/ROLL.")] = None,
    table: Annotated[
        str | None,
        typer.Option(help="Table of points: a name or a .toml file; default: the station file's, or metric."),
    ] = None,
    width_mm: Annotated[
        float | None, typer.Option(help="Width of the cloth, mm; default: as the journal tells it.")
    ] = None,
    gallery: Annotated[
        int | None, typer.Option(min=0, max=600, help="Most defects in the gallery; default 48.")
    ] = None,
    list_rolls: Annotated[bool, typer.Option("--list", help="List the rolls of the journal and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON document.")] = False,
) -> None:
    """Write a roll's map, gallery of defects, tables and grade, also of a roll that is still being woven."""
    from glass_edge.config.grading import load_grading
    from glass_edge.events.journal_reader import JournalReader
    from glass_edge.service.report import MOST_PICTURES, folder_name, write_data
    from glass_edge.service.report_data import report_data
    from glass_edge.service.report_rolls import record_of, rolls_of

    source = _source(journal, config)
    with JournalReader(source.journal) as reader:
        if list_rolls:
            _print_rolls(rolls_of(reader), as_json=as_json)
            return
        record = record_of(reader, roll)
    data = report_data(record, load_grading(table or source.table), width_mm)
    folder = out if out is not None else Path("runs") / "reports" / folder_name(record.place)
    pictures = crops if crops is not None else source.crops
    written = write_data(data, folder, crops=pictures, most_pictures=MOST_PICTURES if gallery is None else gallery)
    _print_report(written, folder, as_json=as_json)


@dataclass(frozen=True, slots=True)
class _Source:
    journal: Path
    crops: Path
    table: str


def _source(journal: Path | None, config: Path | None) -> _Source:
    """Where the station keeps what it knows."""
    from glass_edge.config.grading import GradingSettings
    from glass_edge.config.station import load_station

    if (journal is None) == (config is None):
        raise InputError("give --journal with a station's journal, or --config with its station file")
    if config is not None:
        settings = load_station(config)
        return _Source(settings.events.journal, settings.output.folder / "crops", settings.grading.table)
    assert journal is not None
    return _Source(journal, journal.parent / "crops", GradingSettings().table)


def _print_rolls(places: list[RollPlace], *, as_json: bool) -> None:
    from glass_edge.events.schema import format_stamp

    if as_json:
        rows = [
            {
                "roll_id": place.roll_id,
                "style": place.style,
                "state": place.state.value,
                "started_utc": format_stamp(place.started_utc),
                "ended_utc": None if place.ended_utc is None else format_stamp(place.ended_utc),
                "occurrence": place.occurrence,
                "first_seq": place.seq,
            }
            for place in places
        ]
        typer.echo(json.dumps(rows, indent=2))
        return
    if not places:
        typer.echo("no rolls")
    width = max((len(place.roll_id) for place in places), default=0)
    for place in places:
        again = f", {place.occurrence}. of this name" if place.occurrence > 1 else ""
        started = format_stamp(place.started_utc)[:19].replace("T", " ")
        typer.echo(f"{place.roll_id:{width}}  {started} UTC  {place.state.value:8}  style {place.style}{again}")


def _print_report(written: WrittenReport, folder: Path, *, as_json: bool) -> None:
    from glass_edge.service.report_tables import roll_document

    data = written.data
    if as_json:
        document = roll_document(data) | {"folder": str(folder), "files": [path.name for path in written.files]}
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    record, grade = data.record, data.grade
    for note in data.notes:
        typer.echo(f"note: {note}")
    per_area = "" if grade.points_per_100_m2 is None else f", {grade.points_per_100_m2:.1f} per 100 m2"
    typer.echo(
        f"{data.title}: {record.woven_m:.3f} m woven, {record.inspected_m:.3f} m inspected, {data.width_mm:.1f} mm wide"
    )
    typer.echo(f"{len(data.found)} defects, {grade.total_points} points ({grade.table}){per_area}")
    typer.echo("first quality" if grade.is_first_quality else "not first quality: " + "; ".join(grade.reasons))
    for remark in grade.remarks:
        typer.echo(f"note: {remark}")
    typer.echo(f"{folder}: {', '.join(path.name for path in written.files)}")
