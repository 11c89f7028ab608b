"""A page of a report: A4, drawn in millimetres of paper from its upper left corner.

Promises: no state is shared between pages (no pyplot, no style that another thread could change), so pages may be drawn
in any thread; the same drawing gives the same PNG, byte for byte; text is set as it is, whatever signs it has.

Needs the extra `report` (matplotlib).
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterable, Sequence
from typing import Literal, TypeAlias

import matplotlib.font_manager
import matplotlib.patheffects
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PatchCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle
from numpy.typing import NDArray
from PIL import Image, ImageFont

WIDTH_MM, HEIGHT_MM = 210.0, 297.0
MARGIN_MM = 12.0
DPI = 150
MM_PER_INCH = 25.4
MM_PER_PT = MM_PER_INCH / 72
INK, GREY, PALE, PAPER = "#1a1a1a", "#6b6b6b", "#d9d9d9", "#ffffff"
_FONT = "DejaVu Sans"
_FONT_PX = 100  # at which text is measured
Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, width, height, mm of paper."""
Point: TypeAlias = tuple[float, float]
Align: TypeAlias = Literal["left", "center", "right"]
VerticalAlign: TypeAlias = Literal["top", "center", "baseline", "bottom"]


class Page:
    """A white A4 page in portrait."""

    def __init__(self) -> None:
        self.figure = Figure(figsize=(WIDTH_MM / MM_PER_INCH, HEIGHT_MM / MM_PER_INCH), dpi=DPI, facecolor=PAPER)
        self._canvas = FigureCanvasAgg(self.figure)
        self._axes = self.figure.add_axes((0, 0, 1, 1))
        self._axes.set_axis_off()
        self._axes.set_xlim(0, WIDTH_MM)
        self._axes.set_ylim(HEIGHT_MM, 0)
        self._axes.set_autoscale_on(False)

    def text(
        self,
        x_mm: float,
        y_mm: float,
        text: str,
        *,
        size_pt: float = 9,
        bold: bool = False,
        colour: str = INK,
        align: Align = "left",
        vertical: VerticalAlign = "baseline",
        rotation: float = 0,
        halo: bool = False,
    ) -> None:
        """A line of text; `halo` gives it a white rim, to be read over a drawing."""
        effects = [matplotlib.patheffects.withStroke(linewidth=2.2, foreground=PAPER)] if halo else None
        self._axes.text(
            x_mm,
            y_mm,
            text,
            size=size_pt,
            weight="bold" if bold else "normal",
            color=colour,
            ha=align,
            va=vertical,
            rotation=rotation,
            family=_FONT,
            parse_math=False,
            path_effects=effects,
            zorder=6,
        )

    def line(self, points: Sequence[Point], *, colour: str = INK, width_pt: float = 0.6, dashed: bool = False) -> None:
        """A line through points."""
        x, y = zip(*points, strict=True)
        self._axes.add_line(
            Line2D(x, y, color=colour, linewidth=width_pt, linestyle=(0, (3, 2)) if dashed else "-", zorder=3)
        )

    def boxes(
        self,
        boxes: Iterable[Box],
        *,
        fill: str = "none",
        edge: str = "none",
        width_pt: float = 0.5,
        hatch: str | None = None,
        level: float = 2,
    ) -> None:
        """Rectangles of one look; a higher `level` lies above."""
        patches = [Rectangle((left, top), width, height) for left, top, width, height in boxes]
        if patches:
            self._axes.add_collection(
                PatchCollection(patches, facecolor=fill, edgecolor=edge, linewidth=width_pt, hatch=hatch, zorder=level),
                autolim=False,
            )

    def circles(
        self,
        centres: Iterable[Point],
        radius_mm: float,
        *,
        fill: str = "none",
        edge: str = "none",
        width_pt: float = 0.5,
        level: float = 2,
    ) -> None:
        """Circles of one size and look."""
        patches = [Circle(centre, radius_mm) for centre in centres]
        if patches:
            self._axes.add_collection(
                PatchCollection(patches, facecolor=fill, edgecolor=edge, linewidth=width_pt, zorder=level),
                autolim=False,
            )

    def polygons(
        self,
        polygons: Sequence[Sequence[Point]],
        *,
        fill: str = "none",
        edge: str = "none",
        width_pt: float = 0.5,
        level: float = 2,
    ) -> None:
        """Closed polygons of one look."""
        if polygons:
            self._axes.add_collection(
                PolyCollection(polygons, facecolor=fill, edgecolor=edge, linewidth=width_pt, zorder=level),
                autolim=False,
            )

    def picture(self, pixels: NDArray[np.uint8], box: Box) -> None:
        """Pixels, uint8 (lines, columns) or (lines, columns, 3), stretched over `box`."""
        left, top, width, height = box
        rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
        self._axes.imshow(
            rgb,
            extent=(left, left + width, top + height, top),
            aspect="auto",
            interpolation="antialiased",
            zorder=2,
        )
        self._axes.set_xlim(0, WIDTH_MM)  # imshow moves them
        self._axes.set_ylim(HEIGHT_MM, 0)

    def png(self) -> bytes:
        """The page as PNG, 150 dots an inch, RGB."""
        self._canvas.draw()  # type: ignore[no-untyped-call]
        pixels = np.asarray(self._canvas.buffer_rgba())[:, :, :3]  # type: ignore[no-untyped-call]
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "PNG", dpi=(DPI, DPI))
        return stream.getvalue()


def text_mm(text: str, size_pt: float, *, bold: bool = False) -> float:
    """How wide `text` is, mm."""
    return float(_font(bold).getlength(text)) / _FONT_PX * size_pt * MM_PER_PT


def fitted(text: str, width_mm: float, size_pt: float, *, bold: bool = False) -> str:
    """`text` cut to what fits into `width_mm`, with an ellipsis where something was cut."""
    if text_mm(text, size_pt, bold=bold) <= width_mm:
        return text
    while text and text_mm(f"{text}…", size_pt, bold=bold) > width_mm:
        text = text[:-1]
    return f"{text.rstrip()}…"


def wrapped(text: str, width_mm: float, size_pt: float, most_lines: int) -> list[str]:
    """`text` in lines that fit into `width_mm`; the last of `most_lines` ends in an ellipsis where some is left."""
    lines = [""]
    words = text.split()
    for place, word in enumerate(words):
        longer = f"{lines[-1]} {word}".lstrip()
        if not lines[-1] or text_mm(longer, size_pt) <= width_mm:
            lines[-1] = longer
        elif len(lines) < most_lines:
            lines.append(word)
        else:
            lines[-1] = f"{lines[-1]} {' '.join(words[place:])}"
            break
    return [fitted(line, width_mm, size_pt) for line in lines]


@functools.cache
def _font(bold: bool) -> ImageFont.FreeTypeFont:
    place = matplotlib.font_manager.findfont(FontProperties(family=_FONT, weight="bold" if bold else "normal"))
    return ImageFont.truetype(place, _FONT_PX, layout_engine=ImageFont.Layout.BASIC)
