"""The map of a roll: width against metres, with every defect in its place.

Promises: all defects of their own are drawn, in each strip that they touch; what was not inspected is hatched, however
short; each metre (or yard) of the table carries its points. Long rolls go on on further pages; symbols shrink where a
strip is full.
"""

from __future__ import annotations

from collections.abc import Sequence

from glass_edge.events.payloads import CoverageGap
from glass_edge.service.report_data import DefectClass, ReportData, ReportedDefect, gap_totals
from glass_edge.service.report_layout import MapLayout, Strip, lay_out, round_step
from glass_edge.service.report_page import (
    GREY,
    INK,
    MARGIN_MM,
    PALE,
    PAPER,
    WIDTH_MM,
    Box,
    Page,
    fitted,
    text_mm,
    wrapped,
)
from glass_edge.service.report_sheet import begin_page, metres
from glass_edge.service.report_symbols import LARGE_MM, MIDDLE_MM, Mark, draw_marks, symbol_box, symbol_mm

CELL_FILLS = ("#ffffff", "#fee8c8", "#fdbb84", "#e34a33", "#7f0000")
"""From no points to the most a unit can have: OrRd of ColorBrewer, darker with the points."""
NOT_INSPECTED = "#c8c8c8"
_CELL_HEIGHT_MM = 5.0
_LABELS_A_STRIP, _LABEL_PT, _LABEL_GAP_MM = 14, 7.0, 0.9
_LEAST_GAP_MM = 0.4  # of paper: a gap never vanishes
_LEGEND_GAP_MM = 6.0


def map_layout(data: ReportData) -> MapLayout:
    """Strips and pages of the map."""
    roll_mm = max([1000 * data.record.woven_m, *(one.payload.along_mm + 0.01 for one in data.found)])
    return lay_out(roll_mm, across_mm(data), data.grade.unit_mm)


def across_mm(data: ReportData) -> float:
    """What the map shows across: the width, or more where a defect or the live width reaches beyond it."""
    rights = (one.payload.across_mm + one.payload.width_mm for one in data.found)
    return max(data.width_mm, *(width_mm for _, width_mm in data.record.widths), *rights, 1e-3)


def draw_map(data: ReportData) -> list[Page]:
    """The pages of the map."""
    layout = map_layout(data)
    pages = []
    for number in range(layout.pages):
        name = f"Roll map {number + 1} of {layout.pages}" if layout.pages > 1 else "Roll map"
        page = begin_page(data, name)
        for strip in layout.on_page(number):
            _draw_strip(page, data, strip, layout.unit_mm)
        _draw_legend(page, data, layout.bottom_mm(number) + _LEGEND_GAP_MM)
        pages.append(page)
    return pages


