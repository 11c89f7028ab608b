"""Parts that the inspection tests run against: a small convolutional engine and a camera that plays given blocks."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.camera import CameraHealth, EndOfLinesError, LineBlock
from glass_edge.engine.base import EngineError, EngineFacts, TileShapeError
from glass_edge.fabric.defect import Defect
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.coverage import CoverageGap
from glass_edge.inspection.parameters import ActiveEngine
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import DefectCrop, Fault, Progress, QuietSink, Segment

Pixels = NDArray[np.uint8]
Scores = NDArray[np.float32]


class ConvEngine:
    """A fully convolutional scorer: separable filter of a known reach with zero borders, then the mean of each cell.

    It computes when a batch is collected, from the array that was handed in: a caller that reuses the array too early
    gets wrong scores.
    """

    facts = EngineFacts("numpy", "1", "cpu", "f32", 1)

    def __init__(
        self,
        *,
        tile: tuple[int, int] = (64, 96),
        channels: int = 1,
        stride: int = 4,
        reach: int = 6,
        max_batch: int = 3,
        depth: int = 2,
        seed: int = 0,
        gain: float = 0.1,
        mean: float = 128.0,
    ) -> None:
        self.tile_height_px, self.tile_width_px = tile
        self.channels = channels
        self.score_stride_px = stride
        self.max_batch = max_batch
        self.depth = depth
        self.reach = reach
        self._gain = gain
        self._mean = mean
        rng = np.random.default_rng(seed)
        weights = rng.uniform(0.2, 1.0, (2, 2 * reach + 1)).astype(np.float32)
        self._weights = weights / weights.sum(axis=1, keepdims=True)
        self._flight: deque[np.ndarray] = deque()
        self.batch_sizes: list[int] = []
        self.tiles = 0
        self.entered_in: int | None = None
        self.closed = False

    def submit(self, tiles: Pixels) -> None:
        shape = (self.tile_height_px, self.tile_width_px, self.channels)
        if tiles.dtype != np.uint8 or tiles.shape[1:] != shape or not 1 <= len(tiles) <= self.max_batch:
            raise TileShapeError(f"{tiles.dtype} {tiles.shape}")
        assert len(self._flight) < self.depth, "one more batch than the depth: a real engine would block for ever"
        self._flight.append(tiles)

    def collect(self) -> Scores:
        if not self._flight:
            raise EngineError("nothing is in flight")
        tiles = self._flight.popleft()
        self.batch_sizes.append(len(tiles))
        self.tiles += len(tiles)
        return np.stack([self.score(tile) for tile in tiles])

    def infer(self, tiles: Pixels) -> Scores:
        self.submit(tiles)
        return self.collect()

    def score(self, image: Pixels) -> Scores:
        """uint8 (h, w, c) to float32 (h / stride, w / stride); any size that is a multiple of the stride."""
        grey = (image.astype(np.float32).mean(axis=2) - self._mean) * self._gain
        smooth = cv2.sepFilter2D(grey, cv2.CV_32F, self._weights[0], self._weights[1], borderType=cv2.BORDER_CONSTANT)
        s = self.score_stride_px
        h, w = smooth.shape
        return smooth.reshape(h // s, s, w // s, s).mean(axis=(1, 3), dtype=np.float32)

    def __enter__(self) -> Self:
        self.entered_in = threading.get_ident()
        return self

    def __exit__(self, *exc: object) -> None:
        self.closed = True


class FailingEngine(ConvEngine):
    """Fails to collect where `fails(number of the batch)` says so; with `error` other than an EngineError if given."""

    def __init__(self, fails: Callable[[int], bool], error: BaseException | None = None, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._fails = fails
        self._error = error
        self._batches = 0

    def collect(self) -> Scores:
        logits = super().collect()
        self._batches += 1
        if self._fails(self._batches - 1):
            raise self._error or EngineError("the device fell off the bus")
        return logits


class NanEngine(ConvEngine):
    """Gives one score that is no number in the batches that `bad(number)` names."""

    def __init__(self, bad: Callable[[int], bool], **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._bad = bad
        self._batches = 0

    def collect(self) -> Scores:
        logits = super().collect()
        self._batches += 1
        if self._bad(self._batches - 1):
            logits[0, logits.shape[1] // 2, logits.shape[2] // 2] = np.nan
        return logits


def block(
    lines: Pixels,
    first_line: int,
    *,
    starts_segment: bool = False,
    source: str = "",
    health: CameraHealth | None = None,
) -> LineBlock:
    kwargs = {} if health is None else {"health": health}
    return LineBlock(
        np.ascontiguousarray(lines),
        first_line,
        first_line,
        datetime.now(UTC),
        time.monotonic(),
        starts_segment=starts_segment,
        source=source,
        **kwargs,
    )


def blocks_of(lines: Pixels, sizes: Iterable[int], first_line: int = 0, **kwargs: object) -> list[LineBlock]:
    """Cut lines into blocks of the sizes given, the last size repeated as needed."""
    result, at = [], 0
    sizes = list(sizes)
    while at < len(lines):
        n = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        result.append(block(lines[at : at + n], first_line + at, starts_segment=at == 0, **kwargs))
        at += n
    return result


class BlockCamera:
    """Plays blocks; an exception in the list is raised, a callable is called and its result played (None: no block)."""

    is_simulated = True

    def __init__(
        self,
        items: Iterable[object],
        width_px: int,
        channels: int = 1,
        endless: bool = False,
        first_line: int | None = None,
    ) -> None:
        self.first_line = first_line
        self.width_px = width_px
        self.channels = channels
        self._items = list(items)
        self._endless = endless
        self.opened = self.closed = 0
        self.lines_read = 0

    def __enter__(self) -> Self:
        self.opened += 1
        return self

    def __exit__(self, *exc: object) -> None:
        self.closed += 1

    def read(self, timeout_s: float) -> LineBlock | None:
        if not self._items:
            if self._endless:
                time.sleep(min(timeout_s, 0.01))
                return None
            raise EndOfLinesError
        item = self._items.pop(0)
        if isinstance(item, BaseException):
            raise item
        if callable(item):
            item = item()
        if item is None:
            return None
        item = block(
            item.lines, item.first_line, starts_segment=item.starts_segment, source=item.source, health=item.health
        )
        self.lines_read += len(item.lines)
        return item


class Notes(QuietSink):
    """Writes everything down, and the thread that called."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, object]] = []
        self.threads: set[int] = set()
        self.crops: dict[int, object] = {}
        self.progress_reports: list[object] = []

    def _note(self, kind: str, value: object) -> None:
        self.threads.add(threading.get_ident())
        self.calls.append((kind, value))

    def of(self, kind: str) -> list[Any]:
        return [value for name, value in self.calls if name == kind]

    def roll_started(self, roll: Roll) -> None:
        self._note("roll_started", roll)

    def segment_started(self, segment: Segment) -> None:
        self._note("segment", segment)

    def engine_changed(self, line: int, engine: ActiveEngine, so_far: RollTotals | None) -> None:
        self._note("engine", (line, engine, so_far))

    def scores(self, strip: ScoreStrip) -> None:
        self._note("scores", strip)

    def defect(self, defect: Defect, crop: DefectCrop | None) -> None:
        self._note("defect", defect)
        if crop is not None:
            self.crops[defect.defect_id] = crop

    def coverage_gap(self, gap: CoverageGap) -> None:
        self._note("gap", gap)

    def fault(self, fault: Fault) -> None:
        self._note("fault", fault)

    def progress(self, progress: Progress) -> None:
        self.threads.add(threading.get_ident())
        self.progress_reports.append(progress)

    def roll_ended(self, roll: Roll, totals: RollTotals) -> None:
        self._note("roll_ended", totals)
