"""Pictures of what a model gets wrong: missed defects, and the good cloth that looks worst to it.

Promises: each panel shows the cloth as it is and, beside it, the same cloth with heat and the outline of the defect;
the caption names image, kind, largest logit at the defect and threshold; the largest misses and the worst good cloth
come first.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import GlassEdgeError
from glass_edge.glass.data_folder import GOOD
from glass_edge.glass.data_labelled import LabelledStrip
from glass_edge.glass.evaluation import Evaluation
from glass_edge.glass.evaluation_image import ImageEvaluation, MissedRegion, full_map

MOST_MISSED, MOST_GOOD = 12, 6
_WINDOW_PX = (192, 288)  # lines, columns
_CAPTION_COLUMNS = 192  # a narrower panel would cut its caption off
_ZOOM, _COLUMNS = 2, 2
_CAPTION_PX, _GAP_PX, _PAPER = 22, 10, 250
_INK, OUTLINE_RGB = (30, 30, 30), (40, 220, 90)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
Picture = NDArray[np.uint8]
Select = Callable[[Collection[str]], Iterable[LabelledStrip]]


@dataclass(frozen=True, slots=True)
class _Panel:
    image: int  # index in the evaluation
    centre: tuple[int, int]  # line, column
    title: str
    peak: float  # largest logit there


def draw_sheet(evaluation: Evaluation, select: Select) -> bytes | None:
    """A PNG, or None when nothing was missed and there is no good image; `select` decodes images by name."""
    panels = [*_missed(evaluation.images), *_worst_good(evaluation.images)]
    if not panels:
        return None
    wanted = {panel.image for panel in panels}
    names = {evaluation.images[index].name for index in wanted}
    strips = {strip.strip.name: strip for strip in select(names)}
    if not strips:
        return None
    lines = max(strip.mask.shape[0] for strip in strips.values())
    columns = max(_CAPTION_COLUMNS, *(strip.mask.shape[1] for strip in strips.values()))
    size = min(_WINDOW_PX[0], lines), min(_WINDOW_PX[1], columns)
    drawn = [
        _draw(panel, evaluation.images[panel.image], strips[name], evaluation.threshold, size)
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
    """Missed regions, the largest first; kinds take turns, and images, so that one of them does not fill the sheet."""
    missed = [
        (rank, index, region)
        for index, image in enumerate(images)
        for rank, region in enumerate(sorted(image.missed, key=_area, reverse=True))
    ]
    by_kind: dict[str, list[_Panel]] = {}
    for _, index, region in sorted(missed, key=lambda one: (one[0], -_area(one[2]))):
        kind, size = images[index].kind, f"{region.right - region.left} x {region.bottom - region.top} px"
        centre = (region.top + region.bottom) // 2, (region.left + region.right) // 2
        by_kind.setdefault(kind, []).append(_Panel(index, centre, f"missed {kind} {size}", region.peak))
    turns = [panels[turn : turn + 1] for turn in range(MOST_MISSED) for _, panels in sorted(by_kind.items())]
    return [panel for turn in turns for panel in turn][:MOST_MISSED]


def _area(region: MissedRegion) -> int:
    return (region.right - region.left) * (region.bottom - region.top)


def _worst_good(images: list[ImageEvaluation]) -> list[_Panel]:
    good = sorted((i for i, image in enumerate(images) if image.kind == GOOD), key=lambda i: -images[i].score)
    panels = []
    for index in good[:MOST_GOOD]:
        scores = images[index].scores
        row, cell = np.unravel_index(int(scores.logits.argmax()), scores.logits.shape)
        stride = scores.stride_px
        centre = (scores.first_line + int(row) * stride, (scores.first_cell + int(cell)) * stride)
        alarms = images[index].counts.false_alarms
        panels.append(_Panel(index, centre, f"good, {alarms} false alarm(s)", images[index].score))
    return panels


def _draw(
    panel: _Panel, judged: ImageEvaluation, image: LabelledStrip, threshold: float, size: tuple[int, int]
) -> Picture:
    cloth = as_rgb(image.strip.pixels)
    rows = _window(panel.centre[0], size[0], cloth.shape[0])
    columns = _window(panel.centre[1], size[1], cloth.shape[1])
    part, mask = cloth[rows, columns], image.mask[rows, columns].astype(np.uint8)
    scores = full_map(judged.scores, (cloth.shape[0], cloth.shape[1]))[rows, columns]
    middle = float(np.median(judged.scores.logits))
    warm = _enlarged(heated(part, scores, middle, threshold))
    outline = cv2.morphologyEx(_enlarged(mask), cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    warm[outline] = OUTLINE_RGB
    pair = np.concatenate([_enlarged(part), np.full((part.shape[0] * _ZOOM, _GAP_PX, 3), _PAPER, np.uint8), warm], 1)
    full = np.full((size[0] * _ZOOM, 2 * size[1] * _ZOOM + _GAP_PX, 3), _PAPER, np.uint8)
    full[: pair.shape[0], : pair.shape[1]] = pair
    caption = np.full((_CAPTION_PX, full.shape[1], 3), _PAPER, np.uint8)
    peak = f"logit {panel.peak:.2f}, threshold {threshold:.2f}" if panel.peak > -np.inf else "not scored"
    text = f"{panel.title}: {judged.name}, columns {columns.start}.., lines {rows.start}..; {peak}"
    cv2.putText(caption, text.encode("ascii", "replace").decode(), (4, 15), _FONT, 0.45, _INK, 1, cv2.LINE_AA)
    drawn = np.concatenate([caption, full, np.full((_GAP_PX, full.shape[1], 3), _PAPER, np.uint8)])
    return np.concatenate([drawn, np.full((drawn.shape[0], 2 * _GAP_PX, 3), _PAPER, np.uint8)], axis=1)


def as_rgb(pixels: Picture) -> Picture:
    """uint8 (lines, width) or (lines, width, 3) as (lines, width, 3)."""
    return pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, None], 3, axis=2)


def heated(part: Picture, scores: NDArray[np.float32], middle: float, threshold: float) -> Picture:
    """Cloth, uint8 (lines, width, 3), with heat: yellow from half-way between the median and the threshold on, red from
    as far above it; pale where `scores`, float32 (lines, width), is -inf.
    """
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
