"""One scored test image against its mask: tiles, regions, alarms.

Promises: only cells that were scored give figures of separation (AUROC, AP, PRO); defects that lie where nothing was
scored are counted as missed and named as such; an alarm is judged on the cells the line would judge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.fabric.geometry import ClothSpan
from glass_edge.glass.data_labelled import LabelledStrip
from glass_edge.glass.metrics_regions import RegionCounts, count_regions

TILE_PX = 256
TILE_STRIDE_PX = 128
SLACK_PX = 8
"""Masks of specks are tight and a score cell is not: an alarm this near to a region finds it."""
Map = NDArray[np.float32]


class Scores(Protocol):
    """Smoothed logits of an image and where they lie; `inspection.ScoreStrip` is one."""

    @property
    def first_line(self) -> int:
        """Image line at which row 0 starts."""

    @property
    def first_cell(self) -> int:
        """Column 0 covers image columns from first_cell * stride_px."""

    @property
    def stride_px(self) -> int:
        """Pixels of a cell, both ways."""

    @property
    def logits(self) -> Map:
        """float32 (rows, cells)."""


@dataclass(frozen=True, slots=True)
class Tiles:
    """Tiles of an image: largest smoothed logit inside each, float32 (n,), and whether a mask pixel is inside."""

    scores: Map
    labels: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ImageEvaluation:
    """An image at one threshold.

    Attributes:
        name, kind: of the image.
        score: largest smoothed logit.
        counts: regions found, false alarms; regions that were not scored are among `regions`.
        regions_not_scored: regions further than the slack from any scored cell.
        missed: box (left, top, right, bottom), px, of each region that was not found.
        tiles: see `Tiles`.
        scores: smoothed logits.
    """

    name: str
    kind: str
    score: float
    counts: RegionCounts
    regions_not_scored: int
    missed: tuple[tuple[int, int, int, int], ...]
    tiles: Tiles
    scores: Scores


def evaluate_image(
    image: LabelledStrip, scores: Scores, threshold: float, *, min_area_px: int = 0, slack_px: int = SLACK_PX
) -> ImageEvaluation:
    """Judge one image.

    Args:
        image: pixels are not looked at.
        scores: of the image.
        threshold: alarm where the smoothed logit is at or above.
        min_area_px: alarm regions smaller than this do not count.
        slack_px: see `SLACK_PX`.
    """
    shape = (image.mask.shape[0], image.mask.shape[1])
    whole = _without_specks(full_map(scores, shape), threshold, min_area_px)
    counts = count_regions([whole], [image.mask], threshold, slack_px)
    kernel = np.ones((2 * slack_px + 1, 2 * slack_px + 1), np.uint8)
    near_alarm = cv2.dilate((whole >= threshold).astype(np.uint8), kernel) > 0
    near_scored = cv2.dilate((whole > -np.inf).astype(np.uint8), kernel) > 0
    n_labels, labels, boxes, _ = cv2.connectedComponentsWithStats(image.mask.astype(np.uint8), connectivity=8)
    found, within = np.unique(labels[near_alarm]), np.unique(labels[near_scored])
    missed = [
        (int(x), int(y), int(x + width), int(y + height))
        for index, (x, y, width, height, _) in enumerate(boxes)
        if index and index not in found
    ]
    return ImageEvaluation(
        name=image.strip.name,
        kind=image.kind,
        score=float(scores.logits.max()),
        counts=counts,
        regions_not_scored=n_labels - 1 - int(np.count_nonzero(within)),
        missed=tuple(missed),
        tiles=cut_tiles(image.strip.span, image.mask, scores),
        scores=scores,
    )


def cut_tiles(span: ClothSpan, mask: NDArray[np.bool_], scores: Scores) -> Tiles:
    """Tiles of 256 px square, a stride of 128 px apart over the cloth; the last of a row or column ends at its end.

    A tile's score and label come from its scored part alone; tiles without one are left out.
    """
    stride, (rows, cells) = scores.stride_px, scores.logits.shape
    top, left = scores.first_line, scores.first_cell * stride
    bottom, right = top + rows * stride, left + cells * stride
    values, labels = [], []
    for y in _starts(0, mask.shape[0]):
        for x in _starts(span.left_px, span.right_px):
            y0, y1 = max(y, top), min(y + TILE_PX, bottom)
            x0, x1 = max(x, left), min(x + TILE_PX, right)
            if y0 >= y1 or x0 >= x1:
                continue
            part = scores.logits[
                (y0 - top) // stride : -(-(y1 - top) // stride), (x0 - left) // stride : -(-(x1 - left) // stride)
            ]
            values.append(part.max())
            labels.append(bool(mask[y0:y1, x0:x1].any()))
    return Tiles(np.array(values, np.float32), np.array(labels, np.bool_))


def full_map(scores: Scores, shape: tuple[int, int]) -> Map:
    """The cells' logits on every pixel they cover, -inf elsewhere; float32 of `shape` (lines, width)."""
    stride = scores.stride_px
    whole = np.full(shape, -np.inf, np.float32)
    top, left = scores.first_line, scores.first_cell * stride
    part = whole[top:, left:][: scores.logits.shape[0] * stride, : scores.logits.shape[1] * stride]
    part[...] = scores.logits.repeat(stride, axis=0).repeat(stride, axis=1)[: part.shape[0], : part.shape[1]]
    return whole


def pixel_map(scores: Scores, mask: NDArray[np.bool_]) -> tuple[Map, NDArray[np.bool_]]:
    """Logits of the scored part, interpolated to pixels (bilinear, half-pixel centres), and the mask there."""
    stride, (rows, cells) = scores.stride_px, scores.logits.shape
    top, left = scores.first_line, scores.first_cell * stride
    inside = mask[top : top + rows * stride, left : left + cells * stride]
    fine = cv2.resize(scores.logits, (cells * stride, rows * stride), interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine[: inside.shape[0], : inside.shape[1]], np.float32), inside


def _starts(first: int, end: int) -> list[int]:
    last = max(first, end - TILE_PX)
    starts = list(range(first, last + 1, TILE_STRIDE_PX))
    return starts if starts[-1] == last else [*starts, last]


def _without_specks(whole: Map, threshold: float, min_area_px: int) -> Map:
    if min_area_px <= 1:
        return whole
    _, labels, stats, _ = cv2.connectedComponentsWithStats((whole >= threshold).astype(np.uint8), connectivity=8)
    small = stats[:, cv2.CC_STAT_AREA] < min_area_px
    small[0] = False
    below = np.nextafter(np.float32(threshold), np.float32(-np.inf))
    return np.where(small[labels], np.minimum(whole, below), whole)
