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
from glass_edge.glass.metrics_froc import JudgedMap
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
class MissedRegion:
    """A labelled region that was not found: its box, px, and the largest logit within the slack (-inf: not scored)."""

    left: int
    top: int
    right: int
    bottom: int
    peak: float


@dataclass(frozen=True, slots=True)
class ImageEvaluation:
    """An image at one threshold.

    Attributes:
        name, kind: of the image.
        score: largest smoothed logit.
        counts: regions found, false alarms; regions that were not scored are among `regions`.
        regions_not_scored: regions further than the slack from any scored cell.
        missed: each region that was not found.
        tiles: see `Tiles`.
        scores: smoothed logits as the threshold judges them.
        plain: the same without the offset of the selvedge zone.
        judged: the same with the cells near each region, for a sweep of the threshold.
    """

    name: str
    kind: str
    score: float
    counts: RegionCounts
    regions_not_scored: int
    missed: tuple[MissedRegion, ...]
    tiles: Tiles
    scores: Scores
    plain: Scores
    judged: JudgedMap


def evaluate_image(
    image: LabelledStrip,
    scores: Scores,
    threshold: float,
    *,
    plain: Scores | None = None,
    min_area_px: int = 0,
    slack_px: int = SLACK_PX,
) -> ImageEvaluation:
    """Judge one image.

    Args:
        image: pixels are not looked at.
        scores: of the image.
        threshold: alarm where the smoothed logit is at or above.
        plain: scores without the offset of the selvedge zone, kept; None: `scores`.
        min_area_px: alarm regions smaller than this do not count.
        slack_px: see `SLACK_PX`.
    """
    shape = (image.mask.shape[0], image.mask.shape[1])
    whole = _without_specks(full_map(scores, shape), threshold, min_area_px)
    counts = count_regions([whole], [image.mask], threshold, slack_px)
    kernel = np.ones((2 * slack_px + 1, 2 * slack_px + 1), np.uint8)
    near_alarm = cv2.dilate((whole >= threshold).astype(np.uint8), kernel) > 0
    near_scored = cv2.dilate((whole > -np.inf).astype(np.uint8), kernel) > 0
    n_labels, components, stats, _ = cv2.connectedComponentsWithStats(image.mask.astype(np.uint8), connectivity=8)
    labels, boxes = np.asarray(components, np.int32), np.asarray(stats, np.int32)
    found, within = np.unique(labels[near_alarm]), np.unique(labels[near_scored])
    near = tuple(_near(labels, index, box, scores, slack_px) for index, box in enumerate(boxes) if index)
    missed = [
        MissedRegion(int(x), int(y), int(x + width), int(y + height), _largest(scores.logits, near[index - 1]))
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
        plain=scores if plain is None else plain,
        judged=JudgedMap(scores.logits, *_cell_sides(scores, shape), near),
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


def _near(
    labels: NDArray[np.int32], index: int, box: NDArray[np.int32], scores: Scores, slack_px: int
) -> NDArray[np.intp]:
    """Flat indices of the cells with a pixel within the slack of a region."""
    x, y, width, height = (int(value) for value in box[:4])
    y0, x0 = max(0, y - slack_px), max(0, x - slack_px)
    region = (labels[y0 : y + height + slack_px, x0 : x + width + slack_px] == index).astype(np.uint8)
    lines, columns = np.nonzero(cv2.dilate(region, np.ones((2 * slack_px + 1, 2 * slack_px + 1), np.uint8)))
    stride, (rows, cells) = scores.stride_px, scores.logits.shape
    row = (lines + y0 - scores.first_line) // stride
    cell = (columns + x0) // stride - scores.first_cell
    inside = (row >= 0) & (row < rows) & (cell >= 0) & (cell < cells)
    return np.unique(row[inside] * cells + cell[inside])


def _largest(logits: Map, cells: NDArray[np.intp]) -> float:
    return float(logits.ravel()[cells].max()) if cells.size else float("-inf")


def _cell_sides(scores: Scores, shape: tuple[int, int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Lines of the image that each row covers, and columns that each column of cells covers."""
    stride, (rows, cells) = scores.stride_px, scores.logits.shape
    lines = np.clip(shape[0] - scores.first_line - stride * np.arange(rows), 0, stride)
    columns = np.clip(shape[1] - stride * (scores.first_cell + np.arange(cells)), 0, stride)
    return lines, columns


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
