"""Room for the maps of many tiles: in memory, or in one mapped file.

Promises: the file has no name, so that it is gone with the process however that ends, and its room is reserved before
anything is written, so that a full disk is an error and not a crash. A mapped file's pages are given back after each
use: memory does not grow with the number of tiles.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Sequence
from math import prod
from pathlib import Path

import torch
from torch import Tensor

from glass_edge.errors import InputError
from glass_edge.files import make_folder
from glass_edge.glass.mapped_file import map_unnamed

Shape = tuple[int, int, int]
"""Channels, rows, columns."""


class MapStore:
    """Records of equal size, one a tile; a record holds the map of each level, channels last."""

    def __init__(self, count: int, shapes: Sequence[Shape], dtype: torch.dtype, folder: Path | None) -> None:
        """Make room.

        Args:
            count: records.
            shapes: of a tile's map on each level.
            dtype: of the values.
            folder: where the file is made; None: in memory.

        Raises:
            InputError: there is not enough room.
        """
        self._shapes, self._dtype = tuple(shapes), dtype
        self._size = sum(prod(shape) for shape in shapes) * dtype.itemsize
        self._record = -(-self._size // mmap.PAGESIZE) * mmap.PAGESIZE
        self._map: mmap.mmap | None = None
        total = count * self._record
        if folder is None:
            self._require_memory(total)
            self._bytes = torch.empty(total, dtype=torch.uint8)
            return
        self._map = _mapped_file(make_folder(folder), total)
        self._bytes = torch.frombuffer(self._map, dtype=torch.uint8)

    def write(self, index: int, maps: Sequence[Tensor]) -> None:
        """Keep the maps of one tile, (1, c, h, w) a level."""
        values = torch.cat([level.detach().permute(0, 2, 3, 1).reshape(-1) for level in maps])
        self._at(index).copy_(values.to(self._dtype))
        self._give_back(index)

    def read(self, indices: Sequence[int]) -> list[Tensor]:
        """Maps of some tiles, (n, c, h, w) a level, in the layout "channels last"."""
        records = torch.stack([self._at(index) for index in indices])  # copies: nothing refers to the file afterwards
        for index in indices:
            self._give_back(index)
        parts = torch.split(records, [prod(shape) for shape in self._shapes], dim=1)
        return [
            part.reshape(len(indices), rows, columns, channels).permute(0, 3, 1, 2)
            for part, (channels, rows, columns) in zip(parts, self._shapes, strict=True)
        ]

    def _at(self, index: int) -> Tensor:
        first = index * self._record
        return self._bytes[first : first + self._size].view(self._dtype)

    def _give_back(self, index: int) -> None:
        if self._map is not None:
            self._map.madvise(mmap.MADV_DONTNEED, index * self._record, self._record)

    @staticmethod
    def _require_memory(total: int) -> None:
        there = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        if total > there // 2:
            raise InputError(
                f"training.feature_cache = 'memory': {total / 2**30:.1f} GiB of maps, and this machine has "
                f"{there / 2**30:.1f} GiB of memory; give 'disk' or 'off'"
            )


def _mapped_file(folder: Path, total: int) -> mmap.mmap:
    try:
        return map_unnamed(folder, total)
    except OSError as error:
        raise InputError(
            f"{folder}: no room for {total / 2**30:.1f} GiB of maps ({error.strerror}); free space, or give "
            "training.feature_cache = 'off'"
        ) from error
