"""The first page of a report: the roll, its grade, what was found, what was not inspected, requests to stop.

Promises: every figure is that of `roll.json`; a table that does not fit says how many rows are left out. `points` of a
defect are those of its size, `counted` those that the metre's cap left.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from glass_edge.service.report_data import ReportData, ReportedDefect, one_line
from glass_edge.service.report_page import GREY, INK, MARGIN_MM, PALE, WIDTH_MM, Align, Page, Point, fitted, wrapped
from glass_edge.service.report_sheet import begin_page, metres, utc
from glass_edge.service.roll_record import StopRecord

_LONGEST, _STOPS, _REASONS, _FAULTS = 8, 6, 6, 4
_ROOM_MM = WIDTH_MM - 2 * MARGIN_MM
_ROW_MM, _SIZE_PT = 5.0, 9.0
_HALF_MM = _ROOM_MM / 2 - 4
Column = tuple[str, float, Align]
"""Heading, right or left edge from the table's left (mm), how it is set."""


def draw_head(data: ReportData) -> Page:
    """The page."""
    page = begin_page(data, "Report")
    _figures(page, data, 40)
    left, right = MARGIN_MM, MARGIN_MM + _HALF_MM + 8
    below = max(_grading(page, data, 66), _classes(page, data, right, 66)) + 5
    below = _longest(page, data, below) + 5
    lower = max(_not_inspected(page, data, left, below), _engine(page, data, right, below)) + 5
    lower = _stops(page, data, lower) + 5
    _faults(page, data, lower)
    return page


def _figures(page: Page, data: ReportData, y: float) -> None:
    record, grade = data.record, data.grade
    per_area = "-" if grade.points_per_100_m2 is None else f"{grade.points_per_100_m2:.1f}"
    cells = (
        (_metres_m(record.woven_m), "m woven"),
        (_metres_m(record.inspected_m), "m inspected"),
        (f"{data.width_mm:.0f}", "mm wide"),
        (f"{len(data.found)}", "defects"),
        (f"{grade.total_points}", "points"),
        (per_area, "points per 100 m2"),
    )
    step = _ROOM_MM / len(cells)
    page.boxes([(MARGIN_MM, y, _ROOM_MM, 19)], edge=INK, width_pt=0.8)
    for number, (value, name) in enumerate(cells):
        x = MARGIN_MM + (number + 0.5) * step
        page.text(x, y + 10, value, size_pt=17, bold=True, align="center")
        page.text(x, y + 15.5, name, size_pt=8.5, colour=GREY, align="center")


def _metres_m(length_m: float) -> str:
    return f"{length_m:.2f}" if length_m >= 10 else f"{length_m:.3f}"


def _grading(page: Page, data: ReportData, y: float) -> float:
    grade = data.grade
    y = _heading(page, MARGIN_MM, y, _HALF_MM, "Grading")
    per_yd2 = "-" if grade.points_per_100_yd2 is None else f"{grade.points_per_100_yd2:.1f}"
    per_m2 = "-" if grade.points_per_100_m2 is None else f"{grade.points_per_100_m2:.1f}"
    rows = [
        ("table", grade.table),
        ("points", f"{grade.total_points} ({per_m2} per 100 m2, {per_yd2} per 100 yd2)"),
        ("holes", str(grade.holes)),
        ("first quality", "yes" if grade.is_first_quality else "no"),
    ]
    for name, value in rows:
        page.text(MARGIN_MM, y, name, size_pt=_SIZE_PT, colour=GREY)
        page.text(MARGIN_MM + 24, y, fitted(value, _HALF_MM - 24, _SIZE_PT), size_pt=_SIZE_PT)
        y += _ROW_MM
    said = [*grade.reasons[:_REASONS], *grade.remarks]
    if len(grade.reasons) > _REASONS:
        said.append(f"and {len(grade.reasons) - _REASONS} more reasons in roll.json")
    for sentence in said:
        for row in wrapped(f"{sentence[:1].upper()}{sentence[1:]}.", _HALF_MM, 8.5, 3):
            page.text(MARGIN_MM, y, row, size_pt=8.5)
            y += 4.2
    return y


def _classes(page: Page, data: ReportData, left: float, y: float) -> float:
    columns: list[Column] = [("class", 0, "left"), ("defects", 46, "right"), ("points", 64, "right")]
    columns.append(("longest, mm", _HALF_MM, "right"))
    rows = [
        (total.kind.words, str(total.count), str(total.points), f"{total.longest_mm:.1f}") for total in data.by_class()
    ]
    y = _heading(page, left, y, _HALF_MM, "Defects by class")
    return _table(page, (left, y), _HALF_MM, columns, rows or [("none", "0", "0", "")])


def _longest(page: Page, data: ReportData, y: float) -> float:
    y = _heading(page, MARGIN_MM, y, _ROOM_MM, "Longest defects")
    columns: list[Column] = [
        ("number", 12, "right"),
        ("class", 18, "left"),
        ("along, m", 62, "right"),
        ("across, mm", 86, "right"),
        ("length x width, mm", 124, "right"),
        ("to warp", 139, "right"),
        ("score", 153, "right"),
        ("points", 168, "right"),
        ("counted", _ROOM_MM, "right"),
    ]
    longest = data.longest()
    rows = [_defect_row(defect) for defect in longest[:_LONGEST]]
    y = _table(page, (MARGIN_MM, y), _ROOM_MM, columns, rows or [("none", *[""] * 8)])
    if len(longest) > _LONGEST:
        y = _left_out(page, y, f"{len(longest) - _LONGEST} more in defects.csv")
    return y


