"""A plan on a GPU: everything TensorRT and the GPU are asked, in one thread.

Promises: buffers are made once, for the largest batch; every answer of TensorRT that says no is an EngineError that
names the call; a batch size that is new runs once before its result counts; batches are computed in order, in one
stream. `TensorRtEngine` calls it from a thread of its own.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from glass_edge.engine.base import EngineError
from glass_edge.engine.cuda_graphs import CudaGraphs
from glass_edge.engine.device_memory import DeviceMemory, Mark
from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.tensorrt_api import library_version, logger_of

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Slot:
    """Page-locked buffers of one batch in flight.

    Attributes:
        tiles: uint8 (max_batch, height, width, channels).
        logits: float32 (max_batch, rows, columns).
        count: tiles in the batch.
        mark: behind the batch's last copy.
    """

    tiles: NDArray[np.uint8]
    logits: NDArray[np.float32]
    count: int = 0
    mark: Mark | None = field(default=None, repr=False)


class TensorRtSession:
    """A deserialized plan with its buffers.

    Args:
        api: the library.
        plan: from the station's own cache or just built.
        memory: of the GPU, opened in this thread; closed with the session, or when it cannot be made.
        tile: geometry of the graph.
        max_batch: most tiles in a batch; the plan takes at least as many.
        depth: batches in flight.
        name: what errors call the graph.
        graphs: records each batch size; None: TensorRT queues every kernel itself.

    Raises:
        EngineError: the plan cannot be loaded or is of another shape, or the GPU's memory does not suffice.
    """

    def __init__(
        self,
        api: Any,  # noqa: ANN401 - the libraries have no type information
        plan: bytes,
        memory: DeviceMemory,
        *,
        tile: TileSpec,
        max_batch: int,
        depth: int,
        name: str,
        graphs: CudaGraphs | None = None,
    ) -> None:
        self._api, self._name, self._memory, self._graphs = api, name, memory, graphs
        self._logger = logger_of(api)
        self._tile_shape = (tile.height_px, tile.width_px, tile.channels)
        self._grid = (tile.height_px // tile.score_stride_px, tile.width_px // tile.score_stride_px)
        self._launches: dict[int, Callable[[], None]] = {}
        self._contexts: list[Any] = []
        self._engine: Any = None
        self._runtime: Any = None
        self.slots: list[Slot] = []
        try:
            self._open(plan, max_batch, depth)
        except BaseException:
            with suppress(EngineError):  # the first error tells more
                self.close()
            raise

    def launch(self, slot: Slot) -> None:
        """Queue upload, inference and download of `slot`.

        Raises:
            EngineError: TensorRT or the GPU refused; nothing of the batch is in flight any more.
        """
        try:
            start = self._launcher(slot.count)
            self._memory.upload(self._source_address, slot.tiles[: slot.count])
            start()
            self._memory.download(slot.logits[: slot.count], self._result_address)
            slot.mark = self._memory.mark()
        except BaseException:
            with suppress(EngineError):  # the first error tells more
                self._memory.synchronise()
            raise

    def wait(self, slot: Slot) -> NDArray[np.float32]:
        """Result of a launched slot, a copy.

        Raises:
            EngineError: the GPU failed.
        """
        if slot.mark is None:
            raise EngineError(f"{self._name}: the batch was never launched")
        mark, slot.mark = slot.mark, None
        mark.wait()
        return slot.logits[: slot.count].copy()

    def close(self) -> None:
        """Release contexts, engine, runtime and memory, in this order."""
        try:
            with suppress(EngineError):  # a failed GPU has nothing to wait for
                self._memory.synchronise()
            if self._graphs is not None:
                self._graphs.close()
        finally:
            self._launches.clear()
            self._contexts.clear()
            self._engine = None
            self._runtime = None
            self.slots.clear()
            self._memory.close()

    def _open(self, plan: bytes, max_batch: int, depth: int) -> None:
        self._runtime = self._api.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(
                f"{self._name}: {library_version(self._api)} cannot load the plan: {self._logger.reasons()}"
            )
        self._source, self._result = self._tensor_names(max_batch)
        tiles, logits = (max_batch, *self._tile_shape), (max_batch, *self._grid)
        self._source_address = self._memory.allocate(int(np.prod(tiles)))
        self._result_address = self._memory.allocate(int(np.prod(logits)) * np.dtype(np.float32).itemsize)
        self.slots = [
            Slot(
                self._memory.pinned(tiles, np.uint8).view(np.uint8),
                self._memory.pinned(logits, np.float32).view(np.float32),
            )
            for _ in range(depth)
        ]
        self._context, self._shape = self._new_context(), 0

    def _tensor_names(self, max_batch: int) -> tuple[str, str]:
        """Names of input and output, when the plan fits tile and batch."""
        modes = self._api.TensorIOMode
        names = [self._engine.get_tensor_name(index) for index in range(self._engine.num_io_tensors)]
        sources = [name for name in names if self._engine.get_tensor_mode(name) == modes.INPUT]
        results = [name for name in names if self._engine.get_tensor_mode(name) == modes.OUTPUT]
        if len(sources) != 1 or len(results) != 1:
            raise EngineError(f"{self._name}: the plan has tensors {names}; one input and one output are needed")
        largest = tuple(self._engine.get_tensor_profile_shape(sources[0], 0)[2])
        if largest[0] < max_batch or largest[1:] != self._tile_shape:
            raise EngineError(
                f"{self._name}: the plan takes at most {largest}; {(max_batch, *self._tile_shape)} is needed"
            )
        return sources[0], results[0]

    def _new_context(self) -> Any:  # noqa: ANN401
        context = self._engine.create_execution_context()
        if context is None:
            raise EngineError(f"{self._name}: no execution context: {self._logger.reasons()}")
        self._contexts.append(context)
        for name, address in ((self._source, self._source_address), (self._result, self._result_address)):
            self._require(context.set_tensor_address(name, address), f"set_tensor_address('{name}')")
        return context

    def _launcher(self, count: int) -> Callable[[], None]:
        """What queues the inference of `count` tiles; a new size runs once first."""
        known = self._launches.get(count)
        if known is not None and self._graphs is not None:
            return known
        # a recording holds the state of its context: each has one of its own
        context = self._context if self._graphs is None else self._new_context()
        if self._graphs is not None or count != self._shape:
            self._set_shape(context, count)

        def execute() -> None:
            self._require(context.execute_async_v3(self._memory.stream), "execute_async_v3")

        if known is None:
            execute()
            self._memory.synchronise()
            self._launches[count] = execute if self._graphs is None else self._recorded(execute, count)
        return self._launches[count]

    def _set_shape(self, context: Any, count: int) -> None:  # noqa: ANN401
        self._shape = 0
        shape = (count, *self._tile_shape)
        self._require(context.set_input_shape(self._source, shape), f"set_input_shape{shape}")
        found = tuple(context.get_tensor_shape(self._result))
        if found != (count, *self._grid):
            raise EngineError(f"{self._name}: the plan returns {found}; {(count, *self._grid)} is expected")
        self._shape = count

    def _recorded(self, execute: Callable[[], None], count: int) -> Callable[[], None]:
        assert self._graphs is not None
        try:
            return self._graphs.record(execute)
        except EngineError as error:
            _log.warning("engine.graph_refused", batch=count, reason=str(error))
            return execute

    def _require(self, answer: object, call: str) -> None:
        if not answer:
            raise EngineError(f"{self._name}: TensorRT refuses {call}: {self._logger.reasons()}")
