"""Decoded pixels of many images: in memory, or in one mapped file when there are too many.

Promises: the file has no name, so that it is gone with the process however that ends.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import InputError
from glass_edge.files import make_folder
from glass_edge.glass.data_images import ImageHeader


class PixelStore:
    """Keeps decoded pixels in memory, or in one mapped file when there are too many."""

    def __init__(
        self, headers: Sequence[ImageHeader], channels: int, limit_bytes: int, cache_folder: Path | None
    ) -> None:
        """Make room for the images of `headers`; raises InputError when there is none on the disk."""
        total = sum(header.lines * header.width_px * channels for header in headers)
        self._mapped: NDArray[np.uint8] | None = None
        self._used = 0
        if total > limit_bytes:
            place = None if cache_folder is None else make_folder(cache_folder)
            try:
                with tempfile.TemporaryFile(dir=place) as file:  # without a name already: gone with the process
                    self._mapped = np.memmap(file, np.uint8, "w+", shape=(total,))
            except OSError as error:
                raise InputError(
                    f"{place or tempfile.gettempdir()}: no room for {total / 2**30:.1f} GiB of decoded images "
                    f"({error.strerror}); free space"
                ) from error

    def keep(self, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The same pixels, where they can stay."""
        if self._mapped is None:
            return pixels
        kept = self._mapped[self._used : self._used + pixels.size].reshape(pixels.shape)
        self._used += pixels.size
        kept[...] = pixels
        return kept
