"""Device memory by pycuda.

Promises: the GPU's primary context is retained when it is opened and released by `close`, both in one thread and in no
other; what was allocated goes first.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from glass_edge.engine.base import EngineError
from glass_edge.engine.gpu_probe import GpuUnavailableError
from glass_edge.errors import MissingExtraError


class PycudaMemory:
    """See `DeviceMemory`.

    Args:
        index: of the GPU.
        driver: `pycuda.driver`, or what stands in for it in a test.
        extra: name of the extra that brings pycuda, for the error.

    Raises:
        MissingExtraError: pycuda is not installed. GpuUnavailableError: it is, and cannot be loaded. EngineError: the
            driver fails.
    """

    def __init__(self, index: int = 0, driver: Any = None, extra: str = "gpu") -> None:  # noqa: ANN401 - no type information
        self._driver = _pycuda_driver(extra) if driver is None else driver
        self._thread = threading.get_ident()
        self._allocations: list[Any] = []
        self._pinned: list[NDArray[np.generic]] = []
        with self._errors("open the GPU"):
            self._driver.init()
            self._context = self._driver.Device(index).retain_primary_context()
            self._context.push()
        try:
            with self._errors("make a stream"):
                self._stream = self._driver.Stream()
        except BaseException:
            self._release()
            raise
        self.stream = int(self._stream.handle)

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[np.generic]:
        """See `DeviceMemory`."""
        with self._errors("lock memory of the host"):
            array: NDArray[np.generic] = self._driver.pagelocked_empty(shape, dtype)
        array[...] = 0
        self._pinned.append(array)
        return array

    def allocate(self, n_bytes: int) -> int:
        """See `DeviceMemory`."""
        with self._errors(f"allocate {n_bytes} bytes"):
            allocation = self._driver.mem_alloc(n_bytes)
        self._allocations.append(allocation)
        return int(allocation)

    def upload(self, address: int, host: NDArray[np.generic]) -> None:
        """See `DeviceMemory`."""
        with self._errors("copy tiles to the GPU"):
            self._driver.memcpy_htod_async(address, host, self._stream)

    def download(self, host: NDArray[np.generic], address: int) -> None:
        """See `DeviceMemory`."""
        with self._errors("copy scores from the GPU"):
            self._driver.memcpy_dtoh_async(host, address, self._stream)

    def mark(self) -> _Mark:
        """See `DeviceMemory`."""
        with self._errors("mark the stream"):
            event = self._driver.Event(self._driver.event_flags.DISABLE_TIMING)
            event.record(self._stream)
        return _Mark(self, event)

    def synchronise(self) -> None:
        """See `DeviceMemory`."""
        with self._errors("compute"):
            self._stream.synchronize()

    def close(self) -> None:
        """See `DeviceMemory`; a second call does nothing."""
        if self._context is None:
            return
        if threading.get_ident() != self._thread:
            raise EngineError("the GPU's context must be released by the thread that opened it")
        try:
            with self._errors("finish"):
                self._stream.synchronize()
        finally:
            self._release()

    def _release(self) -> None:
        with self._errors("give memory back"):
            for allocation in self._allocations:
                allocation.free()
        self._allocations.clear()
        self._pinned.clear()  # freed with the last array that shows them
        self._stream = None
        context, self._context = self._context, None
        with self._errors("release the GPU"):
            context.pop()
            context.detach()  # makes it current once more to release it: the thread should end now

    @contextmanager
    def _errors(self, what: str) -> Iterator[None]:
        try:
            yield
        except self._driver.Error as error:
            raise EngineError(f"the GPU cannot {what}: {error}") from error


class _Mark:
    def __init__(self, memory: PycudaMemory, event: Any) -> None:  # noqa: ANN401
        self._memory = memory
        self._event = event

    def wait(self) -> None:
        with self._memory._errors("compute"):
            self._event.synchronize()


def _pycuda_driver(extra: str) -> Any:  # noqa: ANN401
    try:
        return importlib.import_module("pycuda.driver")  # loads the GPU's driver: only where a GPU was found
    except ModuleNotFoundError as error:
        raise MissingExtraError(extra, "an engine on a GPU") from error
    except ImportError as error:
        raise GpuUnavailableError(
            f"pycuda is installed and cannot be loaded ({error}); compile it anew against this machine's CUDA toolkit: "
            "pip install --no-cache-dir --force-reinstall pycuda"
        ) from error
