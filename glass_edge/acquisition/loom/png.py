"""PNG files written line by line.

Promises: grey 8-bit PNG of any height in bounded memory; the lines written must be as many as announced.
Source: PNG specification, 3rd edition (W3C, 2025). Every row uses filter 2 (difference to the row above).
"""

from __future__ import annotations

import struct
import zlib
from typing import IO

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_FILTER_UP = 2
_CHUNK_BYTES = 1 << 18


class PngStream:
    """Writes one image to an open file."""

    def __init__(self, stream: IO[bytes], width: int, height: int, *, level: int = 4) -> None:
        self._stream = stream
        self._shape = (height, width)
        self._written = 0
        self._above = np.zeros(width, np.uint8)
        self._packer = zlib.compressobj(level)
        self._packed = bytearray()
        stream.write(_SIGNATURE)
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))

    def _chunk(self, kind: bytes, data: bytes) -> None:
        self._stream.write(struct.pack(">I", len(data)) + kind + data)
        self._stream.write(struct.pack(">I", zlib.crc32(kind + data)))

    def write(self, lines: NDArray[np.uint8]) -> None:
        """Append lines, uint8 (n, width)."""
        if lines.ndim != 2 or lines.shape[1] != self._shape[1] or self._written + len(lines) > self._shape[0]:
            raise ValueError(f"lines of shape {lines.shape} do not fit an image of {self._shape}")
        if not len(lines):
            return
        rows = np.empty((len(lines), self._shape[1] + 1), np.uint8)
        rows[:, 0] = _FILTER_UP
        rows[0, 1:] = lines[0] - self._above
        rows[1:, 1:] = lines[1:] - lines[:-1]
        self._above = lines[-1].copy()
        self._packed += self._packer.compress(rows.tobytes())
        self._written += len(lines)
        if len(self._packed) >= _CHUNK_BYTES:
            self._chunk(b"IDAT", bytes(self._packed))
            self._packed.clear()

    def finish(self) -> None:
        """Write what is left; the file is complete then."""
        if self._written != self._shape[0]:
            raise ValueError(f"{self._written} of {self._shape[0]} lines were written")
        self._packed += self._packer.flush()
        self._chunk(b"IDAT", bytes(self._packed))
        self._chunk(b"IEND", b"")
