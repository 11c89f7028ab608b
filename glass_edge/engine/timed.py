"""An engine whose batches are timed.

Promises: tiles, scores and errors are those of the engine inside; each batch whose scores came is told once, with the
time from its submission to its scores.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from glass_edge.engine.base import Engine


class TimedEngine:
    """Wraps `engine`.

    Args:
        engine: not yet entered.
        observe: told the seconds of each batch, in the engine's thread; must be quick.
    """

    def __init__(self, engine: Engine, observe: Callable[[float], object]) -> None:
        self._engine = engine
        self._observe = observe
        self._begun_s: deque[float] = deque()
        self.facts = engine.facts
        self.tile_height_px = engine.tile_height_px
        self.tile_width_px = engine.tile_width_px
        self.channels = engine.channels
        self.score_stride_px = engine.score_stride_px
        self.max_batch = engine.max_batch
        self.depth = engine.depth

    def submit(self, tiles: NDArray[np.uint8]) -> None:
        """As `Engine.submit`."""
        begun_s = time.monotonic()
        self._engine.submit(tiles)
        self._begun_s.append(begun_s)

    def collect(self) -> NDArray[np.float32]:
        """As `Engine.collect`."""
        begun_s = self._begun_s.popleft() if self._begun_s else None
        scores = self._engine.collect()
        if begun_s is not None:
            self._observe(time.monotonic() - begun_s)
        return scores

    def infer(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """As `Engine.infer`."""
        self.submit(tiles)
        return self.collect()

    def __enter__(self) -> Self:
        self._engine.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._begun_s.clear()
        self._engine.__exit__(kind, error, trace)
