"""Recording what TensorRT queues for a batch, to queue it again with one call.

Promises: a recording that fails leaves the stream as it was and is an EngineError. It has never been measured, so it is
off unless a station asks for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from glass_edge.engine.base import EngineError
from glass_edge.errors import MissingExtraError


class CudaGraphs:
    """Records and replays in one stream, in the thread of its context.

    Args:
        stream: handle of the stream.
        driver: `cuda.bindings.driver`, or what stands in for it in a test.

    Raises:
        MissingExtraError: cuda-bindings is not installed.
    """

    def __init__(self, stream: int, driver: Any = None) -> None:  # noqa: ANN401 - generated bindings
        self._driver = _bindings() if driver is None else driver
        self._stream = self._driver.CUstream(stream)
        self._recordings: list[Any] = []

    def record(self, queue: Callable[[], None]) -> Callable[[], None]:
        """Run `queue`, which queues work in the stream, as a recording; returns what queues the same work again."""
        driver = self._driver
        mode = driver.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._call("cuStreamBeginCapture", self._stream, mode)
        failure: BaseException | None = None
        try:
            queue()
        except BaseException as error:  # noqa: BLE001 - the recording must end before it goes on
            failure = error
        try:
            graph = self._call("cuStreamEndCapture", self._stream)
        except EngineError:
            if failure is not None:
                raise failure from None
            raise
        try:
            if failure is not None:
                raise failure
            recording = self._call("cuGraphInstantiate", graph, 0)
        finally:
            self._call("cuGraphDestroy", graph)
        self._recordings.append(recording)

        def launch() -> None:
            self._call("cuGraphLaunch", recording, self._stream)

        return launch

    def close(self) -> None:
        """Drop the recordings; the stream must be idle."""
        while self._recordings:
            self._call("cuGraphExecDestroy", self._recordings.pop())

    def _call(self, name: str, *arguments: Any) -> Any:  # noqa: ANN401
        status, *values = getattr(self._driver, name)(*arguments)
        if status != self._driver.CUresult.CUDA_SUCCESS:
            raise EngineError(f"the GPU fails in {name}: {status}")
        return values[0] if values else None


def _bindings() -> Any:  # noqa: ANN401
    try:
        return importlib.import_module("cuda.bindings.driver")
    except ModuleNotFoundError as error:
        raise MissingExtraError("cuda-graphs", "engine.cuda_graphs = true") from error
