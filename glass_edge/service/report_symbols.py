"""The symbols of defects on a roll map.

Promises: each class has a form of its own, so that the map is read without colours too; a defect larger than its symbol
is drawn to scale; the centre of a symbol is the centre of its defect, as far as the strip shows it.

Colours: Okabe and Ito (2008), told apart by colour-blind people.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from glass_edge.service.report_data import DefectClass
from glass_edge.service.report_page import INK, PAPER, Box, Page, Point

BLUE, ORANGE, GREEN, RED = "#0072b2", "#e69f00", "#009e73", "#d55e00"
_DARK_ORANGE, _DARK_GREEN = "#7a5300", "#00503a"
LARGE_MM, MIDDLE_MM, SMALL_MM = 2.6, 1.8, 1.1
_CROWDED, _VERY_CROWDED = 120, 400  # defects in a strip
_ORDER = (
    DefectClass.BLOCK,
    DefectClass.WARP_LINE,
    DefectClass.WEFT_LINE,
    DefectClass.POINT,
    DefectClass.RUNNING,
    DefectClass.HOLE,
)
"""Drawn one over the other, the gravest last."""
# length along and across of the least symbol, as a part of the size of symbols
_LEAST: dict[DefectClass, tuple[float, float]] = {
    DefectClass.BLOCK: (0.75, 0.75),
    DefectClass.WARP_LINE: (1.3, 0.36),
    DefectClass.WEFT_LINE: (0.36, 1.3),
    DefectClass.POINT: (0.62, 0.62),
    DefectClass.RUNNING: (1.9, 0.62),
    DefectClass.HOLE: (1.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class Mark:
    """A defect to draw: its class, and its box to scale on paper."""

    kind: DefectClass
    box: Box


def symbol_mm(defects_in_strip: int) -> float:
    """Size of symbols: the fuller a strip, the smaller."""
    if defects_in_strip > _VERY_CROWDED:
        return SMALL_MM
    return MIDDLE_MM if defects_in_strip > _CROWDED else LARGE_MM


def symbol_box(mark: Mark, size_mm: float) -> Box:
    """Box of the mark as it is drawn: to scale, and no side below that of the least symbol."""
    left, top, width, height = mark.box
    along, across = (part * size_mm for part in _LEAST[mark.kind])
    drawn_width, drawn_height = max(width, along), max(height, across)
    return left + (width - drawn_width) / 2, top + (height - drawn_height) / 2, drawn_width, drawn_height


def draw_marks(page: Page, marks: Sequence[Mark], size_mm: float) -> None:
    """Draw marks, the gravest on top."""
    for level, kind in enumerate(_ORDER):
        of_kind = [mark for mark in marks if mark.kind is kind]
        if of_kind:
            _draw(page, kind, of_kind, size_mm, 4 + level / 10)


def _draw(page: Page, kind: DefectClass, marks: Sequence[Mark], size_mm: float, level: float) -> None:
    boxes = [symbol_box(mark, size_mm) for mark in marks]
    thin_pt = 0.5 if size_mm >= MIDDLE_MM else 0.25
    if kind is DefectClass.BLOCK:
        page.boxes(boxes, fill=GREEN, edge=_DARK_GREEN, width_pt=thin_pt, level=level)
    elif kind is DefectClass.WARP_LINE:
        page.boxes(boxes, fill=BLUE, level=level)
    elif kind is DefectClass.WEFT_LINE:
        page.boxes(boxes, fill=ORANGE, edge=_DARK_ORANGE, width_pt=thin_pt, level=level)
    elif kind is DefectClass.POINT:
        radius_mm = _LEAST[kind][0] * size_mm / 2
        page.circles(_centres(boxes), radius_mm, fill=INK, edge=PAPER, width_pt=thin_pt, level=level)
    elif kind is DefectClass.RUNNING:
        page.boxes(boxes, fill=INK, level=level)
        page.boxes(_dashes(boxes), fill=PAPER, level=level + 0.05)
    else:
        _draw_holes(page, marks, boxes, size_mm, level)


def _draw_holes(page: Page, marks: Sequence[Mark], boxes: Sequence[Box], size_mm: float, level: float) -> None:
    larger = [mark.box for mark in marks if max(mark.box[2], mark.box[3]) > _LEAST[mark.kind][0] * size_mm]
    width_pt = 1.1 * size_mm / LARGE_MM
    page.boxes(larger, fill=PAPER, edge=RED, width_pt=width_pt, level=level)
    centres = _centres(boxes)
    radius_mm = size_mm * _LEAST[DefectClass.HOLE][0] / 2
    page.circles(centres, radius_mm, fill=PAPER, edge=RED, width_pt=width_pt, level=level + 0.02)
    arm, thick = radius_mm * 0.62, size_mm * 0.07
    bars = [bar for x, y in centres for bar in (_bar(x, y, arm, thick, 1), _bar(x, y, arm, thick, -1))]
    page.polygons(bars, fill=RED, level=level + 0.04)


def _bar(x: float, y: float, arm: float, thick: float, slope: int) -> list[Point]:
    """A stroke of a cross."""
    return [
        (x - arm, y - slope * arm - thick),
        (x - arm, y - slope * arm + thick),
        (x + arm, y + slope * arm + thick),
        (x + arm, y + slope * arm - thick),
    ]


def _dashes(boxes: Iterable[Box]) -> list[Box]:
    """A dashed line of boxes along the middle of each box."""
    dashes = []
    for left, top, width, height in boxes:
        thick = height * 0.3
        pitch = min(2.4, width / 2)
        for number in range(max(1, int(width / pitch))):
            dashes.append((left + (number + 0.25) * pitch, top + (height - thick) / 2, pitch / 2, thick))
    return dashes


def _centres(boxes: Iterable[Box]) -> list[Point]:
    return [(left + width / 2, top + height / 2) for left, top, width, height in boxes]
