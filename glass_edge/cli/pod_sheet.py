"""Examples of planted defects as the engine saw them, framed by whether they were found.

Promises: a row a kind and contrast, a column a size; the example is the first that was planted of each, found or not,
and its frame is green where it was found and red where it was missed; the numbers above count all of them.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.planted_defects import PlantedKind
from glass_edge.cli.pod_report import NamedCurve, PodReport, contrast_text
from glass_edge.cli.pod_run import PlantedOutcome
from glass_edge.inspection.overlay import FOUND_RGB, TRUE_RGB

_WINDOW_PX = 96
_ZOOM, _FRAME_PX, _GAP_PX = 2, 4, 6
_TITLE_PX, _CAPTION_PX, _NAME_PX = 24, 18, 170
_PAPER, _INK = 250, (30, 30, 30)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
Picture = NDArray[np.uint8]
Examples = dict[tuple[PlantedKind, float | None, float], PlantedOutcome]


def draw_sheet(report: PodReport) -> Picture:
    """The sheet, uint8 (height, width, 3) RGB."""
    examples: Examples = {}
    for one in report.run.outcomes:
        examples.setdefault((one.order.kind, one.order.contrast, one.order.size_mm), one)
    cells: dict[int, Picture] = {}
    by_strip: dict[tuple[int, int], list[PlantedOutcome]] = {}
    for one in examples.values():
        by_strip.setdefault((one.number, one.place.stretch), []).append(one)
    for (number, stretch), members in by_strip.items():  # each strip is planted once more, one at a time
        lines = report.run.camera.lines_with(number, stretch)
        for one in members:
            cells[one.place.order] = _cell(lines, one)
    rows = [_row(curve, examples, cells) for curve in report.curves]
    title = _text(rows[0].shape[1], _TITLE_PX, "planted defects as the engine saw them; frame: green found, red missed")
    return np.concatenate([title, *rows])


def _row(curve: NamedCurve, examples: Examples, cells: dict[int, Picture]) -> Picture:
    parts = []
    for row in curve.curve.rows:
        cell = cells[examples[curve.kind, curve.contrast, row.size_mm].place.order]
        caption = _text(cell.shape[1], _CAPTION_PX, f"{row.size_mm:g} mm: {row.found}/{row.planted} found")
        parts += [np.concatenate([caption, cell]), np.full((len(caption) + len(cell), _GAP_PX, 3), _PAPER, np.uint8)]
    name = np.full((len(parts[0]), _NAME_PX, 3), _PAPER, np.uint8)
    for place, text in enumerate((str(curve.kind), f"contrast {contrast_text(curve)}")):
        cv2.putText(name, text, (4, len(name) // 2 + 18 * place), _FONT, 0.45, _INK, 1, cv2.LINE_AA)
    drawn = np.concatenate([name, *parts], axis=1)
    return np.concatenate([drawn, np.full((_GAP_PX, drawn.shape[1], 3), _PAPER, np.uint8)])


def _cell(lines: Picture, one: PlantedOutcome) -> Picture:
    """The cloth around a defect; of a larger one, its first end."""
    box = one.planted.box
    part = lines[
        _window(box.first_line, box.end_line, lines.shape[0]), _window(box.left_px, box.right_px, lines.shape[1])
    ]
    if part.ndim == 2:
        part = np.repeat(part[:, :, None], 3, axis=2)
    full = np.full((_WINDOW_PX, _WINDOW_PX, 3), _PAPER, np.uint8)
    full[: part.shape[0], : part.shape[1]] = part
    large = full.repeat(_ZOOM, axis=0).repeat(_ZOOM, axis=1)
    colour = TRUE_RGB if one.is_found else FOUND_RGB
    border = cv2.copyMakeBorder(large, *(_FRAME_PX,) * 4, cv2.BORDER_CONSTANT, value=colour)
    return np.asarray(border, np.uint8)


def _window(start: int, end: int, length: int) -> slice:
    """A window around the middle, or from shortly before the start of what is longer."""
    first = (start + end - _WINDOW_PX) // 2 if end - start < _WINDOW_PX else start - _WINDOW_PX // 8
    first = max(0, min(first, length - _WINDOW_PX))
    return slice(first, min(first + _WINDOW_PX, length))


def _text(width: int, height: int, text: str) -> Picture:
    paper = np.full((height, width, 3), _PAPER, np.uint8)
    cv2.putText(paper, text, (4, height - 6), _FONT, 0.42, _INK, 1, cv2.LINE_AA)
    return paper