def cell_fill(points: int, cap: int) -> str:
    """Colour of a unit with `points` of at most `cap`."""
    if points <= 0:
        return CELL_FILLS[0]
    steps = len(CELL_FILLS) - 1
    return CELL_FILLS[min(steps, -(-points * steps // max(cap, 1)))]


def _draw_strip(page: Page, data: ReportData, strip: Strip, unit_mm: float) -> None:
    bottom_mm = strip.top_mm + strip.height_mm
    right_mm = strip.left_mm + strip.length_mm
    _draw_cells(page, data, strip, unit_mm)
    _draw_gaps(page, strip, data.record.gaps)
    _draw_scales(page, data, strip)
    page.boxes([(strip.left_mm, strip.top_mm, strip.length_mm, strip.height_mm)], edge=GREY, width_pt=0.8, level=3)
    if data.width_mm < strip.across_per_mm * strip.height_mm - 1e-6:
        selvedge_mm = strip.y_mm(data.width_mm)
        page.line([(strip.left_mm, selvedge_mm), (right_mm, selvedge_mm)], colour=GREY, width_pt=0.8)
    live = [
        (strip.x_mm(1000 * along_m), strip.y_mm(width_mm))
        for along_m, width_mm in data.record.widths
        if strip.start_mm <= 1000 * along_m <= strip.end_mm
    ]
    if len(live) > 1:
        page.line(live, colour=INK, width_pt=0.9, dashed=True)
    shown = [(one, _mark(one, strip)) for one in data.found if _is_in(one, strip)]
    size_mm = symbol_mm(len(shown))
    draw_marks(page, [mark for _, mark in shown], size_mm)
    if size_mm >= MIDDLE_MM:
        _draw_labels(page, shown, size_mm, (strip.left_mm, strip.top_mm, right_mm, bottom_mm))


def _is_in(defect: ReportedDefect, strip: Strip) -> bool:
    payload = defect.payload
    start_mm = max(payload.along_mm, 0.0)
    if defect.kind in (DefectClass.POINT, DefectClass.HOLE):
        middle_mm = start_mm + payload.length_mm / 2
        return strip.shows(middle_mm, middle_mm) or (strip.end_mm <= middle_mm and strip.shows(start_mm, start_mm))
    return strip.shows(start_mm, start_mm + payload.length_mm)


def _mark(defect: ReportedDefect, strip: Strip) -> Mark:
    payload = defect.payload
    return Mark(defect.kind, strip.box(payload.along_mm, payload.across_mm, payload.length_mm, payload.width_mm))


def _draw_cells(page: Page, data: ReportData, strip: Strip, unit_mm: float) -> None:
    cap = data.table.cap(data.width_mm)
    points = {unit.unit: unit.points for unit in data.grade.units}
    page.text(strip.left_mm - 1.5, strip.cells_top_mm + 3.0, "points", size_pt=7.5, colour=GREY, align="right")
    unit = round(strip.start_mm / unit_mm)
    while unit * unit_mm < strip.end_mm - 1e-6:
        left = strip.x_mm(unit * unit_mm)
        width = strip.x_mm(min((unit + 1) * unit_mm, strip.end_mm)) - left
        value = points.get(unit, 0)
        box = (left, strip.cells_top_mm, width, _CELL_HEIGHT_MM)
        page.boxes([box], fill=cell_fill(value, cap), edge=GREY, width_pt=0.5, level=2)
        if value:
            colour = PAPER if cell_fill(value, cap) in CELL_FILLS[3:] else INK
            page.text(left + width / 2, box[1] + 3.7, str(value), size_pt=10, bold=True, colour=colour, align="center")
        if unit * unit_mm > strip.start_mm + 1e-6:
            page.line([(left, strip.top_mm), (left, strip.top_mm + strip.height_mm)], colour=PALE, width_pt=0.5)
        unit += 1


def _draw_gaps(page: Page, strip: Strip, gaps: Sequence[CoverageGap]) -> None:
    boxes = [(gap, _gap_box(strip, gap)) for gap in gaps if strip.shows(gap.along_mm, _gap_end_mm(gap))]
    page.boxes([box for _, box in boxes], fill=NOT_INSPECTED, edge=GREY, width_pt=0.3, hatch="////", level=2.5)
    for gap, (left, top, width, height) in boxes:
        name = gap.reason.value.replace("_", " ")
        across = text_mm(name, 8) + 2
        middle = left + width / 2, top + height / 2
        if across <= width:
            page.boxes([(middle[0] - across / 2, middle[1] - 2.2, across, 4.4)], fill=PAPER, level=3.5)
            page.text(*middle, name, size_pt=8, align="center", vertical="center")
        elif width >= 4.6 and across <= height:
            page.boxes([(middle[0] - 2.2, middle[1] - across / 2, 4.4, across)], fill=PAPER, level=3.5)
            page.text(*middle, name, size_pt=8, align="center", vertical="center", rotation=90)


def _gap_end_mm(gap: CoverageGap) -> float:
    return gap.along_mm + 1000 * gap.length_m


def _gap_box(strip: Strip, gap: CoverageGap) -> Box:
    left, top, width, _ = strip.box(gap.along_mm, 0.0, 1000 * gap.length_m, 0.0)
    if width < _LEAST_GAP_MM:
        left, width = min(left, strip.left_mm + strip.length_mm - _LEAST_GAP_MM), _LEAST_GAP_MM
    return left, top, width, strip.height_mm


def _draw_scales(page: Page, data: ReportData, strip: Strip) -> None:
    bottom = strip.top_mm + strip.height_mm
    length_m = (strip.end_mm - strip.start_mm) / 1000
    step = round_step(strip.along_per_mm * 17 / 1000)
    tick = round(strip.start_mm / 1000 / step)
    while (along_m := tick * step) <= strip.end_mm / 1000 + 1e-9:
        if along_m >= strip.start_mm / 1000 - 1e-9:
            x = strip.x_mm(1000 * along_m)
            page.line([(x, bottom), (x, bottom + 1.2)], width_pt=0.7)
            is_first = along_m < strip.start_mm / 1000 + step or length_m < step
            page.text(x, bottom + 4.4, f"{along_m:.6g}" + (" m" if is_first else ""), size_pt=8.5, align="center")
        tick += 1
    step = round_step(max(data.width_mm / 4, strip.across_per_mm * 5))
    ticks = [number * step for number in range(int(data.width_mm / step + 1e-9) + 1)]
    if data.width_mm - ticks[-1] > strip.across_per_mm * 4:
        ticks.append(data.width_mm)  # the right selvedge
    for across in ticks:
        y = strip.y_mm(across)
        page.line([(strip.left_mm - 1, y), (strip.left_mm, y)], width_pt=0.7)
        name = f"{across:.6g}" if across < data.width_mm else f"{across:.0f}"
        page.text(strip.left_mm - 1.6, y, name if across else "0 mm", size_pt=8, align="right", vertical="center")


def _draw_labels(
    page: Page,
    shown: Sequence[tuple[ReportedDefect, Mark]],
    size_mm: float,
    limits: tuple[float, float, float, float],
) -> None:
    """Numbers of the worst defects of a strip, where they cover no other number and no symbol."""
    taken = [symbol_box(mark, size_mm) for _, mark in shown]
    worst = sorted(shown, key=lambda pair: (-pair[0].points.points_by_size, -pair[0].longest_mm))
    drawn = 0
    for defect, mark in worst:
        if drawn == _LABELS_A_STRIP:
            return
        name = str(defect.payload.defect_id)
        left, top, width, height = symbol_box(mark, size_mm)
        wide, high = text_mm(name, _LABEL_PT), 2.6
        places = (
            (left + width + _LABEL_GAP_MM, top + height / 2 - high / 2),
            (left - wide - _LABEL_GAP_MM, top + height / 2 - high / 2),
            (left + width / 2 - wide / 2, top - high - 0.3),
            (left + width / 2 - wide / 2, top + height + 0.3),
        )
        for x, y in places:
            box = (x, y, wide, high)
            inside = x >= limits[0] and y >= limits[1] and x + wide <= limits[2] and y + high <= limits[3]
            if inside and not any(_overlap(box, other) for other in taken):
                middle = x + wide / 2, y + high / 2
                page.text(*middle, name, size_pt=_LABEL_PT, align="center", vertical="center", halo=True)
                taken.append(box)
                drawn += 1
                break


def _overlap(one: Box, other: Box) -> bool:
    return (
        one[0] < other[0] + other[2]
        and other[0] < one[0] + one[2]
        and one[1] < other[1] + other[3]
        and other[1] < one[1] + one[3]
    )


def _draw_legend(page: Page, data: ReportData, y: float) -> None:
    x = MARGIN_MM
    totals = {total.kind: total.count for total in data.by_class()}
    for kind in DefectClass:
        name = f"{kind.words} {totals.get(kind, 0)}"
        draw_marks(page, [Mark(kind, (x + 2.6, y, 0.0, 0.0))], LARGE_MM)
        page.text(x + 6.2, y, name, size_pt=9, vertical="center")
        x += 9 + text_mm(name, 9)
    y += 7
    x = MARGIN_MM
    cap = data.table.cap(data.width_mm)
    unit = data.table.unit.value
    steps = [round(step * cap / 4) for step in range(5)] if cap >= 4 else list(range(cap + 1))
    for value in steps:
        fill = cell_fill(value, cap)
        page.boxes([(x, y - 2.5, 6, 5)], fill=fill, edge=GREY)
        colour = PAPER if fill in CELL_FILLS[3:] else INK
        page.text(x + 3, y, str(value), size_pt=9, bold=True, colour=colour, align="center", vertical="center")
        x += 6
    name = f"points of a {unit}"
    page.text(x + 2, y, name, size_pt=9, vertical="center")
    x += 6 + text_mm(name, 9)
    page.boxes([(x, y - 2.5, 9, 5)], fill=NOT_INSPECTED, edge=GREY, width_pt=0.3, hatch="////")
    reasons = ", ".join(
        f"{total.reason.value.replace('_', ' ')} {metres(total.length_m)}" for total in gap_totals(data.record.gaps)
    )
    text = f"not inspected: {reasons}" if reasons else "not inspected: nothing"
    room = WIDTH_MM - MARGIN_MM - x - 14
    for number, row in enumerate(wrapped(text, room, 9, 2)):
        page.text(x + 11, y + 4 * number, row, size_pt=9, vertical="center")
    notes = "The left selvedge is above, along the web runs to the right. What is larger than its symbol is to scale."
    if len(data.record.widths) > 1:
        notes += " Dashed: live width."
    page.text(MARGIN_MM, y + 9.5, fitted(notes, WIDTH_MM - 2 * MARGIN_MM, 7.5), size_pt=7.5, colour=GREY)
