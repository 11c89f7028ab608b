"""A picture of an inspected strip: the cloth, the scores as heat, the defects as boxes.

Promises: pure; the long side of the strip runs from left to right, cut into bands below each other so that a long strip
stays readable; every band carries a millimetre scale; the inputs are not changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import InputError
from glass_edge.fabric.geometry import WebBox, WebScale
from glass_edge.inspection.score_strip import ScoreStrip

Colour = tuple[int, int, int]

FOUND_RGB: Colour = (255, 40, 40)
TRUE_RGB: Colour = (40, 220, 90)
HEAT_RGB: Colour = (255, 150, 0)

_MARGIN = 8
_RULER = 34
_PAPER = 250
_INK: Colour = (40, 40, 40)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_MAX_OPACITY = 0.5
_CAPTION_SIZE = 0.6


@dataclass(frozen=True, slots=True)
class OverlayBox:
    """A rectangle to draw, in camera columns and web lines, with a short label (ASCII).

    `is_outer` draws it further out and its label below, so that two boxes around the same thing can be read.
    """

    box: WebBox
    label: str = ""
    colour_rgb: Colour = FOUND_RGB
    is_outer: bool = False


def draw_strip(
    lines: NDArray[np.uint8],
    scores: Sequence[ScoreStrip],
    boxes: Sequence[OverlayBox],
    scale: WebScale,
    threshold_logit: float,
    *,
    first_line: int = 0,
    left_selvedge_px: int = 0,
    band_px: int = 1600,
) -> NDArray[np.uint8]:
    """Draw the cloth in grey with heat where the smoothed logit comes near or above the threshold.

    Heat begins half-way between the median score and the threshold and is full where the logit lies as far above it.

    Args:
        lines: uint8 (n, width) or (n, width, 3) RGB.
        scores: smoothed scores of the stretch, in any number of strips; cells without scores stay without heat.
        boxes: rectangles with labels; parts outside the stretch are cut off.
        scale: size of a pixel, for the rulers.
        threshold_logit: alarm threshold.
        first_line: web line of `lines[0]`.
        left_selvedge_px: column at which the ruler across the web is zero.
        band_px: camera pixels along the long side in one band.

    Returns:
        uint8 (height, width, 3) RGB.

    Raises:
        InputError: no lines, or a band too short to draw.
    """
    if lines.ndim < 2 or lines.size == 0:
        raise InputError(f"lines of shape {lines.shape}: at least one line is needed to draw a strip")
    if band_px < 64:
        raise InputError(f"band_px = {band_px}: at least 64 px are needed")
    n_lines, width = lines.shape[:2]
    picture = _heated(lines, scores, threshold_logit, first_line)
    along = n_lines > width  # the long side goes from left to right
    if along:
        picture = np.ascontiguousarray(picture.transpose(1, 0, 2))
    length = picture.shape[1]
    n_bands = -(-length // band_px)
    band_px = -(-length // n_bands)  # equal bands
    zoom = max(1, min(8, 800 // band_px))
    mm_per_px = scale.mm_per_line if along else scale.mm_per_px
    zero = 0 if along else left_selvedge_px
    bands = []
    for band in range(n_bands):
        start, end = band * band_px, min(length, (band + 1) * band_px)
        part = picture[:, start:end]
        drawn = np.ascontiguousarray(part.repeat(zoom, axis=0).repeat(zoom, axis=1))
        for item in boxes:
            _draw_box(drawn, item, start, zoom, along=along, first_line=first_line)
        ruler = _ruler(drawn.shape[1], start - zero, mm_per_px, zoom, "along" if along else "across")
        bands.append(_framed(np.concatenate([drawn, ruler]), band_px * zoom))
    return np.concatenate(bands)


def caption(text: str) -> NDArray[np.uint8]:
    """A line of text (ASCII) to stand above a strip, uint8 (height, width, 3) RGB."""
    (width, height), _ = cv2.getTextSize(text, _FONT, _CAPTION_SIZE, 1)
    paper = np.full((height + 2 * _MARGIN, width + 3 * _MARGIN, 3), _PAPER, np.uint8)
    cv2.putText(paper, text, (_MARGIN, height + _MARGIN), _FONT, _CAPTION_SIZE, _INK, 1, cv2.LINE_AA)
    return paper


def legend() -> NDArray[np.uint8]:
    """What the colours mean, uint8 (height, width, 3) RGB."""
    parts = []
    for colour, text in (
        (FOUND_RGB, "found: number, mm along, mm across"),
        (TRUE_RGB, "true defect"),
        (HEAT_RGB, "score near or above the threshold"),
    ):
        words = caption(text)
        sample = np.full((words.shape[0], 40, 3), _PAPER, np.uint8)
        cv2.rectangle(sample, (8, 8), (36, words.shape[0] - 8), colour, -1 if colour == HEAT_RGB else 2)
        parts += [sample, words]
    return np.concatenate(parts, axis=1)


def _heated(
    lines: NDArray[np.uint8], scores: Sequence[ScoreStrip], threshold: float, first_line: int
) -> NDArray[np.uint8]:
    picture = np.array(lines if lines.ndim == 3 else np.repeat(lines[:, :, None], 3, axis=2))
    n_lines, width = picture.shape[:2]
    if not scores:
        return picture
    # A few strips carry the median as well as all of them: it only sets where the faint heat begins.
    middle = float(np.median(np.concatenate([strip.logits.ravel() for strip in scores])))
    begin = (middle + threshold) / 2 if middle < threshold else threshold - 1.0
    full = 2 * threshold - begin
    for strip in scores:
        stride = strip.stride_px
        heat = np.clip((strip.logits - begin) / (full - begin), 0.0, 1.0)
        top, left = strip.first_line - first_line, strip.first_cell * stride
        heat = np.repeat(np.repeat(heat, stride, axis=0), stride, axis=1)[: strip.n_lines]
        rows = slice(max(0, top), min(n_lines, top + heat.shape[0]))
        columns = slice(left, min(width, left + heat.shape[1]))
        if rows.start >= rows.stop or columns.start >= columns.stop:
            continue
        heat = heat[rows.start - top : rows.stop - top, : columns.stop - left]
        colour = np.stack([np.full_like(heat, 255), 210 * (1 - heat), np.zeros_like(heat)], axis=2)  # yellow to red
        opacity = (_MAX_OPACITY * heat)[:, :, None]
        picture[rows, columns] = (picture[rows, columns] * (1 - opacity) + colour * opacity).astype(np.uint8)
    return picture


def _draw_box(
    drawn: NDArray[np.uint8], item: OverlayBox, start: int, zoom: int, *, along: bool, first_line: int
) -> None:
    box = item.box
    x = (box.first_line - first_line, box.end_line - first_line) if along else (box.left_px, box.right_px)
    y = (box.left_px, box.right_px) if along else (box.first_line - first_line, box.end_line - first_line)
    height, width = drawn.shape[:2]
    out = 7 if item.is_outer else 3
    left, right = (x[0] - start) * zoom - out, (x[1] - start) * zoom + out - 1
    top, bottom = y[0] * zoom - out, y[1] * zoom + out - 1
    if right < 0 or left >= width:
        return
    cv2.rectangle(drawn, (left, top), (right, bottom), item.colour_rgb, 2)
    if not item.label or left < -out:  # the label stands in the band in which the defect begins
        return
    (text_width, text_height), _ = cv2.getTextSize(item.label, _FONT, 0.5, 1)
    text_x = min(max(0, left), max(0, width - text_width - 4))
    above, below = top - 4, min(height - 4, bottom + text_height + 6)
    fits_above, fits_below = above - text_height - 4 >= 0, bottom + text_height + 6 <= height - 4
    text_y = below if not fits_above or (item.is_outer and fits_below) else above
    cv2.rectangle(drawn, (text_x, text_y - text_height - 3), (text_x + text_width + 4, text_y + 3), item.colour_rgb, -1)
    cv2.putText(drawn, item.label, (text_x + 2, text_y), _FONT, 0.5, (255, 255, 255), 1, cv2.LINE_AA)


def _ruler(width: int, offset_px: int, mm_per_px: float, zoom: int, name: str) -> NDArray[np.uint8]:
    """A scale below a band: a tick about every 120 px, at round millimetres."""
    ruler = np.full((_RULER, width, 3), _PAPER, np.uint8)
    mm_per_drawn = mm_per_px / zoom
    step_mm = _round_step(120 * mm_per_drawn)
    first = math.ceil(offset_px * mm_per_px / step_mm - 1e-9)
    last = math.floor((offset_px * mm_per_px + (width - 1) * mm_per_drawn) / step_mm + 1e-9)
    for k in range(first, last + 1):
        x = round((k * step_mm - offset_px * mm_per_px) / mm_per_drawn)
        cv2.line(ruler, (x, 0), (x, 7), _INK, 1)
        text = f"{k * step_mm:g}" + (f" mm {name}" if k == first else "")
        cv2.putText(ruler, text, (x + 3, 20), _FONT, 0.45, _INK, 1, cv2.LINE_AA)
    return ruler


def _round_step(at_least_mm: float) -> float:
    decade: float = 10.0 ** math.floor(math.log10(at_least_mm))
    return next(factor * decade for factor in (1.0, 2.0, 5.0, 10.0) if factor * decade >= at_least_mm * (1 - 1e-9))


def _framed(band: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    height = band.shape[0]
    framed = np.full((height + _MARGIN, width + 2 * _MARGIN, 3), _PAPER, np.uint8)
    framed[_MARGIN:, _MARGIN : _MARGIN + band.shape[1]] = band
    return framed
