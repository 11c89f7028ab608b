"""An engine whose batches are timed.

Promises: tiles, scores and errors are those of the engine inside; each batch whose scores came is told once, with the
time from its submission to its scores.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from glass_edge.engine.base import Engine
from glass_edge.engine.wrapped import WrappedEngine


class TimedEngine(WrappedEngine):
    """Wraps `engine`.

    Args:
        engine: not yet entered.
        observe: told the seconds of each batch, in the engine's thread; must be quick.
    """

    def __init__(self, engine: Engine, observe: Callable[[float], object]) -> None:
        super().__init__(engine)
        self._observe = observe
        self._begun_s: deque[float] = deque()

    def submit(self, tiles: NDArray[np.uint8]) -> None:
        """See `Engine.submit`."""
        begun_s = time.monotonic()
        super().submit(tiles)
        self._begun_s.append(begun_s)

    def collect(self) -> NDArray[np.float32]:
        """See `Engine.collect`."""
        begun_s = self._begun_s.popleft() if self._begun_s else None
        scores = super().collect()
        if begun_s is not None:
            self._observe(time.monotonic() - begun_s)
        return scores

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `Engine.__exit__`."""
        self._begun_s.clear()
        super().__exit__(kind, error, trace)
