"""Files of raw camera lines: what a camera handed over, block by block, as it was.

Promises: a block that is read back has the bytes, numbers, times and faults it was written with, or is refused: every
record carries its own CRC-32. Files are only appended to; one that ends in the middle of a record (a power cut) gives
all records before it. A file says in its header what camera it is of, so that none is played as another.

Layout, little endian: 8 bytes magic, 4 bytes length of a JSON header, the header; then records, each 4 bytes length of
its JSON head, 4 bytes length of its pixels, 4 bytes CRC-32 of both, 4 bytes CRC-32 of these three, head, pixels.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from glass_edge.acquisition.camera import CameraHealth, LineBlock
from glass_edge.errors import InputError

MAGIC = b"GEDGRAW1"
SUFFIX = ".lines"
_LENGTHS = struct.Struct("<III")
_CHECK = struct.Struct("<I")
_HEADER_LENGTH = struct.Struct("<I")
_LONGEST_HEAD = 1 << 20


@dataclass(frozen=True, slots=True)
class RawHeader:
    """What a file is of.

    Attributes:
        width_px: pixels of a line.
        channels: 1 or 3.
        recording: name of the recording: files of one belong together.
        number: of the file in it, from 1.
        is_simulated: what was recorded was no live cloth.
        mm_per_px, mm_per_line: scale of the station.
    """

    width_px: int
    channels: int
    recording: str
    number: int
    is_simulated: bool
    mm_per_px: float
    mm_per_line: float


class RawWriter:
    """Appends blocks to a new file."""

    def __init__(self, path: Path, header: RawHeader) -> None:
        """Create the file.

        Raises:
            OSError: it exists, or cannot be written.
        """
        self.path = path
        text = json.dumps(asdict(header)).encode()
        self._file = path.open("xb", buffering=0)
        self.size = 0
        self._write(MAGIC + _HEADER_LENGTH.pack(len(text)) + text)

    def add(self, block: LineBlock) -> None:
        """Append a block; raises OSError."""
        head = json.dumps(
            {
                "first_line": block.first_line,
                "n_lines": block.n_lines,
                "encoder_count": block.encoder_count,
                "captured_utc": block.captured_utc.isoformat(),
                "starts_segment": block.starts_segment,
                "source": block.source,
                "incomplete_blocks": block.health.incomplete_blocks,
                "missed_lines": block.health.missed_lines,
                "faults": block.health.faults,
            }
        ).encode()
        pixels = np.ascontiguousarray(block.lines).data.cast("B")
        lengths = _LENGTHS.pack(len(head), len(pixels), zlib.crc32(pixels, zlib.crc32(head)))
        self._write(lengths + _CHECK.pack(zlib.crc32(lengths)) + head)
        self._write(pixels)

    def close(self) -> None:
        """Bring everything onto the disk and close; raises OSError."""
        if not self._file.closed:
            try:
                os.fsync(self._file.fileno())
            finally:
                self._file.close()

    def _write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            written = self._file.write(view)
            view = view[written:]
            self.size += written


def record_size(block: LineBlock) -> int:
    """About what a block takes, bytes."""
    return int(block.lines.nbytes) + 512


def read_raw_header(path: Path) -> RawHeader:
    """Header of a file.

    Raises:
        InputError: missing, empty, or no file of raw lines.
    """
    try:
        with path.open("rb") as file:
            return _header(path, file)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error


def _header(path: Path, file: BinaryIO) -> RawHeader:
    start = file.read(len(MAGIC) + _HEADER_LENGTH.size)
    if len(start) < len(MAGIC) + _HEADER_LENGTH.size or not start.startswith(MAGIC):
        raise InputError(f"{path}: no file of raw lines; give a folder that 'glass-edge run --record' wrote")
    (length,) = _HEADER_LENGTH.unpack(start[len(MAGIC) :])
    text = file.read(length) if length <= _LONGEST_HEAD else b""
    try:
        return RawHeader(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise InputError(f"{path}: its header is damaged ({error}); copy it again or take it out") from error


@dataclass(frozen=True, slots=True)
class Damage:
    """A record that could not be read.

    Attributes:
        message: what is wrong, with the file's name.
        is_end: nothing behind it in this file can be found.
    """

    message: str
    is_end: bool


def read_blocks(path: Path) -> Iterator[LineBlock | Damage]:
    """Blocks of a file in order; `received_monotonic_s` is 0 and `is_end` damage is the last item.

    Raises:
        InputError: as `read_raw_header`.
    """
    try:
        with path.open("rb") as file:
            header = _header(path, file)
            yield from _records(path, file, header)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path and its permissions") from error


def _records(path: Path, file: BinaryIO, header: RawHeader) -> Iterator[LineBlock | Damage]:
    number = 0
    while start := file.read(_LENGTHS.size + _CHECK.size):
        number += 1
        cut_off = Damage(f"{path}: it ends within block {number}; the blocks before it are sound", is_end=True)
        if len(start) < _LENGTHS.size + _CHECK.size:
            yield cut_off
            return
        lengths = start[: _LENGTHS.size]
        head_length, pixel_length, check = _LENGTHS.unpack(lengths)
        if _CHECK.unpack(start[_LENGTHS.size :])[0] != zlib.crc32(lengths):
            yield Damage(f"{path}: block {number} is damaged, and what follows cannot be found", is_end=True)
            return
        data = file.read(head_length + pixel_length)
        if len(data) < head_length + pixel_length:
            yield cut_off
            return
        if zlib.crc32(data) != check:
            yield Damage(f"{path}: block {number} is damaged (its CRC-32 is wrong)", is_end=False)
            continue
        yield _block(data[:head_length], memoryview(data)[head_length:], header)


def _block(head: bytes, pixels: memoryview, header: RawHeader) -> LineBlock:
    facts: dict[str, Any] = json.loads(head)
    shape = (facts["n_lines"], header.width_px, *((3,) if header.channels == 3 else ()))
    return LineBlock(
        np.frombuffer(pixels, np.uint8).reshape(shape),
        facts["first_line"],
        facts["encoder_count"],
        datetime.fromisoformat(facts["captured_utc"]),
        0.0,
        starts_segment=facts["starts_segment"],
        source=facts["source"],
        health=CameraHealth(facts["incomplete_blocks"], facts["missed_lines"], tuple(facts["faults"])),
    )
