"""A checkpoint as an engine, so that it is scored on the very path the line uses.

Promises: the logits are those of the unfused model in float32, the one every exported graph is judged by.
"""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from glass_edge.engine.base import EngineError, EngineFacts, TileShapeError
from glass_edge.glass.model import StyleModel


class TorchEngine:
    """See `engine.base.Engine`; computes at `submit`, in the calling thread."""

    def __init__(self, model: StyleModel) -> None:
        tile = model.recipe.tile
        # a layout that suits depthwise convolutions on CPUs
        self._model = model.to(memory_format=torch.channels_last)
        self.tile_height_px = tile.height_px
        self.tile_width_px = tile.width_px
        self.channels: int = tile.channels
        self.score_stride_px = model.score_stride_px
        self.max_batch = 8
        self.depth = 1
        self.facts = EngineFacts("torch", torch.__version__, "CPU", "f32", torch.get_num_threads())
        self._done: deque[NDArray[np.float32]] = deque()

    def submit(self, tiles: NDArray[np.uint8]) -> None:
        """See `Engine.submit`."""
        shape = (self.tile_height_px, self.tile_width_px, self.channels)
        if tiles.dtype != np.uint8 or tiles.shape[1:] != shape or not 1 <= len(tiles) <= self.max_batch:
            raise TileShapeError(f"tiles are {tiles.dtype} {tiles.shape}; uint8 (1 to {self.max_batch}, *{shape})")
        if len(self._done) >= self.depth:
            raise EngineError(f"{len(self._done)} results wait; collect before submitting more")
        with torch.inference_mode():
            points, (rows, columns) = self._model.points(torch.from_numpy(tiles))
            logits = self._model.head(points).view(len(tiles), rows, columns).numpy()
        if not np.isfinite(logits).all():
            raise EngineError("the checkpoint gives logits that are no numbers; train the style again")
        self._done.append(np.asarray(logits, np.float32))

    def collect(self) -> NDArray[np.float32]:
        """See `Engine.collect`."""
        if not self._done:
            raise EngineError("nothing is in flight; submit tiles first")
        return self._done.popleft()

    def infer(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        """See `Engine.infer`."""
        if self._done:
            raise EngineError("batches are in flight; collect them first")
        self.submit(tiles)
        return self.collect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.clear()
