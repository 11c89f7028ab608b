"""Line blocks in memory that two processes share.

Promises: a fixed number of slots; pixels and tags are copied into a slot and never pickled; the writer never waits (a
full ring refuses the block, and the writer counts it), the reader never sees half a block, and what a reader has not
released is not overwritten. The memory has no name (memfd): it is gone with the last process that holds it, however
that process ends, and it does not count against /dev/shm.

One writer and one reader. Each cursor is one aligned 64-bit word that one side alone writes, after the slot.
"""

from __future__ import annotations

import contextlib
import mmap
import os
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.line_counter import BlockTags

_MAGIC = 0x474C4153534C5247
_CONTROL_WORDS = 512  # a page
_WRITTEN, _RELEASED, _HEARTBEAT = 8, 16, 24  # a cache line each
_NONE = np.iinfo(np.int64).min
_PAGE = 4096
_INTEGERS = tuple(one.name for one in fields(BlockTags) if one.name != "received_monotonic_s")
_HEADER = np.dtype([(name, np.int64) for name in _INTEGERS] + [("received_monotonic_s", np.float64)])


@dataclass(frozen=True, slots=True)
class BlockShape:
    """Largest block of a ring.

    Attributes:
        n_lines: lines at most.
        width_px: pixels of a line.
        channels: 1 or 3.
    """

    n_lines: int
    width_px: int
    channels: int

    @property
    def n_bytes(self) -> int:
        """Bytes of a full block."""
        return self.n_lines * self.width_px * self.channels

    def view(self, data: NDArray[np.uint8], n_lines: int) -> NDArray[np.uint8]:
        """`data`'s first lines as uint8 (n_lines, width) or (n_lines, width, 3)."""
        used = data[: n_lines * self.width_px * self.channels]
        if self.channels == 1:
            return used.reshape(n_lines, self.width_px)
        return used.reshape(n_lines, self.width_px, self.channels)


class BlockRing:
    """A ring in the memory behind a file descriptor."""

    def __init__(self, fd: int, shape: BlockShape, slots: int, *, create: bool) -> None:
        """Map the ring.

        Args:
            fd: of `new_memory`; not closed here.
            shape: of the largest block.
            slots: blocks the ring holds.
            create: True in the writer, which makes the ring; False in the reader.

        Raises:
            OSError: there is not enough memory.
            ValueError: `fd` holds no ring of that shape.
        """
        self.shape = shape
        self.slots = slots
        self._pitch = -(-shape.n_bytes // _PAGE) * _PAGE
        headers = -(-slots * _HEADER.itemsize // _PAGE) * _PAGE
        size = _CONTROL_WORDS * 8 + headers + slots * self._pitch
        if create:
            os.ftruncate(fd, size)
        elif os.fstat(fd).st_size != size:
            raise ValueError(f"the shared memory has {os.fstat(fd).st_size} bytes and a ring of this shape {size}")
        self._memory = mmap.mmap(fd, size)
        self._control: NDArray[np.int64] = np.frombuffer(self._memory, np.int64, _CONTROL_WORDS)
        self._headers: NDArray[Any] = np.frombuffer(self._memory, _HEADER, slots, _CONTROL_WORDS * 8)
        self._pixels: NDArray[np.uint8] = np.frombuffer(self._memory, np.uint8, -1, _CONTROL_WORDS * 8 + headers)
        if create:
            self._control[0] = _MAGIC
        elif self._control[0] != _MAGIC:
            raise ValueError("the shared memory holds no ring")

    @property
    def waiting(self) -> int:
        """Blocks written and not released."""
        return int(self._control[_WRITTEN] - self._control[_RELEASED])

    @property
    def heartbeat(self) -> int:
        """How often `beat` was called."""
        return int(self._control[_HEARTBEAT])

    def beat(self) -> None:
        """The writer lives."""
        self._control[_HEARTBEAT] += 1

    def write(self, tags: BlockTags, lines: NDArray[np.uint8]) -> bool:
        """Copy a block in; False when the ring is full.

        Raises:
            ValueError: the block does not have the shape of the ring.
        """
        if (
            lines.shape[1:] != self.shape.view(self._pixels, 0).shape[1:]
            or not 0 < lines.shape[0] <= self.shape.n_lines
        ):
            raise ValueError(f"a block of shape {lines.shape} does not fit a ring of {self.shape}")
        written = int(self._control[_WRITTEN])
        if written - int(self._control[_RELEASED]) >= self.slots:
            return False
        slot = written % self.slots
        np.copyto(self._slot(slot, lines.shape[0]), lines)
        header = self._headers[slot]
        for name in _INTEGERS:
            value = getattr(tags, name)
            header[name] = _NONE if value is None else value
        header["received_monotonic_s"] = tags.received_monotonic_s
        self._control[_WRITTEN] = written + 1
        return True

    def peek(self, ahead: int = 0) -> tuple[BlockTags, NDArray[np.uint8]] | None:
        """Tags and pixels of the oldest block not released, or of one `ahead` of it; None when it is not there yet.

        The pixels are a view, valid until `release`.
        """
        if self.waiting <= ahead:
            return None
        slot = (int(self._control[_RELEASED]) + ahead) % self.slots
        header = self._headers[slot]
        values: dict[str, Any] = {name: _optional(int(header[name])) for name in _INTEGERS}
        tags = BlockTags(**values, received_monotonic_s=float(header["received_monotonic_s"]))
        return tags, self._slot(slot, tags.n_lines)

    def release(self) -> None:
        """The oldest block is done with."""
        if self.waiting:
            self._control[_RELEASED] += 1

    def _slot(self, slot: int, n_lines: int) -> NDArray[np.uint8]:
        begin = slot * self._pitch
        return self.shape.view(self._pixels[begin : begin + self._pitch], n_lines)

    def close(self) -> None:
        """Unmap; views that were handed out keep the memory until they are gone."""
        del self._control, self._headers, self._pixels
        with contextlib.suppress(BufferError):  # somebody still looks at a block; the mapping goes with that view
            self._memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _optional(value: int) -> int | None:
    return None if value == _NONE else value


def new_memory() -> int:
    """A descriptor of nameless memory for a ring; the caller closes it.

    Raises:
        OSError: the system has none (it needs Linux).
    """
    return os.memfd_create("glass-edge-lines", os.MFD_CLOEXEC)
