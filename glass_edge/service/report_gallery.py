"""The gallery of a report: pictures of the worst defects, the worst first.

Promises: every picture stands at one scale across and along, with a bar that tells it, and has number, class, place,
size and points of its defect below it; a defect without a picture keeps its place and says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from glass_edge.service.report_crops import CropPicture, load_crop
from glass_edge.service.report_data import ReportData, ReportedDefect
from glass_edge.service.report_layout import round_step
from glass_edge.service.report_page import GREY, INK, MARGIN_MM, PALE, PAPER, WIDTH_MM, Box, Page, text_mm
from glass_edge.service.report_sheet import begin_page, short
from glass_edge.service.report_symbols import RED

COLUMNS, ROWS = 3, 4
_TOP_MM, _BOTTOM_MM, _GAP_MM = 41.0, 285.0, 5.0
_CAPTION_MM = 14.0
_BAR_ROOM_MM = 16.0


def draw_gallery(data: ReportData, crops: Path | None, most: int) -> list[Page]:
    """The pages of the gallery; none when the roll has no defects or `most` is 0.

    Args:
        data: the roll.
        crops: the station's folder of pictures; None: not known.
        most: defects shown at most.
    """
    shown = data.worst()[:most]
    a_page = COLUMNS * ROWS
    count = -(-len(shown) // a_page)
    pages = []
    for number in range(count):
        page = begin_page(data, f"Gallery {number + 1} of {count}" if count > 1 else "Gallery")
        text = f"The worst {len(shown)} of {len(data.found)} defects" if len(shown) < len(data.found) else "All defects"
        text += ", most points first. Along the web runs downwards; what scored above the threshold is outlined."
        page.text(MARGIN_MM, 37.5, text, size_pt=8.5, colour=GREY)
        _draw_page(page, data, crops, shown[number * a_page : (number + 1) * a_page])
        pages.append(page)
    return pages


def _draw_page(page: Page, data: ReportData, crops: Path | None, shown: Sequence[ReportedDefect]) -> None:
    for place, defect in enumerate(shown):
        left, top, width, height = frame_box(place)
        threshold = _threshold(data, defect.record.found_utc)
        picture = load_crop(crops, defect.payload.crop_file, threshold)
        if isinstance(picture, str):
            page.boxes([(left, top, width, height)], edge=PALE, hatch="//")
            across = text_mm(picture, 8) + 3
            page.boxes([(left + (width - across) / 2, top + height / 2 - 3, across, 6)], fill=PAPER, level=3)
            page.text(
                left + width / 2, top + height / 2, picture, size_pt=8, colour=GREY, align="center", vertical="center"
            )
        else:
            _draw_picture(page, data, picture, (left, top, width, height))
        _draw_caption(page, defect, left, top + height, width)


def frame_box(place: int) -> Box:
    """Where the picture of a page's `place`, from 0, may stand."""
    width = (WIDTH_MM - 2 * MARGIN_MM - (COLUMNS - 1) * _GAP_MM) / COLUMNS
    step = (_BOTTOM_MM - _TOP_MM) / ROWS
    row, column = divmod(place, COLUMNS)
    return MARGIN_MM + column * (width + _GAP_MM), _TOP_MM + row * step, width, step - _CAPTION_MM - 2


def _threshold(data: ReportData, found_utc: datetime) -> float | None:
    """What decided when the defect was found."""
    engines = data.record.engines
    before = [engine for engine in engines if engine.since_utc <= found_utc] or list(engines[:1])
    return before[-1].payload.threshold_logit if before else None


def _draw_picture(page: Page, data: ReportData, picture: CropPicture, frame: Box) -> None:
    left, top, width, height = frame
    start = data.record.start
    across_mm, along_mm = picture.columns * start.mm_per_px, picture.lines * start.mm_per_line
    cloth_per_mm = max(across_mm / width, along_mm / height)
    shown_width, shown_height = across_mm / cloth_per_mm, along_mm / cloth_per_mm
    left, top = left + (width - shown_width) / 2, top + (height - shown_height) / 2
    page.picture(picture.pixels, (left, top, shown_width, shown_height))
    page.boxes([(left, top, shown_width, shown_height)], edge=GREY, width_pt=0.5, level=3)
    per_column, per_line = start.mm_per_px / cloth_per_mm, start.mm_per_line / cloth_per_mm
    for outline in picture.outlines:
        points = [(left + column * per_column, top + line * per_line) for column, line in (*outline, outline[0])]
        page.line(points, colour=PAPER, width_pt=1.6)
        page.line(points, colour=RED, width_pt=0.8)
    _draw_bar(page, frame, (left, top, shown_width, shown_height), cloth_per_mm)


def _draw_bar(page: Page, frame: Box, shown: Box, cloth_per_mm: float) -> None:
    """A scale in the picture's lower left corner, or in the frame's where the picture has no room."""
    bar_mm = round_step(cloth_per_mm * 8)
    length = bar_mm / cloth_per_mm
    name = f"{bar_mm:g} mm"
    width = max(length, text_mm(name, 7)) + 2
    left, top, _, along = shown if shown[2] > 2 * width and shown[3] > _BAR_ROOM_MM else frame
    bottom = top + along
    page.boxes([(left, bottom - 5, width, 5)], fill=PAPER, level=4)
    page.boxes([(left + 1, bottom - 1.5, length, 0.7)], fill=INK, level=4.5)
    page.text(left + 1, bottom - 2.2, name, size_pt=7)


def _draw_caption(page: Page, defect: ReportedDefect, left: float, y: float, width: float) -> None:
    payload, by_size, counted = defect.payload, defect.points.points_by_size, defect.points.points
    points = f"{by_size} point{'' if by_size == 1 else 's'}" + (f", {counted} counted" if counted < by_size else "")
    page.text(left, y + 4, f"{payload.defect_id}  {defect.kind.words}", size_pt=10, bold=True)
    page.text(left + width, y + 4, points, size_pt=9, align="right")
    page.text(left, y + 8, f"{payload.along_mm / 1000:.3f} m along, {payload.across_mm:.1f} mm across", size_pt=8)
    size = f"{short(payload.length_mm)} mm long, {short(payload.width_mm)} mm wide"
    page.text(left, y + 11.8, size, size_pt=8)
    page.text(left + width, y + 11.8, f"score {payload.peak_score:.2f}", size_pt=8, align="right")
