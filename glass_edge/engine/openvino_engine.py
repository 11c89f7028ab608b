"""The CPU engine: OpenVINO.

Promises: the `Engine` contract; a tile's logits are bit for bit the same alone and in any batch, because every tile is
an inference of its own and batches only fill the parallel streams (a CPU's caches like it too: with a Lite network and
256 x 512 px tiles it gave more tiles a second than one batch of eight in every trial); no result holds NaN or
infinity; tiles are copied when they are submitted and results are the caller's own.
"""

from __future__ import annotations

from collections import deque
from types import TracebackType
from typing import Any, Self

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.base import EngineError, EngineFacts
from glass_edge.engine.engine_checks import require_finite, require_tiles
from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.openvino_model import (
    Graph,
    compile_tile_model,
    device_name,
    on_cores,
    supported_precisions,
    thread_plan,
)
from glass_edge.errors import InputError

RUNTIME = "openvino"
"""Name of this runtime in manifests and events."""


class OpenVinoEngine:
    """A graph on the CPU.

    Args:
        graph: uint8 (n, h, w, c) tiles in, float32 (n, h // stride, w // stride) logits out; bytes are ONNX.
        tile: geometry the graph must have.
        settings: precision `auto` means the fastest the CPU has for the graph as it is (`open_engine` also asks the
            parity gate, and takes the quantised graph of a bundle); int8 needs a quantised graph.

    Raises:
        InputError: the graph or the settings are wrong (TileShapeError: another tile size). EngineError: OpenVINO
            cannot compile it.
    """

    def __init__(self, graph: Graph | bytes, tile: TileSpec, settings: EngineSettings) -> None:
        graph = Graph(graph) if isinstance(graph, bytes) else graph
        if settings.precision == "fp16":
            raise InputError(f"{graph.name}: precision 'fp16' is for GPUs; use 'f32' or 'auto' with OpenVINO")
        precision = supported_precisions()[0] if settings.precision == "auto" else settings.precision
        compiled = compile_tile_model(graph, tile, precision, settings)
        self.tile_height_px = tile.height_px
        self.tile_width_px = tile.width_px
        self.channels: int = tile.channels
        self.score_stride_px = tile.score_stride_px
        self.max_batch = settings.max_batch
        self.depth = settings.depth
        threads, _ = thread_plan(settings)
        self.facts = EngineFacts(RUNTIME, str(ov.__version__), f"CPU: {device_name()}", precision, threads)
        self._name = graph.name
        self._cores = settings.cores
        self._free = deque(_Slot(compiled, self.max_batch) for _ in range(self.depth))
        self._busy: deque[_Slot] = deque()
        self._done: deque[NDArray[np.float32]] = deque()
        self._closed = False

    def submit(self, tiles: NDArray[np.uint8]) -> None:
        """See `Engine.submit`. Beyond `depth` batches it waits for the oldest and keeps its result for `collect`.

        Raises:
            TileShapeError: wrong shape or dtype. EngineError: `depth` results wait uncollected, or the engine is
                closed or failed.
        """
        if self._closed:
            raise EngineError(f"{self._name}: the engine is closed")
        require_tiles(self, tiles, self._name)
        if not self._free:
            if len(self._done) >= self.depth:
                raise EngineError(f"{self._name}: {len(self._done)} results wait; collect before submitting more")
            self._done.append(self._finish_oldest())
        slot = self._free.popleft()
        slot.start(tiles)
        self._busy.append(slot)

    def collect(self) -> NDArray[np.float32]:
        """See `Engine.collect`."""
        if self._done:
            return self._done.popleft()
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
        """Wait for what is in flight, drop it and release the runtime; a second call does nothing."""
        self._closed = True
        while self._busy:
            self._busy.popleft().abandon()
        self._free.clear()
        self._done.clear()

    def __enter__(self) -> Self:
        shape = (self.max_batch, self.tile_height_px, self.tile_width_px, self.channels)
        with on_cores(self._cores):  # the first run may start more threads
            for _ in range(self.depth):
                self.infer(np.zeros(shape, np.uint8))  # each slot allocates on its first run
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _finish_oldest(self) -> NDArray[np.float32]:
        slot = self._busy.popleft()
        try:
            result = slot.finish()
        except RuntimeError as error:
            slot.abandon()  # its other tiles may still be computing into the buffers
            raise EngineError(f"{self._name}: OpenVINO failed while it ran: {error}") from error
        finally:
            self._free.append(slot)
        return require_finite(result, self._name)


class _Slot:
    """Buffers and requests of one batch; OpenVINO reads and writes the buffers in place."""

    def __init__(self, compiled: Any, max_batch: int) -> None:  # noqa: ANN401 - openvino has no type information
        self._tiles = np.zeros((max_batch, *compiled.inputs[0].shape[1:]), np.uint8)
        self._logits = np.zeros((max_batch, *compiled.outputs[0].shape[1:]), np.float32)
        self._requests = [compiled.create_infer_request() for _ in range(max_batch)]
        self._count = 0
        for index, request in enumerate(self._requests):
            request.set_input_tensor(ov.Tensor(self._tiles[index : index + 1], shared_memory=True))
            request.set_output_tensor(ov.Tensor(self._logits[index : index + 1], shared_memory=True))

    def start(self, tiles: NDArray[np.uint8]) -> None:
        self._count = len(tiles)
        for index in range(self._count):
            self._tiles[index] = tiles[index]
            self._requests[index].start_async()

    def finish(self) -> NDArray[np.float32]:
        for request in self._requests[: self._count]:
            request.wait()
        return self._logits[: self._count].copy()

    def abandon(self) -> None:
        for request in self._requests[: self._count]:
            try:
                request.wait()
            except RuntimeError:  # its batch is thrown away, and so is its failure
                continue
