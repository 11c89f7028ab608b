"""What an engine needs of a GPU besides TensorRT: memory, one stream and marks in it.

Promises of every implementation: one thread opens, uses and closes it; copies and marks are queued in one stream that
is not the default one, in the order of the calls; whatever fails is an EngineError.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Mark(Protocol):
    """A place in the stream."""

    def wait(self) -> None:
        """Return when everything that was queued before the mark is done.

        Raises:
            EngineError: something of it failed.
        """


class DeviceMemory(Protocol):
    """A GPU's memory and a stream."""

    stream: int
    """Handle of the stream, for TensorRT."""

    def pinned(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[np.generic]:
        """A page-locked array of zeros, valid until `close`."""

    def allocate(self, n_bytes: int) -> int:
        """Address of `n_bytes` on the GPU, valid until `close`."""

    def upload(self, address: int, host: NDArray[np.generic]) -> None:
        """Queue a copy of a page-locked, contiguous array to the GPU."""

    def download(self, host: NDArray[np.generic], address: int) -> None:
        """Queue a copy from the GPU into a page-locked, contiguous array."""

    def mark(self) -> Mark:
        """Queue a mark."""

    def synchronise(self) -> None:
        """Wait for everything that is queued."""

    def close(self) -> None:
        """Give everything back, in the thread that opened it."""
