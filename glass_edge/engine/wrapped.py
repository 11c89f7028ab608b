"""An engine around another one.

Promises: everything is the inner engine's; a subclass changes what it names.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from glass_edge.engine.base import Engine


class WrappedEngine:
    """Hands everything on to `engine`, which is not entered yet."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.facts = engine.facts
        self.tile_height_px = engine.tile_height_px
        self.tile_width_px = engine.tile_width_px
        self.channels = engine.channels
        self.score_stride_px = engine.score_stride_px
        self.max_batch = engine.max_batch
        self.depth = engine.depth

    def submit(self, tiles: NDArray[np.uint8]) -> None:
        """See `Engine.submit`."""
        self._engine.submit(tiles)

    def collect(self) -> NDArray[np.float32]:
        """See `Engine.collect`."""
        return self._engine.collect()

    def infer(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Engine.infer`."""
        self.submit(tiles)
        return self.collect()

    def __enter__(self) -> Self:
        """See `Engine.__enter__`."""
        self._engine.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """See `Engine.__exit__`."""
        self._engine.__exit__(kind, error, trace)
