"""Scores of a web that never ends, for measuring what comes after the engine.

Smoothed noise at the level of good cloth, with faults painted in at known lines: a spot a metre, a warp line every ten
metres and, if asked for, a warp line that never ends.
"""

from __future__ import annotations

import queue
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from glass_edge.config.inspection import InspectionSettings
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.inspection.defect_stage import DefectStage
from glass_edge.inspection.messages import EndOfRun, ForDefects, LinesSeen, SegmentStart
from glass_edge.inspection.parameters import StyleParameters
from glass_edge.inspection.run_state import RunState
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import InspectionSink, Segment
from glass_edge.inspection.turns import StageTurns

STRIDE_PX = 4
THRESHOLD = 2.0
_BANK_ROWS = 56 * 16


class Scores:
    """Rows of scores by their number; the same whatever pieces are asked for.

    Args:
        n_cells: across the web.
        rows_per_m: rows of a metre.
        with_running: a warp line that never ends.
    """

    def __init__(self, n_cells: int, rows_per_m: int, *, with_running: bool = False, seed: int = 0) -> None:
        noise = np.random.default_rng(seed).normal(-4.0, 1.0, (_BANK_ROWS, n_cells))
        self._bank = np.clip(noise, None, -0.5).astype(np.float32)
        self._rows_per_m = rows_per_m
        self._running = with_running
        self._seed = seed

    def rows(self, first: int, end: int) -> NDArray[np.float32]:
        """Rows [first, end), float32 (rows, cells)."""
        logits = self._bank[np.arange(first, end) % _BANK_ROWS]
        n_cells = logits.shape[1]
        for metre in range(max(0, first // self._rows_per_m - 1), end // self._rows_per_m + 1):
            rng = np.random.default_rng((self._seed, metre))
            row = metre * self._rows_per_m + int(rng.integers(self._rows_per_m // 2))
            column = int(rng.integers(n_cells - 8))
            rows = 200 if metre % 10 == 9 else 6
            columns = 2 if metre % 10 == 9 else 6
            logits[max(0, row - first) : max(0, row + rows - first), column : column + columns] = 6.0
        if self._running:
            logits[:, n_cells // 3 : n_cells // 3 + 2] = 6.0
        return logits


class Feed:
    """Stands where the queue before the defects thread does and hands over scores as fast as they are taken."""

    def __init__(self, scores: Scores, n_cells: int, lines: int, strip_rows: int) -> None:
        self._messages = self._make(scores, n_cells, lines, strip_rows)
        self.making_s = 0.0

    def get(self, timeout: float | None = None) -> ForDefects:
        """Next message."""
        del timeout
        begun = time.thread_time()
        message = next(self._messages)
        self.making_s += time.thread_time() - begun
        return message

    def qsize(self) -> int:
        """Nothing waits."""
        return 0

    @staticmethod
    def _make(scores: Scores, n_cells: int, lines: int, strip_rows: int) -> Iterator[ForDefects]:
        cloth = ClothSpan(0, n_cells * STRIDE_PX)
        yield SegmentStart(Segment(0, cloth, cloth, "endless"), 0, cloth.right_px)
        picture = np.zeros((strip_rows * STRIDE_PX, cloth.right_px), np.uint8)
        row = 0
        while row * STRIDE_PX < lines:
            first, end = row * STRIDE_PX, (row + strip_rows) * STRIDE_PX
            yield LinesSeen(first, picture, time.monotonic())
            yield ScoreStrip(first, end, STRIDE_PX, 0, scores.rows(row, row + strip_rows))
            row += strip_rows
        yield EndOfRun()


def defect_stage(feed: Feed, sink: InspectionSink, scale: WebScale, **settings: object) -> DefectStage:
    """The defects thread's body with `feed` in front of it and `sink` behind."""
    blocks: queue.Queue[object] = queue.Queue()
    style = StyleParameters("endless", halo_px=16, smoothing_sigma_px=2.0, threshold_logit=THRESHOLD)
    return DefectStage(
        feed,  # type: ignore[arg-type]
        blocks,  # type: ignore[arg-type]
        sink,
        RunState(0.0),
        StageTurns(),
        roll_id="endless",
        style=style,
        stride_px=STRIDE_PX,
        scale=scale,
        settings=InspectionSettings(**({"progress_s": 1.0} | settings)),
    )
