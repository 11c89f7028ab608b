"""Connected components of the alarmed cells of an endless strip.

Promises: the components of a segment are those of the whole strip, whatever the pieces it came in: two alarmed cells
belong together when they are at most `gap + 1` cells apart both ways (gap 0: 8-connected). A component is known by one
`Blob` from its first row on; its area, box, convex hull, peak and sum are exact; memory is one row of labels, `gap`
rows of the mask and one record an open blob, however long it grows (a hull on a grid has few corners).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import InputError


@dataclass(slots=True)
class Blob:
    """One component so far; rows and columns are cells, rows counted from the start of the segment.

    Attributes:
        serial: order of first sight in the segment, from 0; the smaller is the older.
        area: alarmed cells.
        first_row, end_row, first_column, end_column: box of the alarmed cells, ends exclusive.
        peak: largest smoothed logit.
        score_sum: sum of the scores (sigmoid of the logit) of the alarmed cells.
        hull: convex hull of the alarmed cells, int32 (n, 2) corners (column, row) of cells.
        defect_id: given by the tracker when the blob is announced.
    """

    serial: int
    area: int
    first_row: int
    end_row: int
    first_column: int
    end_column: int
    peak: float
    score_sum: float
    hull: NDArray[np.int32]
    defect_id: int | None = None

    def absorb(self, other: Blob) -> None:
        """Take over the cells of `other`."""
        self.area += other.area
        self.first_row = min(self.first_row, other.first_row)
        self.end_row = max(self.end_row, other.end_row)
        self.first_column = min(self.first_column, other.first_column)
        self.end_column = max(self.end_column, other.end_column)
        self.peak = max(self.peak, other.peak)
        self.score_sum += other.score_sum
        self.hull = _hull(np.concatenate([self.hull, other.hull]))

    def copy(self) -> Blob:
        """Another record of the same cells."""
        return replace(self)


@dataclass(slots=True)
class BlobStep:
    """What a piece of the strip changed.

    Attributes:
        merged: (younger, older) blobs that met: the older lives on and has taken over the younger's cells.
        grown: open blobs that gained cells in this piece.
        closed: blobs to which no later cell can belong.
    """

    merged: list[tuple[Blob, Blob]] = field(default_factory=list)
    grown: list[Blob] = field(default_factory=list)
    closed: list[Blob] = field(default_factory=list)


class BlobLabeller:
    """Labels the rows of one segment; `flush` ends the segment and makes ready for the next.

    Components of a piece come from OpenCV's connectedComponents on a mask dilated backwards by the gap; a union-find
    over the labels that touch across the border joins them to the open blobs (the two-pass labelling of Rosenfeld and
    Pfaltz, 1966, with pieces in the place of pixels).

    Args:
        threshold: a cell is alarmed where its smoothed logit is at or above this.
        gap_rows, gap_columns: cells without alarm that may lie between two parts of one defect, along and across.
    """

    def __init__(self, threshold: float, gap_rows: int = 0, gap_columns: int = 0) -> None:
        if not np.isfinite(threshold):
            raise InputError(f"threshold {threshold}: a finite logit is needed")
        if gap_rows < 0 or gap_columns < 0:
            raise InputError(f"gap of {gap_rows} x {gap_columns} cells: numbers from 0 are needed")
        self._threshold = threshold
        self._gap_rows = gap_rows
        self._kernel = np.ones((gap_rows + 1, gap_columns + 1), np.uint8)
        self._row = 0
        self._serial = 0
        self._mask_tail: NDArray[np.uint8] | None = None  # last gap_rows rows of the mask
        self._border: list[Blob] = []  # open blobs, by label - 1 in `_border_labels`
        self._border_labels: NDArray[np.int32] | None = None  # labels of the last dilated row, 0: none

    def push(self, logits: NDArray[np.float32]) -> BlobStep:
        """Take smoothed logits float32 (n, cells) that follow the ones before."""
        n = logits.shape[0]
        if n == 0:
            return BlobStep()
        mask = (logits >= self._threshold).astype(np.uint8)
        labels, n_labels = self._label(mask)
        blobs = self._measure(logits, mask, labels, n_labels)
        step = self._join(labels, blobs)
        self._row += n
        return step

    @property
    def oldest_row(self) -> int | None:
        """First row of the oldest open blob; None without one."""
        return min((blob.first_row for blob in self._border), default=None)

    @property
    def open_blobs(self) -> list[Blob]:
        """The blobs that later cells may still belong to."""
        return self._border

    def flush(self) -> BlobStep:
        """End of the segment: closes every open blob."""
        step = BlobStep(closed=sorted(self._border, key=lambda blob: blob.serial))
        self._row = self._serial = 0
        self._mask_tail = self._border_labels = None
        self._border = []
        return step

    def _label(self, mask: NDArray[np.uint8]) -> tuple[NDArray[np.int32], int]:
        """Labels int32 of the dilated mask, and how many there are (with the background)."""
        gap = self._gap_rows
        if self._kernel.size > 1:
            tail = self._mask_tail if self._mask_tail is not None else np.zeros((gap, mask.shape[1]), np.uint8)
            above = np.concatenate([tail, mask])
            # Anchored at the kernel's end: a cell reaches only rows that come later, so nothing has to be waited for.
            anchor = (self._kernel.shape[1] // 2, gap)
            grown = cv2.dilate(above, self._kernel, anchor=anchor, borderType=cv2.BORDER_CONSTANT, borderValue=0)
            self._mask_tail = above[len(above) - gap :].copy()
            mask = np.ascontiguousarray(grown[gap:])
        n_labels, labels = cv2.connectedComponents(mask, connectivity=8, ltype=cv2.CV_32S)
        return np.asarray(labels, np.int32), n_labels

    def _measure(
        self, logits: NDArray[np.float32], mask: NDArray[np.uint8], labels: NDArray[np.int32], n_labels: int
    ) -> list[Blob | None]:
        """A blob for each label 1..n of this piece; None for a label without alarmed cells (the reach of older)."""
        blobs: list[Blob | None] = [None] * (n_labels - 1)
        rows, columns = np.nonzero(mask)
        if rows.size == 0:
            return blobs
        of_cell = labels[rows, columns]
        order = np.argsort(of_cell, kind="stable")  # within a label the cells stay sorted by row
        of_cell, rows, columns = of_cell[order], rows[order], columns[order]
        values = logits[rows, columns].astype(np.float64)
        starts = np.flatnonzero(np.diff(of_cell, prepend=0))
        ends = np.append(starts[1:], of_cell.size)
        first_columns = np.minimum.reduceat(columns, starts)
        end_columns = np.maximum.reduceat(columns, starts) + 1
        peaks = np.maximum.reduceat(values, starts)
        sums = np.add.reduceat(1.0 / (1.0 + np.exp(-np.clip(values, -700, 700))), starts)
        corners, corner_starts = _corners(of_cell, rows + self._row, columns, starts)
        for i in range(len(starts)):
            blobs[of_cell[starts[i]] - 1] = Blob(
                serial=-1,
                area=int(ends[i] - starts[i]),
                first_row=self._row + int(rows[starts[i]]),
                end_row=self._row + int(rows[ends[i] - 1]) + 1,
                first_column=int(first_columns[i]),
                end_column=int(end_columns[i]),
                peak=float(peaks[i]),
                score_sum=float(sums[i]),
                hull=_hull(corners[corner_starts[i] : corner_starts[i + 1]]),
            )
        return blobs

    def _join(self, labels: NDArray[np.int32], blobs: list[Blob | None]) -> BlobStep:
        """Join this piece's components to the open blobs and among each other where an open blob links them."""
        n_open = len(self._border)
        parents = list(range(n_open + len(blobs)))  # open blobs first, then this piece's labels

        def root(node: int) -> int:
            while parents[node] != node:
                parents[node] = parents[parents[node]]
                node = parents[node]
            return node

        for above, below in self._touching(labels[0]):
            a, b = root(above - 1), root(n_open + below - 1)
            parents[max(a, b)] = min(a, b)  # an open blob, if there is one, becomes the root
        groups: dict[int, list[int]] = {}
        for node in range(len(parents)):
            groups.setdefault(root(node), []).append(node)

        step = BlobStep()
        last_row = labels[-1]
        alive = set(np.unique(last_row).tolist()) - {0}
        new_border: list[Blob] = []
        border_of_label = np.zeros(len(blobs) + 1, np.int32)
        members = []
        for nodes in groups.values():
            opened = [self._border[node] for node in nodes if node < n_open]
            fresh = [node - n_open + 1 for node in nodes if node >= n_open]
            gained = [blob for label in fresh if (blob := blobs[label - 1]) is not None]
            members.append((opened, fresh, gained))
        # OpenCV's labels come in no stated order; serials, and with them ids, follow the web.
        members.sort(key=lambda group: min((b.first_row, b.first_column) for b in group[0] + group[2]))
        for opened, fresh, gained in members:
            survivor = self._unite(opened, gained, step)
            live = [label for label in fresh if label in alive]
            if live:
                new_border.append(survivor)
                border_of_label[live] = len(new_border)
                if gained:
                    step.grown.append(survivor)
            else:
                step.closed.append(survivor)
        self._border = new_border
        self._border_labels = border_of_label[last_row]
        return step

    def _unite(self, opened: list[Blob], gained: list[Blob], step: BlobStep) -> Blob:
        """One blob of a group: the announced one with the lowest id, else the oldest, takes over the others."""
        if opened:
            opened.sort(key=lambda blob: (blob.defect_id is None, blob.defect_id or 0, blob.serial))
            survivor = opened[0]
            for younger in opened[1:]:
                survivor.absorb(younger)
                step.merged.append((younger, survivor))
        else:
            survivor, *gained = gained
            survivor.serial = self._serial
            self._serial += 1
        for blob in gained:
            survivor.absorb(blob)
        return survivor

    def _touching(self, first_row: NDArray[np.int32]) -> list[tuple[int, int]]:
        """Pairs (open blob's label, this piece's label) that are 8-connected across the border."""
        above = self._border_labels
        if above is None or not self._border:
            return []
        width = first_row.size
        pairs = []
        for shift in (-1, 0, 1):
            a = above[max(0, shift) : width + min(0, shift)]
            b = first_row[max(0, -shift) : width + min(0, -shift)]
            both = (a > 0) & (b > 0)
            pairs.append(np.stack([a[both], b[both]], axis=1))
        return [(int(a), int(b)) for a, b in np.unique(np.concatenate(pairs), axis=0)]


def _hull(points: NDArray[np.int32]) -> NDArray[np.int32]:
    """Corners of the convex hull (Sklansky's algorithm in OpenCV) of int32 (n, 2), int32 (m, 2)."""
    return np.asarray(cv2.convexHull(points)[:, 0], np.int32)


def _corners(
    of_cell: NDArray[np.int32], rows: NDArray[np.int64], columns: NDArray[np.int64], starts: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Corners of the outermost cells of each row of each component, int32 (n, 2), and where each component's begin.

    Args:
        of_cell, rows, columns: cells sorted by component, in it by row, in it by column.
        starts: first cell of each component.
    """
    begins = np.flatnonzero(np.diff(of_cell, prepend=-1) | np.diff(rows, prepend=-1))
    ends = np.append(begins[1:], of_cell.size) - 1
    top, left, right = rows[begins], columns[begins], columns[ends] + 1
    corners = np.stack([left, top, left, top + 1, right, top, right, top + 1], axis=1).reshape(-1, 2)
    component_starts = np.append(np.searchsorted(begins, starts), begins.size) * 4
    return corners.astype(np.int32), component_starts
