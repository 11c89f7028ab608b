"""The cloth a virtual camera looks at: one file of lines that the producer maps.

Layout, little endian: "GELINES1", width_px, lines, channels (1 grey, 3 RGB), counts_per_line (uint32 each),
line_rate_hz (float64), user_id (64 bytes, UTF-8, padded with zeros); the lines follow at byte 4096, uint8, channels
interleaved.

Promises: the file is whole or absent; lines are the images' own bytes, one image after the other.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.images import DECODE_ERRORS, ImageFile, Strip, list_images, read_header
from glass_edge.errors import InputError
from glass_edge.files import atomic_write

_PIXELS_AT = 4096
_HEADER = struct.Struct("<8s4Id64s")
_READ_LINES = 1024


@dataclass(frozen=True, slots=True)
class Weave:
    """How cloth passes the camera.

    Attributes:
        line_rate_hz: lines of cloth a second, 1 to 400000.
        counts_per_line: encoder counts from one line to the next, 1 to 65536.
        user_id: DeviceUserID of the camera, at most 63 bytes.
    """

    line_rate_hz: float
    counts_per_line: int
    user_id: str = ""

    def __post_init__(self) -> None:
        if not 1 <= self.line_rate_hz <= 400_000:
            raise InputError(f"line_rate_hz = {self.line_rate_hz} is impossible; give 1 to 400000")
        if not 1 <= self.counts_per_line <= 65536:
            raise InputError(f"counts_per_line = {self.counts_per_line} is impossible; give 1 to 65536")
        if len(self.user_id.encode()) > 63:
            raise InputError(f"user_id {self.user_id!r} is longer than 63 bytes")


@dataclass(frozen=True, slots=True)
class ClothHeader:
    """What a cloth file says before its lines."""

    width_px: int
    lines: int
    channels: int
    weave: Weave

    def __post_init__(self) -> None:
        if not 4 <= self.width_px <= 65536 or not 1 <= self.lines < 1 << 32:
            raise InputError(
                f"cloth of {self.width_px} px by {self.lines} lines is impossible; 4 to 65536 px are played"
            )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read the header of a cloth file.

        Raises:
            InputError: it is missing or no cloth file.
        """
        try:
            with path.open("rb") as stream:
                magic, width, lines, channels, counts, rate, name = _HEADER.unpack(stream.read(_HEADER.size))
        except (OSError, struct.error) as error:
            raise InputError(f"{path}: no cloth of a virtual loom ({error})") from error
        if magic != b"GELINES1":
            raise InputError(f"{path}: no cloth of a virtual loom")
        return cls(width, lines, channels, Weave(rate, counts, name.rstrip(b"\0").decode(errors="replace")))

    def write(self, path: Path, blocks: Iterable[NDArray[np.uint8]]) -> None:
        """Write the file; `blocks` hold its lines in order."""
        weave = self.weave
        numbers = (self.width_px, self.lines, self.channels, weave.counts_per_line, weave.line_rate_hz)
        with atomic_write(path) as stream:
            stream.write(_HEADER.pack(b"GELINES1", *numbers, weave.user_id.encode()).ljust(_PIXELS_AT, b"\0"))
            for block in blocks:
                stream.write(np.ascontiguousarray(block).data)


def write_cloth(path: Path, lines: NDArray[np.uint8], weave: Weave) -> ClothHeader:
    """Write lines held in memory, uint8 (lines, width) grey or (lines, width, 3) RGB.

    Raises:
        InputError: the array is no such image, or its size is impossible.
    """
    if lines.dtype != np.uint8 or not (lines.ndim == 2 or (lines.ndim == 3 and lines.shape[2] == 3)):
        raise InputError("cloth must be uint8 (lines, width) or (lines, width, 3)")
    header = ClothHeader(lines.shape[1], lines.shape[0], 1 if lines.ndim == 2 else 3, weave)
    header.write(path, [lines])
    return header


def write_cloth_of_images(
    path: Path, places: Path | Sequence[Path], weave: Weave, full_scale_16bit: int | None = None
) -> ClothHeader:
    """Write the lines of an image, a folder of images, or several of them in order.

    Raises:
        InputError: a place is missing or unfit, the images differ in width or colour, 16 bits without full scale, or
            an image is damaged.
    """
    files = [read_header(p) for p in list_images([places] if isinstance(places, Path) else list(places))]
    first = files[0]
    for file in files:
        if (file.width_px, file.channels) != (first.width_px, first.channels):
            raise InputError(
                f"{file.path}: differs from {first.path.name} in width or colour; one camera sees one width"
            )
        if file.sixteen_bit and full_scale_16bit is None:
            raise InputError(f"{file.path}: 16 bits a pixel; say which value becomes 255 (full_scale_16bit)")
    header = ClothHeader(first.width_px, sum(file.lines for file in files), first.channels, weave)
    header.write(path, _lines_of(files, full_scale_16bit))
    return header


def _lines_of(files: list[ImageFile], full_scale_16bit: int | None) -> Iterator[NDArray[np.uint8]]:
    for file in files:
        try:
            strip = Strip(file, files[0].channels, full_scale_16bit)
        except DECODE_ERRORS as error:
            raise InputError(f"{file.path}: its pixels are damaged ({error}); take it out") from error
        for start in range(0, file.lines, _READ_LINES):
            yield strip.lines(start, min(file.lines, start + _READ_LINES))
