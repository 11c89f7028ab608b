"""Rolls of good cloth through the inspection itself, reduced to blocks for the threshold's promise.

Promises: the scores are those of `replay` with this bundle, smoothed and, in the selvedge zones, lowered by the zone's
offset, so that one threshold judges the whole width; alarms at any threshold are counted by the labeller of the
inspection, without what joins more of them (hysteresis, runs), so a station announces no more; cloth that was not
inspected is not counted as metres; damage and engine failures are refused.

Of each block only its largest cells are kept (`CELLS`), so memory is bounded by the length of the cloth. Below the
smallest kept cell of a block, a count can miss how cells between would have joined or parted alarms.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.tail_blocks import BlockMaxima
from glass_edge.cli.replay import FAILURES
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import WebScale
from glass_edge.inspection.blobs import Blob, BlobLabeller
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import Fault, QuietSink, Segment
from glass_edge.service.roll_job import RollJob, check_job
from glass_edge.service.roll_pipeline import inspect_once

CELLS = 1024
_NO_ALARM = 1e9  # a threshold that nothing reaches
_PUSH_ROWS = 4096


@dataclass(slots=True)
class Stretch:
    """An unbroken stretch of good cloth.

    Attributes:
        roll: number of its roll.
        source: name of the image, empty for a recording.
        along_m: where each block starts, m from the roll's first line.
        first_rows: score row at which each block starts, from the stretch's first.
        lengths_m: of the blocks.
        maxima: largest smoothed logit of each.
        rows, columns, logits: the largest cells of all blocks, int32, int32 and float32.
    """

    roll: int
    source: str
    along_m: list[float] = field(default_factory=list)
    first_rows: list[int] = field(default_factory=list)
    lengths_m: list[float] = field(default_factory=list)
    maxima: list[float] = field(default_factory=list)
    rows: list[NDArray[np.int32]] = field(default_factory=list)
    columns: list[NDArray[np.int32]] = field(default_factory=list)
    logits: list[NDArray[np.float32]] = field(default_factory=list)


class BlockSink(QuietSink):
    """Cuts smoothed scores into blocks as they come.

    Args:
        roll: number of the roll.
        mm_per_line: advance a line, mm.
        stride_px: lines of a score row.
        block_m: length of a block; the rest of a stretch is a block if it has half of that, else part of the last.
    """

    def __init__(self, roll: int, mm_per_line: float, stride_px: int, block_m: float) -> None:
        self._roll, self._mm_per_line, self._stride = roll, mm_per_line, stride_px
        self._block_rows = max(1, round(1000 * block_m / (stride_px * mm_per_line)))
        self._held: list[ScoreStrip] = []
        self._row = 0
        self._source = ""
        self._end_line: int | None = None
        self.stretches: list[Stretch] = []
        self.faults: list[str] = []

    def segment_started(self, segment: Segment) -> None:
        """A new stretch begins."""
        self.finish()
        self._source = segment.source

    def scores(self, strip: ScoreStrip) -> None:
        """Cut what is complete."""
        if self._end_line != strip.first_line:
            self.finish()
            self.stretches.append(Stretch(self._roll, self._source))
            self._row = 0
        self._end_line = strip.end_line
        self._held.append(strip)
        while self._held_rows() >= 2 * self._block_rows:  # a rest that is too short can still join the last block
            self._cut(self._block_rows)

    def fault(self, fault: Fault) -> None:
        """Keep what means that cloth was not inspected as it should have been."""
        if fault.kind in FAILURES:
            self.faults.append(fault.message)

    def finish(self) -> None:
        """The stretch has ended: its last blocks."""
        rows = self._held_rows()
        if rows >= self._block_rows * 1.5:
            self._cut(self._block_rows)
        if self._held_rows():
            self._cut(self._held_rows())
        self._end_line = None

    def _held_rows(self) -> int:
        return sum(len(strip.logits) for strip in self._held)

    def _cut(self, rows: int) -> None:
        first = self._held[0]
        logits = np.concatenate([strip.logits for strip in self._held])
        end_line = min(first.first_line + rows * self._stride, self._held[-1].end_line)
        block, rest = logits[:rows], logits[rows:]
        self._held = []
        if len(rest):
            assert self._end_line is not None
            self._held = [ScoreStrip(end_line, self._end_line, self._stride, first.first_cell, rest)]
        stretch = self.stretches[-1]
        values = block.ravel()
        kept = np.argpartition(values, -CELLS)[-CELLS:] if values.size > CELLS else np.arange(values.size)
        stretch.along_m.append(first.first_line * self._mm_per_line / 1000)
        stretch.first_rows.append(self._row)
        stretch.lengths_m.append((end_line - first.first_line) * self._mm_per_line / 1000)
        stretch.maxima.append(float(values.max()))
        stretch.rows.append((kept // block.shape[1] + self._row).astype(np.int32))
        stretch.columns.append((kept % block.shape[1] + first.first_cell).astype(np.int32))
        stretch.logits.append(values[kept])
        self._row += rows


@dataclass(frozen=True, slots=True)
class GoodRolls:
    """Good cloth as blocks.

    Attributes:
        names: of the rolls.
        stretches: of all rolls, in order.
        gap_rows, gap_columns: score cells without alarm that do not part one, along and across.
    """

    names: tuple[str, ...]
    stretches: tuple[Stretch, ...]
    gap_rows: int
    gap_columns: int

    def blocks(self) -> BlockMaxima:
        """All blocks in order."""
        sizes = [len(one.maxima) for one in self.stretches]
        return BlockMaxima(
            np.concatenate([one.maxima for one in self.stretches]),
            np.concatenate([one.lengths_m for one in self.stretches]),
            np.repeat(np.arange(len(sizes)), sizes),
            np.repeat([one.roll for one in self.stretches], sizes),
        )

    def count_alarms(self, threshold_logit: float) -> NDArray[np.int64]:
        """Defects that would be announced at a threshold, by the block in which they begin, int64 (blocks,).

        A defect of any area counts, as with the default `min_area_mm2 = 0`.
        """
        return np.concatenate([self._count(one, threshold_logit) for one in self.stretches])

    def _count(self, stretch: Stretch, threshold_logit: float) -> NDArray[np.int64]:
        found = np.zeros(len(stretch.maxima), np.int64)
        logits = np.concatenate(stretch.logits)
        alarmed = logits >= threshold_logit
        if not alarmed.any():
            return found
        rows, columns = np.concatenate(stretch.rows)[alarmed], np.concatenate(stretch.columns)[alarmed]
        for first_row in alarm_rows(rows, columns, logits[alarmed], threshold_logit, (self.gap_rows, self.gap_columns)):
            found[np.searchsorted(stretch.first_rows, first_row, side="right") - 1] += 1
        return found


def alarm_rows(
    rows: NDArray[np.int32],
    columns: NDArray[np.int32],
    logits: NDArray[np.float32],
    threshold_logit: float,
    gaps: tuple[int, int],
) -> list[int]:
    """First row of each alarm that the cells at or above a threshold make, any order.

    Args:
        rows, columns, logits: of the cells, each cell once.
        threshold_logit: none of the cells is below it.
        gaps: rows and columns without alarm that do not part one.
    """
    present, index = np.unique(rows, return_inverse=True)
    # Rows without a cell are left out, except as many as part two alarms.
    steps = np.minimum(np.diff(present, prepend=present[0]), gaps[0] + 2)
    places = np.cumsum(steps)
    left, width = int(columns.min()), int(columns.max() - columns.min()) + 1
    order = np.argsort(places[index], kind="stable")
    place, column, value = places[index][order], columns[order] - left, logits[order]
    labeller = BlobLabeller(threshold_logit, gap_rows=gaps[0], gap_columns=gaps[1])
    closed: list[Blob] = []
    for first in range(0, int(places[-1]) + 1, _PUSH_ROWS):
        n = min(_PUSH_ROWS, int(places[-1]) + 1 - first)
        part = slice(*np.searchsorted(place, (first, first + n)))
        strip = np.full((n, width), -np.inf, np.float32)
        strip[place[part] - first, column[part]] = value[part]
        closed += labeller.push(strip).closed
    closed += labeller.flush().closed
    return [int(present[np.searchsorted(places, blob.first_row)]) for blob in closed]


def score_roll(job: RollJob, roll: int, block_m: float) -> list[Stretch]:
    """Inspect one roll and cut it into blocks.

    Args:
        job: the roll; its threshold does not matter.
        roll: its number.
        block_m: length of a block, m.

    Raises:
        InputError: something does not fit, was damaged or not inspected, or nothing was inspected.
    """
    check_job(job)
    inspection = job.inspection.model_copy(
        update={"threshold_logit": _NO_ALARM, "smoothing_sigma_px": None, "crops": False}
    )
    sink = BlockSink(roll, job.web.mm_per_line, job.bundle.manifest.tile.score_stride_px, block_m)
    inspect_once(job, sink, camera=job.camera, inspection=inspection)
    sink.finish()
    if sink.faults:
        raise InputError(f"{job.roll_id}: {sink.faults[0]}; a promise needs cloth that was inspected without a fault")
    if not sink.stretches:
        raise InputError(f"{job.roll_id}: nothing of it was inspected; play it with `glass-edge replay` to see why")
    return sink.stretches


def gap_cells(gap_mm: float, scale: WebScale, stride_px: int) -> tuple[int, int]:
    """Rows and columns of scores that a gap in mm spans, as the tracker counts them."""
    rows, columns = (int(gap_mm / (stride_px * mm) + 1e-9) for mm in (scale.mm_per_line, scale.mm_per_px))
    return rows, columns
