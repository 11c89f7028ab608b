"""The GPU engine: a TensorRT plan.

Promises: the `Engine` contract, whatever thread calls: all of CUDA happens in one thread of the engine's own, which
retains the GPU's context and releases it. Results come in the order of submission; no result holds NaN or infinity;
tiles are copied when they are submitted and results are the caller's own.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from glass_edge.engine.base import EngineError, EngineFacts
from glass_edge.engine.engine_checks import require_finite, require_tiles
from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.tensorrt_session import Slot, TensorRtSession


class TensorRtEngine:
    """A plan on a GPU.

    Args:
        open_session: makes the session; called in the engine's thread.
        tile: geometry of the graph.
        max_batch: most tiles in a batch, as the session was made for.
        facts: shown for the engine.
        name: what errors call the graph.

    Raises:
        EngineError: the plan or the GPU fails.
    """

    def __init__(
        self, open_session: Callable[[], TensorRtSession], tile: TileSpec, max_batch: int, facts: EngineFacts, name: str
    ) -> None:
        self.facts = facts
        self.tile_height_px = tile.height_px
        self.tile_width_px = tile.width_px
        self.channels: int = tile.channels
        self.score_stride_px = tile.score_stride_px
        self.max_batch = max_batch
        self._name = name
        self._gpu = ThreadPoolExecutor(1, thread_name_prefix="tensorrt")
        try:
            self._session = self._gpu.submit(open_session).result()
        except BaseException:
            self._gpu.shutdown()
            raise
        self._free = deque(self._session.slots)
        self.depth = len(self._free)
        self._busy: deque[tuple[Slot, Future[None]]] = deque()
        self._done: deque[NDArray[np.float32] | EngineError] = deque()
        self._closed = False

    def submit(self, tiles: NDArray[np.uint8]) -> None:
        """See `Engine.submit`. Beyond `depth` batches it waits for the oldest and keeps its result for `collect`.

        Raises:
            TileShapeError: wrong shape or dtype. EngineError: `depth` results wait uncollected, or the engine is
                closed. A failure of the GPU is told by `collect`.
        """
        if self._closed:
            raise EngineError(f"{self._name}: the engine is closed")
        require_tiles(self, tiles, self._name)
        if not self._free:
            if len(self._done) >= self.depth:
                raise EngineError(f"{self._name}: {len(self._done)} results wait; collect before submitting more")
            try:
                self._done.append(self._finish_oldest())
            except EngineError as error:
                self._done.append(error)
        slot = self._free.popleft()
        slot.count = len(tiles)
        slot.tiles[: slot.count] = tiles
        self._busy.append((slot, self._gpu.submit(self._session.launch, slot)))

    def collect(self) -> NDArray[np.float32]:
        """See `Engine.collect`."""
        if self._done:
            result = self._done.popleft()
            if isinstance(result, EngineError):
                raise result
            return result
        if not self._busy:
            raise EngineError(f"{self._name}: nothing is in flight; submit tiles first")
        return self._finish_oldest()

    def infer(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Engine.infer`."""
        if self._busy or self._done:
            raise EngineError(f"{self._name}: batches are in flight; collect them first")
        self.submit(tiles)
        return self.collect()

    def close(self) -> None:
        """Drop what is in flight and release the GPU; a second call does nothing.

        Raises:
            EngineError: the GPU cannot be released.
        """
        if self._closed:
            return
        self._closed = True
        self._busy.clear()  # the session waits for what is queued
        self._free.clear()
        self._done.clear()
        try:
            self._gpu.submit(self._session.close).result()
        finally:
            self._gpu.shutdown()

    def __enter__(self) -> Self:
        shape = (self.max_batch, self.tile_height_px, self.tile_width_px, self.channels)
        for count in dict.fromkeys((self.max_batch, 1)):
            self.infer(np.zeros((count, *shape[1:]), np.uint8))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _finish_oldest(self) -> NDArray[np.float32]:
        slot, launched = self._busy.popleft()
        try:
            launched.result()
            result = self._gpu.submit(self._session.wait, slot).result()
        finally:
            self._free.append(slot)
        return require_finite(result, self._name)
