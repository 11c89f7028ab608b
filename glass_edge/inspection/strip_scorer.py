"""From lines in blocks of any length to one continuous strip of scores.

Promises: the strip is a function of the cloth and the tile plan alone, bit by bit, whatever the blocks (tiles are cut,
batched and merged by line number, never by arrival); every line of a segment is in exactly one `ScoreStrip`,
`FailedLines` or `EdgeLines`, in order. Only `tile height + inner height` lines are held.

What a segment borders on was not seen, and a reflection of the cloth in its place breaks the weave's phase: its scores
mean nothing. So the outermost `halo_px` lines at both ends of a segment (and what is left of a cell behind the last
whole one) are `EdgeLines`, never scored; a segment without a whole cell between them is nothing else. Where a tile
reaches beyond the last line it continues by reflection (reflect-101), which is seen inside its halo only.

A strip that is told to stop at a line has, before it, the scores of one that goes on, and none from it on.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.engine.base import Engine, EngineError
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.inspection.borders import reflect_101
from glass_edge.inspection.line_buffer import LineBuffer
from glass_edge.inspection.score_strip import EdgeLines, FailedLines, ScoreStrip
from glass_edge.inspection.tile_plan import TileColumn, TileGeometry, TilePlan, plan_tiles

Scored = ScoreStrip | FailedLines | EdgeLines


@dataclass(slots=True)
class _TileRow:
    """A row of tiles on its way through the engine."""

    first_line: int
    end_line: int
    tile_row: int  # row of the tile's scores that becomes the first row of `logits`
    logits: NDArray[np.float32]
    batches_left: int
    error: Exception | None = None


class StripScorer:
    """Cuts tiles, runs the engine on them and merges the scores.

    Args:
        engine: entered by the caller, in the thread that uses the scorer.
        halo_px: border of a tile whose scores are not used (of the bundle).
        advance_px: lines from tile row to tile row; None: height - 2 halo, the least work.
        batch: most tiles a call of the engine; None: the engine's own limit.

    Raises:
        InputError: the geometry does not fit the engine.
    """

    def __init__(
        self, engine: Engine, *, halo_px: int, advance_px: int | None = None, batch: int | None = None
    ) -> None:
        if batch is not None and batch < 1:
            raise InputError(f"batch = {batch}: at least 1 tile a batch is needed")
        height, width = engine.tile_height_px, engine.tile_width_px
        advance = height - 2 * halo_px if advance_px is None else advance_px
        self.geometry = TileGeometry(height, width, halo_px, engine.score_stride_px, advance)
        self._engine = engine
        self._batch = min(batch or engine.max_batch, engine.max_batch)
        shape = (self._batch, height, width, engine.channels)
        self._slots = [np.empty(shape, np.uint8) for _ in range(max(1, engine.depth))]
        self._submitted = 0
        self._in_flight: deque[tuple[_TileRow, tuple[TileColumn, ...]]] = deque()
        self._rows: deque[_TileRow] = deque()
        self._plan: TilePlan | None = None
        self._buffer: LineBuffer | None = None
        self._buffer_shape = (0, 0)
        self._first_line = 0
        self._from_line = 0  # first line that is handed out
        self._cut_line = 0  # first line not yet in a tile row; the start edge is behind it
        self._done_line = 0  # first line not yet handed out
        self._stop_line: int | None = None  # nothing is scored from here on
        self.tiles_scored = 0

    @property
    def plan(self) -> TilePlan | None:
        """Tile plan of the open segment; None between segments."""
        return self._plan

    @property
    def next_line(self) -> int:
        """First line of the segment that was not handed out yet."""
        return self._done_line

    @property
    def held_line(self) -> int:
        """First line of the segment of which the pixels are still held."""
        return self._open()[1].first_line

    @property
    def edge_line(self) -> int:
        """First line of the end edge, if the segment ended behind the lines taken so far."""
        _, buffer = self._open()
        halo, stride = self.geometry.halo_px, self.geometry.stride_px
        scored = (buffer.end_line - self._first_line - 2 * halo) // stride * stride
        return self._first_line + halo + scored if scored > 0 else self._first_line

    @property
    def has_stopped(self) -> bool:
        """True when every row before the line of `stop_at` is on its way."""
        return self._cut_line == self._stop_line

    def lines_from(self, line: int) -> NDArray[np.uint8]:
        """View of the lines held from `line` on (not before `held_line`), uint8 (n, width, channels); valid until the
        next `push`; empty where they are still to come.
        """
        _, buffer = self._open()
        return buffer.held()[line - buffer.first_line :]

    def row_from(self, line: int) -> int:
        """First line at or after `line` at which a row of scores begins that is not yet cut, nor the strip's first."""
        start, stride = self._first_line + self.geometry.halo_px, self.geometry.stride_px
        return start - (start - max(line, self._cut_line, start + 1)) // stride * stride

    def stop_at(self, line: int) -> None:
        """Score nothing from `line` on, a value of `row_from`; lines behind it are taken as far as rows before need
        them. `abandon` closes a segment that has stopped.
        """
        if line < self._cut_line or line != self.row_from(line):
            raise ValueError(f"line {line} begins no row of scores that is still to be cut")
        self._stop_line = line

    def go_on(self) -> None:
        """Take `stop_at` back; no line may have been pushed since the strip stopped."""
        self._stop_line = None

    def begin(
        self, first_line: int, width_px: int, channels: int, span: ClothSpan, *, from_line: int | None = None
    ) -> TilePlan:
        """Start a segment of lines of `width_px` pixels and `channels` (1 grey, 3 RGB), inspected inside `span`; lines
        of its start edge before `from_line` are another strip's and are not handed out.

        Raises:
            InputError: the span does not fit, or the cloth is RGB and the engine grey.
        """
        if self._plan is not None:
            raise RuntimeError("the segment before was not ended")
        if channels not in (1, self._engine.channels):
            raise InputError(
                f"the camera gives {channels} channels and the engine takes {self._engine.channels}: "
                "use an engine trained on RGB, or set the camera to grey"
            )
        plan = plan_tiles(width_px, span, self.geometry)
        if self._buffer is None or self._buffer_shape != (width_px, channels):
            capacity = self.geometry.height_px + self.geometry.inner_height_px
            self._buffer = LineBuffer(capacity, width_px, channels)
            self._buffer_shape = (width_px, channels)
        self._buffer.clear(first_line)
        self._first_line = first_line
        self._from_line = self._done_line = first_line if from_line is None else from_line
        self._cut_line = first_line + self.geometry.halo_px
        self._stop_line = None
        self._plan = plan
        return plan

    def push(self, lines: NDArray[np.uint8]) -> list[Scored]:
        """Take lines uint8 (n, width) or (n, width, channels) that follow the ones before.

        Returns:
            What was finished meanwhile; results may lag behind by the engine's depth, see `drain`.
        """
        plan, buffer = self._open()
        pixels = lines if lines.ndim == 3 else lines[:, :, None]
        if pixels.shape[1:] != self._buffer_shape:
            raise InputError(
                f"lines of shape {pixels.shape[1:]} in a segment of {self._buffer_shape} (width, channels)"
            )
        done: list[Scored] = []
        taken = 0
        while taken < pixels.shape[0] and not self.has_stopped:
            part = pixels[taken : taken + buffer.free]
            buffer.put(part)
            taken += part.shape[0]
            # A tile row is cut once its last line is here.
            while self._is_row_here(buffer.end_line):
                self._cut(plan, buffer, None, self._stop_line, done)
        return done

    def drain(self) -> list[Scored]:
        """Wait for everything in flight; the segment stays open."""
        done: list[Scored] = []
        while self._in_flight:
            self._collect()
        self._hand_out(done)
        return done

    def end(self) -> list[Scored]:
        """End the segment: the lines still held are scored, less the end edge. One that was told to stop ends there, if
        that lies before the edge.
        """
        plan, buffer = self._open()
        done: list[Scored] = []
        end_line, edge_line = buffer.end_line, self.edge_line
        stops = self._stop_line is not None and self._stop_line <= edge_line
        limit_line = self._stop_line if self._stop_line is not None and stops else edge_line
        while self._cut_line < limit_line:
            self._cut(plan, buffer, end_line, limit_line, done)
        done += self.drain()
        edge_line = max(edge_line, self._from_line)
        if edge_line < end_line and not stops:
            done.append(EdgeLines(edge_line, end_line))
            self._done_line = end_line
        self._plan = None
        return done

    def abandon(self) -> list[Scored]:
        """Give the segment up: what is in flight is collected, lines held and not yet cut are dropped unscored."""
        done = self.drain()
        self._plan = None
        return done

    def _open(self) -> tuple[TilePlan, LineBuffer]:
        if self._plan is None or self._buffer is None:
            raise RuntimeError("no segment was begun")
        return self._plan, self._buffer

    def _is_row_here(self, end_line: int) -> bool:
        is_whole = self._origin_after(self._cut_line) + self.geometry.height_px <= end_line
        return is_whole and not self.has_stopped

    def _origin_after(self, cut_line: int) -> int:
        """Web line at which the next tile row starts: the last grid row whose inside begins at or before the line.

        While lines keep coming the insides hang below each other: row 0 gives its whole inside, each later row the
        `advance` lines at its inside's end, so that a line waits for no more than advance + halo lines after it.
        """
        geometry = self.geometry
        if cut_line == self._first_line + geometry.halo_px:
            return self._first_line
        return cut_line + geometry.advance_px - geometry.inner_height_px - geometry.halo_px

    def _cut(
        self, plan: TilePlan, buffer: LineBuffer, segment_end: int | None, limit_line: int | None, done: list[Scored]
    ) -> None:
        """Cut one row of tiles and send it to the engine; scores behind `limit_line` are not used, and the end is known
        only when the segment ends.
        """
        geometry = self.geometry
        origin = self._origin_after(self._cut_line)
        if segment_end is not None:
            # No line comes any more: let the inside start at the cut, so that the fewest rows finish the segment.
            origin = self._cut_line - geometry.halo_px
        inside_end = origin + geometry.halo_px + geometry.inner_height_px
        end_line = inside_end if limit_line is None else min(inside_end, limit_line)
        rows = np.arange(origin, origin + geometry.height_px) - self._first_line
        n_known = (buffer.end_line if segment_end is None else segment_end) - self._first_line
        source_rows = reflect_101(rows, n_known) + (self._first_line - buffer.first_line)
        held = buffer.held()
        if source_rows[-1] - source_rows[0] == geometry.height_px - 1:  # no reflection: a view will do
            pixels = held[source_rows[0] : source_rows[0] + geometry.height_px]
        else:
            pixels = held[source_rows]
        stride = geometry.stride_px
        if self._cut_line == self._first_line + geometry.halo_px > self._from_line:
            done.append(EdgeLines(self._from_line, self._cut_line))
            self._done_line = self._cut_line
        row = _TileRow(
            first_line=self._cut_line,
            end_line=end_line,
            tile_row=(self._cut_line - origin) // stride,
            logits=np.empty((-(-(end_line - self._cut_line) // stride), plan.n_cells), np.float32),
            batches_left=-(-len(plan.columns) // self._batch),
        )
        self._rows.append(row)
        # A batch never mixes tile rows: its size, and with it every last bit, would depend on how lines arrived.
        for first in range(0, len(plan.columns), self._batch):
            self._submit(row, plan.columns[first : first + self._batch], pixels)
        self._cut_line = end_line
        keep_from = self._origin_after(end_line) - geometry.inner_height_px
        if segment_end is None:
            buffer.release_before(min(keep_from + 1, end_line))
        self._hand_out(done)

    def _submit(self, row: _TileRow, columns: tuple[TileColumn, ...], pixels: NDArray[np.uint8]) -> None:
        while len(self._in_flight) >= len(self._slots):
            self._collect()
        tiles = self._slots[self._submitted % len(self._slots)][: len(columns)]
        for tile, column in zip(tiles, columns, strict=True):
            tile[...] = pixels[:, column.source]  # grey lines repeat into the three channels of an RGB engine
        try:
            self._engine.submit(tiles)
        except EngineError as error:
            row.error = error
            row.batches_left -= 1
            return
        self._submitted += 1
        self._in_flight.append((row, columns))

    def _collect(self) -> None:
        row, columns = self._in_flight.popleft()
        row.batches_left -= 1
        try:
            logits = self._engine.collect()
        except EngineError as error:
            row.error = error
            return
        self.tiles_scored += len(columns)
        assert self._plan is not None
        left = self._plan.first_cell
        rows = slice(row.tile_row, row.tile_row + row.logits.shape[0])
        for tile, column in zip(logits, columns, strict=True):
            cells = slice(column.tile_cell, column.tile_cell + column.end_cell - column.first_cell)
            row.logits[:, column.first_cell - left : column.end_cell - left] = tile[rows, cells]

    def _hand_out(self, done: list[Scored]) -> None:
        assert self._plan is not None
        while self._rows and self._rows[0].batches_left == 0:
            row = self._rows.popleft()
            self._done_line = row.end_line
            if row.error is not None:
                done.append(FailedLines(row.first_line, row.end_line, row.error))
                continue
            done.append(
                ScoreStrip(row.first_line, row.end_line, self.geometry.stride_px, self._plan.first_cell, row.logits)
            )
