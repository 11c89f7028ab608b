"""Where a roll's metres lie on the pages of its map.

Promises: every millimetre of the roll lies in exactly one strip; a strip ends where a unit (metre or yard) of the table
ends, so that no unit is torn; a roll that fits one page is drawn on one page, as large as it can be.

Along the web runs to the right and the left selvedge is above: the cloth as one sees it who walks along it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from glass_edge.service.report_page import MARGIN_MM, WIDTH_MM, Box

STRIPS_A_PAGE = 5
_UNITS_A_STRIP = (1, 2, 5, 10, 20)
_TOP_MM, _BOTTOM_MM = 36.0, 262.0  # between heading and legend
_LEFT_MM = MARGIN_MM + 13  # room for the scale across
_LENGTH_MM = WIDTH_MM - MARGIN_MM - _LEFT_MM
_CELLS_MM, _SCALE_MM, _GAP_MM = 6.0, 6.0, 5.0
_HEIGHT_MM = 60.0  # of a strip whose cloth would be lower at one scale along and across


@dataclass(frozen=True, slots=True)
class Strip:
    """A stretch of the roll on paper.

    Attributes:
        page: number of its page, from 0.
        start_mm, end_mm: of the roll.
        left_mm, top_mm, height_mm: of the cloth on paper.
        cells_top_mm: top of the row of units above it.
        along_per_mm, across_per_mm: mm of cloth on a mm of paper.
    """

    page: int
    start_mm: float
    end_mm: float
    left_mm: float
    top_mm: float
    height_mm: float
    cells_top_mm: float
    along_per_mm: float
    across_per_mm: float

    @property
    def length_mm(self) -> float:
        """Length on paper."""
        return (self.end_mm - self.start_mm) / self.along_per_mm

    def x_mm(self, along_mm: float) -> float:
        """Place on paper of a place along the roll."""
        return self.left_mm + (along_mm - self.start_mm) / self.along_per_mm

    def y_mm(self, across_mm: float) -> float:
        """Place on paper of a place across the web, from the left selvedge."""
        return self.top_mm + across_mm / self.across_per_mm

    def shows(self, start_mm: float, end_mm: float) -> bool:
        """Whether something of [start_mm, end_mm] lies in this strip; a place between two lies in the later one."""
        return start_mm < self.end_mm and (end_mm > self.start_mm or start_mm >= self.start_mm)

    def box(self, along_mm: float, across_mm: float, length_mm: float, width_mm: float) -> Box:
        """A rectangle of the roll on paper, cut to this strip along."""
        start, end = max(along_mm, self.start_mm), min(along_mm + length_mm, self.end_mm)
        left, top = self.x_mm(start), self.y_mm(across_mm)
        return left, top, max(self.x_mm(end) - left, 0.0), width_mm / self.across_per_mm


@dataclass(frozen=True, slots=True)
class MapLayout:
    """The strips of a roll; `unit_mm` is the length of a unit."""

    strips: tuple[Strip, ...]
    unit_mm: float

    def bottom_mm(self, page: int) -> float:
        """Where the strips of a page end, their scale included."""
        return max(strip.top_mm + strip.height_mm for strip in self.on_page(page)) + _SCALE_MM

    @property
    def pages(self) -> int:
        """Number of pages."""
        return self.strips[-1].page + 1

    def on_page(self, page: int) -> tuple[Strip, ...]:
        """The strips of a page."""
        return tuple(strip for strip in self.strips if strip.page == page)


def lay_out(roll_mm: float, across_mm: float, unit_mm: float) -> MapLayout:
    """Strips for a roll.

    Args:
        roll_mm: length of the roll; a roll of no length is drawn as one of a unit.
        across_mm: what is drawn across.
        unit_mm: a unit of the table of points.
    """
    roll_mm = roll_mm if roll_mm > 0 else unit_mm
    units = math.ceil(roll_mm / unit_mm - 1e-9)
    a_strip = next((some for some in _UNITS_A_STRIP if math.ceil(units / some) <= STRIPS_A_PAGE), _UNITS_A_STRIP[-1])
    strip_mm = min(a_strip * unit_mm, roll_mm) if units <= a_strip else a_strip * unit_mm
    count = math.ceil(units / a_strip)
    a_page = math.ceil(count / math.ceil(count / STRIPS_A_PAGE))  # pages as full as each other
    along_per_mm = strip_mm / _LENGTH_MM
    room_mm = (_BOTTOM_MM - _TOP_MM) / a_page - _CELLS_MM - _SCALE_MM - _GAP_MM
    natural_mm = across_mm / along_per_mm
    height_mm = min(room_mm, max(natural_mm, _HEIGHT_MM))
    strips = []
    for number in range(count):
        top_mm = _TOP_MM + (number % a_page) * (_CELLS_MM + height_mm + _SCALE_MM + _GAP_MM)
        strips.append(
            Strip(
                page=number // a_page,
                start_mm=number * strip_mm,
                end_mm=min((number + 1) * strip_mm, roll_mm),
                left_mm=_LEFT_MM,
                top_mm=top_mm + _CELLS_MM,
                height_mm=height_mm,
                cells_top_mm=top_mm,
                along_per_mm=along_per_mm,
                across_per_mm=across_mm / height_mm,
            )
        )
    return MapLayout(tuple(strips), unit_mm)


def round_step(at_least: float) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that is not below `at_least`."""
    decade: float = 10.0 ** math.floor(math.log10(at_least))
    return next(factor * decade for factor in (1.0, 2.0, 5.0, 10.0) if factor * decade >= at_least * (1 - 1e-9))
