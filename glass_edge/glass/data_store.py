"""Decoded pixels of many images: in memory, or in one mapped file when there are too many.

Promises: no more than the limit is held in the process's own memory, however many images there are (pages of the file
are the system's to take back); room on the disk is taken at once or refused by name, never found missing later; the
file has no name, so that it is gone with the process however that ends.
"""

from __future__ import annotations

import mmap
import tempfile
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import InputError
from glass_edge.files import make_folder
from glass_edge.glass.mapped_file import map_unnamed

BytesT = TypeVar("BytesT", np.uint8, np.bool_)


class PixelStore:
    """Keeps arrays of bytes in memory, or in one mapped file when there are too many."""

    def __init__(self, total_bytes: int, limit_bytes: int, cache_folder: Path | None) -> None:
        """Make room for `total_bytes`; raises InputError when there is none on the disk."""
        self._mapped: NDArray[np.uint8] | None = None
        self._used = 0
        if total_bytes > limit_bytes:
            place = None if cache_folder is None else make_folder(cache_folder)
            try:
                self._map = map_unnamed(place, total_bytes)
            except OSError as error:
                raise InputError(
                    f"{place or tempfile.gettempdir()}: no room for {total_bytes / 2**30:.3g} GiB of decoded images "
                    f"({error.strerror}); free space"
                ) from error
            self._mapped = np.frombuffer(self._map, np.uint8)

    def keep(self, values: NDArray[BytesT]) -> NDArray[BytesT]:
        """The same values, where they can stay."""
        if self._mapped is None:
            return values
        kept = self._mapped[self._used : self._used + values.size].view(values.dtype).reshape(values.shape)
        kept[...] = values
        first = self._used // mmap.PAGESIZE * mmap.PAGESIZE
        self._used += values.size
        # written pages count as the process's own until they are dropped; they come back when they are read
        self._map.madvise(mmap.MADV_DONTNEED, first, self._used - first)
        return kept
