"""What every page of a report has: heading, verdict, notes.

Promises: no page can be taken for another roll's, for a complete roll's when it is not, or for the cloth of a real loom
when it was simulated.
"""

from __future__ import annotations

from datetime import datetime

from glass_edge.service.report_data import ReportData, one_line
from glass_edge.service.report_page import (
    GREY,
    INK,
    MARGIN_MM,
    PAPER,
    WIDTH_MM,
    Page,
    fitted,
)

_VERDICT_MM = 58.0
_RIGHT_MM = WIDTH_MM - MARGIN_MM


def begin_page(data: ReportData, name: str) -> Page:
    """A page with its heading; what follows begins at 34 mm."""
    page = Page()
    record, place = data.record, data.record.place
    room = _RIGHT_MM - MARGIN_MM - _VERDICT_MM - 4
    page.text(MARGIN_MM, 17.5, fitted(data.title, room, 17, bold=True), size_pt=17, bold=True)
    told = [place.style, f"station {record.station}", *(["simulated"] if record.is_simulated else [])]
    page.text(MARGIN_MM, 23, fitted(one_line(", ".join(told)), room, 10), size_pt=10)
    if place.ended_utc is not None:
        times = f"{utc(place.started_utc)} to {utc(place.ended_utc)} UTC"
    else:
        times = f"begun {utc(place.started_utc)}, last event {utc(record.last_utc)} UTC"
    page.text(MARGIN_MM, 28, fitted(times, room, 9), size_pt=9, colour=GREY)
    _verdict(page, data)
    page.text(_RIGHT_MM, 28, name, size_pt=10, bold=True, align="right")
    if data.notes:
        notes = fitted(" ".join(data.notes), _RIGHT_MM - MARGIN_MM, 8, bold=True)
        page.text(MARGIN_MM, 32.2, notes, size_pt=8, bold=True)
    return page


def _verdict(page: Page, data: ReportData) -> None:
    grade = data.grade
    words = "FIRST QUALITY" if grade.is_first_quality else "NOT FIRST QUALITY"
    if data.record.is_partial:
        words += " SO FAR"
    box = (_RIGHT_MM - _VERDICT_MM, 10.5, _VERDICT_MM, 10.0)
    page.boxes([box], fill=PAPER if grade.is_first_quality else INK, edge=INK, width_pt=1.4)
    page.text(
        box[0] + box[2] / 2,
        box[1] + box[3] / 2,
        words,
        size_pt=11 if len(words) <= 20 else 9.5,
        bold=True,
        colour=INK if grade.is_first_quality else PAPER,
        align="center",
        vertical="center",
    )


def utc(stamp: datetime) -> str:
    """A time for people, UTC, to the second."""
    return stamp.strftime("%Y-%m-%d %H:%M:%S")


def metres(length_m: float) -> str:
    """A length for people, with its unit."""
    if length_m >= 10:
        return f"{length_m:.2f} m"
    return f"{length_m:.3f} m" if length_m >= 0.1 or not length_m else f"{1000 * length_m:.1f} mm"


def short(size_mm: float) -> str:
    """A size for people, mm: with a tenth as long as a tenth tells something."""
    return f"{size_mm:.1f}" if size_mm < 100 else f"{size_mm:.0f}"
