"""The report of a roll: a map, a gallery, tables, and a document with all of it.

Promises: all is drawn before the first file is written, so a report that fails leaves the one before as it was; each
file is whole or absent, and `roll.json`, which names the others, comes last; the same roll, pictures and table give the
same files, byte for byte. May be called from any thread: nothing is shared.

Needs the extra `report` (matplotlib).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from glass_edge.config.grading import GradingFile
from glass_edge.errors import GlassEdgeError, MissingExtraError
from glass_edge.events.journal_reader import JournalReader
from glass_edge.files import make_folder, write_bytes, write_json
from glass_edge.service.report_data import ReportData, report_data
from glass_edge.service.report_job import safe_name
from glass_edge.service.report_rolls import record_of
from glass_edge.service.report_tables import defects_csv, roll_document
from glass_edge.service.roll_record import RollPlace

MOST_PICTURES = 48
JSON_NAME, CSV_NAME, PDF_NAME = "roll.json", "defects.csv", "report.pdf"
MAP_NAME, GALLERY_NAME = "roll-map", "gallery"
_PAGE_PATTERN = re.compile(rf"({MAP_NAME}|{GALLERY_NAME})(-\d+)?\.png")


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """A report on disk: what it shows, and its files, `roll.json` last."""

    data: ReportData
    files: tuple[Path, ...]


def write_report(
    journal: JournalReader | Path,
    roll_id: str | None,
    out: Path,
    *,
    grading: GradingFile,
    crops: Path | None = None,
    width_mm: float | None = None,
    most_pictures: int = MOST_PICTURES,
) -> WrittenReport:
    """Write the report of a roll.

    Args:
        journal: a station's journal, or a reader that the calling thread has opened on it.
        roll_id: the roll; the last of several with this name; None: the last roll of all.
        out: folder, made when absent; the files of an earlier report in it are replaced.
        grading: table of points.
        crops: the station's folder of pictures; None: not known, and the gallery says so.
        width_mm: width of the cloth, mm; None: as the journal tells it.
        most_pictures: most defects in the gallery.

    Raises:
        MissingExtraError: matplotlib is not installed.
        InputError: no such journal or roll, no width, or the folder cannot be written.
        GlassEdgeError: the journal cannot be read, the pages cannot be drawn, or the disk is full.
    """
    if isinstance(journal, Path):
        with JournalReader(journal) as reader:
            record = record_of(reader, roll_id)
    else:
        record = record_of(journal, roll_id)
    return write_data(report_data(record, grading, width_mm), out, crops=crops, most_pictures=most_pictures)


def write_data(
    data: ReportData, out: Path, *, crops: Path | None = None, most_pictures: int = MOST_PICTURES
) -> WrittenReport:
    """Write the report of a graded roll; see `write_report`."""
    files = _pages(data, crops, most_pictures)
    files[CSV_NAME] = defects_csv(data)
    document = roll_document(data) | {"files": sorted(files)}
    make_folder(out)
    try:
        for name, content in files.items():
            write_bytes(out / name, content)
        write_json(out / JSON_NAME, document)
        for path in out.iterdir():  # pages of a longer report before this one
            if _PAGE_PATTERN.fullmatch(path.name) and path.name not in files:
                path.unlink()
    except OSError as error:
        raise GlassEdgeError(f"the report cannot be written into {out}: {error.strerror or error}") from error
    return WrittenReport(data, tuple(out / name for name in (*files, JSON_NAME)))


def folder_name(place: RollPlace) -> str:
    """A folder name of its own for each roll of a journal, made of its name."""
    name = safe_name(place.roll_id)
    return name if place.occurrence == 1 else f"{name}~{place.occurrence}"


def _pages(data: ReportData, crops: Path | None, most_pictures: int) -> dict[str, bytes]:
    """The drawn files by name."""
    try:
        import matplotlib  # noqa: F401, PLC0415 - an extra
    except ImportError as error:
        raise MissingExtraError("report", "the report of a roll") from error
    from glass_edge.service.report_drawing import draw_pages  # noqa: PLC0415 - needs the extra

    try:
        drawn = draw_pages(data, crops, most_pictures)
    except GlassEdgeError:
        raise
    except Exception as error:
        raise GlassEdgeError(f"{data.title}: the report cannot be drawn: {error}") from error
    files = {PDF_NAME: drawn.pdf}
    for stem, pages in ((MAP_NAME, drawn.map_pages), (GALLERY_NAME, drawn.gallery_pages)):
        for number, png in enumerate(pages, start=1):
            files[f"{stem}.png" if number == 1 else f"{stem}-{number}.png"] = png
    return files
