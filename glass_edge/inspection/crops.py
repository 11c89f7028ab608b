"""Pictures of defects, cut from the most recent lines and scores.

Promises: memory stays within the budget whatever the cloth does (the newest block is always kept); a picture never
shows lines of another segment; a picture longer than the limit shows the first part.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from glass_edge.fabric.geometry import ClothSpan, WebBox
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import DefectCrop


class CropRing:
    """Recent lines and smoothed scores of the open segment.

    Args:
        budget_bytes: most memory for lines and scores together.
        crop_lines: longest picture.
        margin_px, margin_lines: cloth shown around a defect.
        least_px: pictures are at least so wide and so long, where so much cloth is held.
    """

    def __init__(
        self, budget_bytes: int, crop_lines: int, margin_px: int, margin_lines: int, least_px: int = 0
    ) -> None:
        self._budget = budget_bytes
        self._crop_lines = crop_lines
        self._margin_px = margin_px
        self._margin_lines = margin_lines
        self._least_px = least_px
        self._lines: deque[tuple[int, NDArray[np.uint8]]] = deque()
        self._scores: deque[ScoreStrip] = deque()
        self._bytes = 0
        self._view = ClothSpan(0, 1)

    @property
    def held_bytes(self) -> int:
        """Memory in use."""
        return self._bytes

    def begin(self, view: ClothSpan) -> None:
        """Start a segment; `view` bounds the pictures across the web."""
        self._lines.clear()
        self._scores.clear()
        self._bytes = 0
        self._view = view

    def rescore(self) -> None:
        """The scores to come are another engine's, of other cells; the lines stay."""
        self._bytes -= sum(strip.logits.nbytes for strip in self._scores)
        self._scores.clear()

    def look_at(self, view: ClothSpan) -> None:
        """The cloth lies elsewhere from now on."""
        self._view = view

    def add_lines(self, first_line: int, lines: NDArray[np.uint8]) -> None:
        """Keep lines uint8 (n, width[, 3]); held by reference, not copied."""
        self._lines.append((first_line, lines))
        self._bytes += lines.nbytes
        while self._bytes > self._budget and len(self._lines) > 1:
            self._bytes -= self._lines.popleft()[1].nbytes
            while self._scores and self._scores[0].end_line <= self._lines[0][0]:
                self._bytes -= self._scores.popleft().logits.nbytes

    def add_scores(self, strip: ScoreStrip) -> None:
        """Keep smoothed scores; held by reference."""
        self._scores.append(strip)
        self._bytes += strip.logits.nbytes

    def cut(self, box: WebBox) -> DefectCrop | None:
        """Picture of `box` with its margin, as far as its lines are still held; None when they are not."""
        if not self._lines:
            return None
        held_from = self._lines[0][0]
        held_to = self._lines[-1][0] + len(self._lines[-1][1])
        first = max(box.first_line - self._margin_lines, held_from)
        end = min(box.end_line + self._margin_lines, held_to, first + self._crop_lines)
        left = max(box.left_px - self._margin_px, self._view.left_px)
        right = min(box.right_px + self._margin_px, self._view.right_px)
        if first >= end or left >= right or box.end_line <= held_from:
            return None
        first, end = _widened(first, end, self._least_px, held_from, held_to)
        left, right = _widened(left, right, self._least_px, self._view.left_px, self._view.right_px)
        parts = [
            lines[max(0, first - start) : max(0, end - start), left:right]
            for start, lines in self._lines
            if start < end and start + len(lines) > first
        ]
        shown = WebBox(left, right, first, end)
        logits, scores_box = self._cut_scores(shown)
        return DefectCrop(shown, np.ascontiguousarray(np.concatenate(parts)), logits, scores_box)

    def _cut_scores(self, box: WebBox) -> tuple[NDArray[np.float32], WebBox]:
        strips = [
            strip for strip in self._scores if strip.first_line < box.end_line and strip.end_line > box.first_line
        ]
        if not strips:
            return np.empty((0, 0), np.float32), box
        # Strips of a segment follow each other, but after an engine failure there may be a hole: it stays NaN.
        stride, origin = strips[0].stride_px, strips[0].first_line
        first_row = max(0, (box.first_line - origin) // stride)
        end_row = -(-(min(box.end_line, strips[-1].end_line) - origin) // stride)
        first_cell, end_cell = box.left_px // stride, -(-box.right_px // stride)
        logits = np.full((end_row - first_row, end_cell - first_cell), np.nan, np.float32)
        for strip in strips:
            row = (strip.first_line - origin) // stride
            rows = slice(max(first_row, row), min(end_row, row + strip.logits.shape[0]))
            columns = slice(max(first_cell, strip.first_cell), min(end_cell, strip.first_cell + strip.logits.shape[1]))
            if rows.start < rows.stop and columns.start < columns.stop:
                logits[
                    rows.start - first_row : rows.stop - first_row,
                    columns.start - first_cell : columns.stop - first_cell,
                ] = strip.logits[
                    rows.start - row : rows.stop - row,
                    columns.start - strip.first_cell : columns.stop - strip.first_cell,
                ]
        covered = WebBox(first_cell * stride, end_cell * stride, origin + first_row * stride, origin + end_row * stride)
        return logits, covered


def _widened(first: int, end: int, least: int, lowest: int, highest: int) -> tuple[int, int]:
    """[first, end) in the middle of a stretch of at least `least`, moved and cut to lie within [lowest, highest)."""
    missing = max(0, least - (end - first))
    first = max(lowest, min(first - missing // 2, highest - max(least, end - first)))
    return first, min(highest, max(end, first + least))
