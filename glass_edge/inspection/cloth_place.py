"""Where the cloth lies while it wanders, on the side of the scores.

Promises: each row of scores is judged by the place of the cloth that was known at its first line, whatever the pieces
the scores came in; cells outside of it neither alarm nor reach, through the smoothing, a cell inside: a strip whose
cloth does not move is smoothed as if it ended at the inspected columns.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from glass_edge.fabric.geometry import ClothSpan
from glass_edge.inspection.borders import symmetric
from glass_edge.inspection.score_strip import ScoreStrip

OUTSIDE_LOGIT = -100.0
"""Smoothed score of a cell outside of the inspected columns: the probability of 0."""


_MOST_PLACES = 256  # kept for a fault that goes on for ever; lines before them are judged by the oldest


@dataclass(frozen=True, slots=True)
class ClothPlace:
    """The cloth from a line on.

    Attributes:
        from_line: first web line that is judged by it.
        cloth: columns that show cloth.
        inspected: columns whose scores count; whole cells.
    """

    from_line: int
    cloth: ClothSpan
    inspected: ClothSpan


class PlaceTrack:
    """The places of one segment in the order of the web."""

    def __init__(self) -> None:
        self._places: deque[ClothPlace] = deque(maxlen=_MOST_PLACES)

    @classmethod
    def still(cls, cloth: ClothSpan) -> Self:
        """Cloth that does not move and is inspected over its whole width."""
        track = cls()
        track.begin(ClothPlace(0, cloth, cloth))
        return track

    def begin(self, place: ClothPlace) -> None:
        """Forget the segment before."""
        self._places.clear()
        self._places.append(place)

    def move(self, place: ClothPlace) -> None:
        """The cloth lies elsewhere from `place.from_line` on."""
        self._places.append(place)

    @property
    def last(self) -> ClothPlace:
        """The newest place."""
        return self._places[-1]

    def at(self, line: int) -> ClothPlace:
        """Place of a line that is not before what was forgotten."""
        found = self._places[0]
        for place in self._places:
            if place.from_line > line:
                break
            found = place
        return found

    def since(self, line: int) -> list[ClothPlace]:
        """The place of a line and those after it."""
        return [self.at(line), *(place for place in self._places if place.from_line > line)]

    def hull(self, first_line: int, end_line: int) -> ClothSpan:
        """Columns that show cloth somewhere in lines [first_line, end_line)."""
        spans = [self.at(first_line).cloth]
        spans += [place.cloth for place in self._places if first_line < place.from_line < end_line]
        return ClothSpan(min(span.left_px for span in spans), max(span.right_px for span in spans))

    def forget_before(self, line: int) -> None:
        """Lines before `line` are not asked for any more."""
        while len(self._places) > 1 and self._places[1].from_line <= line:
            self._places.popleft()

    def pieces(self, strip: ScoreStrip) -> Iterator[tuple[ScoreStrip, ClothPlace]]:
        """The strip cut where the cloth moved, with the place of each part."""
        row, n_rows, stride = 0, strip.logits.shape[0], strip.stride_px
        while row < n_rows:
            line = strip.first_line + row * stride
            place = self.at(line)
            later = [other.from_line for other in self._places if other.from_line > line]
            end_row = n_rows if not later else min(n_rows, -(-(later[0] - strip.first_line) // stride))
            yield strip.rows(row, end_row), place
            row = end_row


def inside_cells(strip: ScoreStrip, inspected: ClothSpan) -> slice:
    """Columns of the strip whose scores count."""
    cells, stride = strip.logits.shape[1], strip.stride_px
    left = min(max(inspected.left_px // stride - strip.first_cell, 0), cells)
    right = min(max(inspected.right_px // stride - strip.first_cell, left), cells)
    return slice(left, right)


def reflect_outside(strip: ScoreStrip, inspected: ClothSpan) -> NDArray[np.float32]:
    """The strip's logits with the cells outside replaced by the reflection of those inside, float32 (rows, cells)."""
    inside, cells = inside_cells(strip, inspected), strip.logits.shape[1]
    n = inside.stop - inside.start
    if n in (0, cells):
        return strip.logits
    columns = inside.start + symmetric(np.arange(-inside.start, cells - inside.start), n)
    return np.asarray(strip.logits[:, columns], np.float32)


def silence_outside(strip: ScoreStrip, inspected: ClothSpan) -> ScoreStrip:
    """The smoothed strip with `OUTSIDE_LOGIT` in the cells outside."""
    inside = inside_cells(strip, inspected)
    if inside.stop - inside.start == strip.logits.shape[1]:
        return strip
    logits = np.full_like(strip.logits, OUTSIDE_LOGIT)
    logits[:, inside] = strip.logits[:, inside]
    return replace(strip, logits=logits)
