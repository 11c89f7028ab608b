"""The engine contract: uint8 tiles in, logits at the score stride out.

Promises: results come back in the order of submission; at most `depth` batches are in flight (`submit` blocks beyond
that); an engine is used by one thread; nothing outside `engine/` knows which runtime computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import GlassEdgeError, InputError


class EngineError(GlassEdgeError):
    """The engine failed while it ran."""


class TileShapeError(InputError):
    """Tiles of another size or channel layout than the engine was built for."""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What computes: shown by `bench`, `doctor` and in events."""

    runtime: str
    version: str
    device: str
    precision: str
    threads: int


class Engine(Protocol):
    """A compiled model of one tile shape."""

    facts: EngineFacts
    tile_height_px: int
    tile_width_px: int
    channels: int
    score_stride_px: int
    max_batch: int
    depth: int

    def submit(self, tiles: NDArray[np.uint8]) -> None:
        """Start inference of `tiles`, uint8 (n, tile_height_px, tile_width_px, channels), 1 <= n <= max_batch.

        The array is copied or held until its result was collected. Blocks while `depth` batches are in flight.

        Raises:
            TileShapeError: wrong shape or dtype.
        """

    def collect(self) -> NDArray[np.float32]:
        """Logits float32 (n, tile_height_px // stride, tile_width_px // stride) of the oldest submitted batch.

        A batch whose `collect` raised counts as collected: the next call is for the batch after it.

        Raises:
            EngineError: nothing is in flight, or the runtime failed.
        """

    def infer(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """`submit` and `collect` in one call; nothing else may be in flight."""

    def __enter__(self) -> Self:
        """Warm up: the first inference is done before this returns."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release the runtime."""