def _defect_row(defect: ReportedDefect) -> tuple[str, ...]:
    payload = defect.payload
    return (
        str(payload.defect_id),
        defect.kind.words,
        f"{payload.along_mm / 1000:.3f}",
        f"{payload.across_mm:.1f}",
        f"{payload.length_mm:.1f} x {payload.width_mm:.1f}",
        "" if payload.direction_deg is None else f"{payload.direction_deg:.0f}°",
        f"{payload.peak_score:.3f}",
        str(defect.points.points_by_size),
        str(defect.points.points),
    )


def _not_inspected(page: Page, data: ReportData, left: float, y: float) -> float:
    y = _heading(page, left, y, _HALF_MM, "Not inspected")
    columns: list[Column] = [("reason", 0, "left"), ("stretches", 60, "right"), ("length", _HALF_MM, "right")]
    rows = [
        (total.reason.value.replace("_", " "), str(total.stretches), metres(total.length_m))
        for total in data.gaps_by_reason()
    ]
    rows.append(("all", str(len(data.record.gaps)), metres(data.record.missed_m)))
    return _table(page, (left, y), _HALF_MM, columns, rows)


def _engine(page: Page, data: ReportData, left: float, y: float) -> float:
    y = _heading(page, left, y, _HALF_MM, "Engine")
    engines = data.record.engines
    if not engines:
        page.text(left, y, "not in the journal any more", size_pt=_SIZE_PT)
        return y + _ROW_MM
    last = engines[-1].payload
    rows = [
        ("engine", f"{last.style} {last.version}"),
        ("runs on", f"{last.runtime}, {last.precision}"),
        ("threshold", f"logit {last.threshold_logit:.3f}"),
        ("model", f"SHA-256 {last.model_sha256[:16]}…"),
        ("alarms", data.alarms_told),
    ]
    if len(engines) > 1:
        rows.append(("changed", f"{len(engines) - 1} times on this roll; all in roll.json"))
    for name, value in rows:
        page.text(left, y, name, size_pt=_SIZE_PT, colour=GREY)
        page.text(left + 24, y, fitted(one_line(value), _HALF_MM - 24, _SIZE_PT), size_pt=_SIZE_PT)
        y += _ROW_MM
    return y


def _stops(page: Page, data: ReportData, y: float) -> float:
    stops = data.record.stops
    y = _heading(page, MARGIN_MM, y, _ROOM_MM, "Requests to stop the loom")
    columns: list[Column] = [
        ("asked, UTC", 0, "left"),
        ("along, m", 54, "right"),
        ("because", 58, "left"),
        ("answer", 132, "left"),
    ]
    rows = [_stop_row(stop) for stop in stops[:_STOPS]]
    y = _table(page, (MARGIN_MM, y), _ROOM_MM, columns, rows or [("none", "", "", "")])
    if len(stops) > _STOPS:
        y = _left_out(page, y, f"{len(stops) - _STOPS} more in roll.json")
    return y


def _stop_row(stop: StopRecord) -> tuple[str, ...]:
    if stop.ack is None or stop.answered_utc is None:
        answer = "none"
    else:
        seconds = (stop.answered_utc - stop.asked_utc).total_seconds()
        answer = f"{'accepted' if stop.ack.accepted else 'refused'} by {stop.ack.source}, {seconds:.1f} s"
    along = "" if stop.request.along_mm is None else f"{stop.request.along_mm / 1000:.3f}"
    return utc(stop.asked_utc), along, one_line(stop.request.reason), one_line(answer)


def _faults(page: Page, data: ReportData, y: float) -> None:
    faults = data.record.faults
    if not faults:
        return
    y = _heading(page, MARGIN_MM, y, _ROOM_MM, "Faults the station told")
    columns: list[Column] = [("fault", 0, "left"), ("times", 54, "right"), ("last message", 58, "left")]
    rows = [(one_line(fault.code), str(fault.times), one_line(fault.message)) for fault in faults[:_FAULTS]]
    y = _table(page, (MARGIN_MM, y), _ROOM_MM, columns, rows)
    if len(faults) > _FAULTS:
        _left_out(page, y, f"{len(faults) - _FAULTS} more in roll.json")


def _heading(page: Page, left: float, y: float, width: float, text: str) -> float:
    page.text(left, y, text, size_pt=11, bold=True)
    page.line([(left, y + 1.6), (left + width, y + 1.6)], width_pt=0.9)
    return y + 6.6


def _left_out(page: Page, y: float, text: str) -> float:
    page.text(MARGIN_MM, y, f"… {text}", size_pt=8.5, colour=GREY)
    return y + _ROW_MM


def _table(page: Page, corner: Point, width: float, columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> float:
    """Draws from `corner`, left and top; returns where what follows begins."""
    left, y = corner
    for name, place, align in columns:
        page.text(left + place, y, name, size_pt=8, colour=GREY, align=align)
    y += _ROW_MM
    rooms = list(_rooms(columns, width))
    for row in rows:
        for value, room, (_, place, align) in zip(row, rooms, columns, strict=True):
            page.text(left + place, y, fitted(value, room, _SIZE_PT), size_pt=_SIZE_PT, align=align)
        page.line([(left, y + 1.5), (left + width, y + 1.5)], colour=PALE, width_pt=0.4)
        y += _ROW_MM
    return y


def _rooms(columns: Sequence[Column], width: float) -> Iterator[float]:
    """How wide each column may be."""
    for number, (_, place, align) in enumerate(columns):
        if align == "left":
            after = columns[number + 1 :]
            edge = next((at if other == "left" else at - 14 for _, at, other in after), width)
            yield edge - place - 1
        else:
            yield place if not number else place - columns[number - 1][1]
