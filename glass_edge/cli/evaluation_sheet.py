"""Pictures of what a model gets wrong: missed defects, and the good cloth that looks worst to it.

Promises: each panel shows the cloth as it is and, beside it, the same cloth with heat and the outline of the defect;
the caption names image, kind, largest logit nearby and threshold; the worst come first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import GlassEdgeError
from glass_edge.glass.data_folder import GOOD
from glass_edge.glass.data_labelled import LabelledData, LabelledStrip
from glass_edge.glass.evaluation import Evaluation
from glass_edge.glass.evaluation_image import ImageEvaluation, full_map

MOST_MISSED, MOST_GOOD = 12, 6
_WINDOW_PX = (192, 288)  # lines, columns
_ZOOM, _COLUMNS = 2, 2
_CAPTION_PX, _GAP_PX, _PAPER = 22, 10, 250
_INK, _OUTLINE_RGB = (30, 30, 30), (40, 220, 90)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class _Panel:
    image: int  # index in the evaluation
    centre: tuple[int, int]  # line, column
    title: str


def draw_sheet(evaluation: Evaluation, data: LabelledData) -> bytes | None:
    """A PNG, or None when nothing was missed and there is no good image."""
    panels = [*_missed(evaluation.images), *_worst_good(evaluation.images)]
    if not panels:
        return None
    wanted = {panel.image for panel in panels}
    strips = dict(_decode(evaluation, data, wanted))
    drawn = [
        _draw(panel, evaluation.images[panel.image], strips[name], evaluation.threshold)
        for panel in panels
        if (name := evaluation.images[panel.image].name) in strips
    ]
    if len(drawn) > 1 and len(drawn) % 2:
        drawn.append(np.full_like(drawn[0], _PAPER))
    rows = [np.concatenate(drawn[i : i + _COLUMNS], axis=1) for i in range(0, len(drawn), _COLUMNS)]
    ok, encoded = cv2.imencode(".png", cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))
    if not ok:
        raise GlassEdgeError("the sheet of pictures could not be encoded as PNG")
    return encoded.tobytes()


def _missed(images: list[ImageEvaluation]) -> list[_Panel]:
    """Missed regions, the kinds taking turns so that one kind does not fill the sheet."""
    by_kind: dict[str, list[_Panel]] = {}
    for index, image in enumerate(images):
        for left, top, right, bottom in image.missed:
            size = f"{right - left} x {bottom - top} px"
            panel = _Panel(index, ((top + bottom) // 2, (left + right) // 2), f"missed {image.kind} {size}")
            by_kind.setdefault(image.kind, []).append(panel)
    turns = [panels[turn : turn + 1] for turn in range(MOST_MISSED) for _, panels in sorted(by_kind.items())]
    return [panel for turn in turns for panel in turn][:MOST_MISSED]


def _worst_good(images: list[ImageEvaluation]) -> list[_Panel]:
    good = sorted((i for i, image in enumerate(images) if image.kind == GOOD), key=lambda i: -images[i].score)
    panels = []
    for index in good[:MOST_GOOD]:
        scores = images[index].scores
        row, cell = np.unravel_index(int(scores.logits.argmax()), scores.logits.shape)
        stride = scores.stride_px
        centre = (scores.first_line + int(row) * stride, (scores.first_cell + int(cell)) * stride)
        alarms = images[index].counts.false_alarms
        panels.append(_Panel(index, centre, f"good, {alarms} false alarm(s)"))
    return panels


def _decode(evaluation: Evaluation, data: LabelledData, wanted: set[int]) -> Iterable[tuple[str, LabelledStrip]]:
    names = {evaluation.images[index].name for index in wanted}
    return ((strip.strip.name, strip) for strip in data.select(names))


def _draw(panel: _Panel, judged: ImageEvaluation, image: LabelledStrip, threshold: float) -> Picture:
    pixels = image.strip.pixels
    cloth = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)
    rows = _window(panel.centre[0], _WINDOW_PX[0], cloth.shape[0])
    columns = _window(panel.centre[1], _WINDOW_PX[1], cloth.shape[1])
    part, mask = cloth[rows, columns], image.mask[rows, columns].astype(np.uint8)
    scores = full_map(judged.scores, (cloth.shape[0], cloth.shape[1]))[rows, columns]
    middle = float(np.median(judged.scores.logits))
    heated = _enlarged(_heated(part, scores, middle, threshold))
    outline = cv2.morphologyEx(_enlarged(mask), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    heated[outline] = _OUTLINE_RGB
    pair = np.concatenate([_enlarged(part), np.full((part.shape[0] * _ZOOM, _GAP_PX, 3), _PAPER, np.uint8), heated], 1)
    full = np.full((_WINDOW_PX[0] * _ZOOM, 2 * _WINDOW_PX[1] * _ZOOM + _GAP_PX, 3), _PAPER, np.uint8)
    full[: pair.shape[0], : pair.shape[1]] = pair
    caption = np.full((_CAPTION_PX, full.shape[1], 3), _PAPER, np.uint8)
    seen = scores[scores > -np.inf]
    peak = f"{seen.max():.2f}" if seen.size else "not scored"
    text = f"{panel.title}: {judged.name}, columns {columns.start}.., lines {rows.start}..; {peak} of {threshold:.2f}"
    cv2.putText(caption, text.encode("ascii", "replace").decode(), (4, 15), _FONT, 0.45, _INK, 1, cv2.LINE_AA)
    drawn = np.concatenate([caption, full, np.full((_GAP_PX, full.shape[1], 3), _PAPER, np.uint8)])
    return np.concatenate([drawn, np.full((drawn.shape[0], 2 * _GAP_PX, 3), _PAPER, np.uint8)], axis=1)


def _heated(part: Picture, scores: NDArray[np.float32], middle: float, threshold: float) -> Picture:
    """Yellow from half-way between the median and the threshold on, red from as far above it."""
    begin = (middle + threshold) / 2 if middle < threshold else threshold - 1.0
    heat = np.clip((np.where(scores > -np.inf, scores, begin) - begin) / (2 * (threshold - begin)), 0, 1)[..., None]
    colour = np.concatenate([np.full_like(heat, 255), 210 * (1 - heat), np.zeros_like(heat)], axis=2)
    grey = np.where((scores > -np.inf)[..., None], part, 0.5 * part + 90)  # what was not scored is pale
    return np.asarray(grey * (1 - 0.6 * heat) + colour * 0.6 * heat, np.uint8)


def _enlarged(part: Picture) -> Picture:
    return np.ascontiguousarray(part.repeat(_ZOOM, axis=0).repeat(_ZOOM, axis=1))


def _window(centre: int, size: int, length: int) -> slice:
    start = max(0, min(centre - size // 2, length - size))
    return slice(start, min(start + size, length))
