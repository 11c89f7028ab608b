"""Image files as camera lines.

Promises: a file is judged by its header before anything plays, and every complaint names the file and the remedy;
pixels come as uint8, C-contiguous, (lines, width) grey or (lines, width, 3) RGB.

Rules: alpha is dropped; palettes become RGB; RGB turns grey as BT.601 luma (an image with equal channels keeps its
values exactly), grey turns RGB by repetition. 16-bit files need `full_scale_16bit`, the value that becomes 255 (65535,
or 4095 of a 12-bit camera); values are scaled linearly, rounded, and larger ones clipped. Floating-point and CMYK
files are refused. EXIF rotation is ignored: rows are lines in the order they were taken. Strips of up to
`MAX_PIXELS` pixels are read (4096 px by 262 144 lines); larger ones are refused by name.
"""

from __future__ import annotations

import re
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glass_edge.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
MAX_PIXELS = 1 << 30
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L")
_GREY = ("1", "L", "LA", *_SIXTEEN_BIT)
_COLOUR = ("RGB", "RGBA", "P", "PA", "YCbCr")
_LIMIT_LOCK = threading.Lock()
DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
"""What Pillow raises on damaged pixel data, format by format."""


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image file as its header describes it."""

    path: Path
    width_px: int
    lines: int
    channels: int
    sixteen_bit: bool


@contextmanager
def _strips_allowed() -> Iterator[None]:
    """Pillow's guard against decompression bombs at our own limit: long strips are no bombs."""
    with _LIMIT_LOCK:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = MAX_PIXELS
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def read_header(path: Path) -> ImageFile:
    """Size and kind of an image file; pixels are not read.

    Raises:
        InputError: missing, empty, no image of a known format, a kind that cannot be played, or too large.
    """
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give an image or a folder of images") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    if size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes); copy it again or take it out")
    try:
        with _strips_allowed(), Image.open(path, formats=("PNG", "JPEG", "TIFF", "BMP")) as image:
            mode, (width, lines) = image.mode, image.size
    except PermissionError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except Image.DecompressionBombError:
        raise InputError(f"{path}: more than {MAX_PIXELS} pixels; cut it into shorter strips") from None
    except DECODE_ERRORS as error:
        raise InputError(f"{path}: not a PNG, JPEG, TIFF or BMP image ({error}); convert it or take it out") from error
    if width * lines > MAX_PIXELS:
        raise InputError(f"{path}: {width} x {lines} are more than {MAX_PIXELS} pixels; cut it into shorter strips")
    if mode not in _GREY + _COLOUR:
        raise InputError(f"{path}: pixels of kind '{mode}' cannot be played; convert the image to 8-bit grey or RGB")
    return ImageFile(path, width, lines, 1 if mode in _GREY else 3, mode in _SIXTEEN_BIT)


class Strip:
    """Decoded pixels of one image; lines are converted block by block."""

    def __init__(self, file: ImageFile, channels: int, full_scale_16bit: int | None) -> None:
        """Decode `file` now.

        Raises:
            DECODE_ERRORS: the pixel data are damaged or cut off.
        """
        self.file = file
        self._channels = channels
        self._full_scale = full_scale_16bit
        with _strips_allowed():
            self._image = Image.open(file.path, formats=("PNG", "JPEG", "TIFF", "BMP"))
        with self._image:
            self._image.load()
        if self._image.size != (file.width_px, file.lines):
            raise ValueError("the file changed after it was opened")

    def lines(self, start: int, stop: int) -> NDArray[np.uint8]:
        """Lines [start, stop) of the image, uint8 (stop - start, width[, 3]), owned by the caller."""
        part = self._image.crop((0, start, self.file.width_px, stop))
        if self.file.sixteen_bit:
            wide = np.asarray(part).astype(np.float64)
            grey = np.clip(np.rint(wide * (255.0 / (self._full_scale or 65535))), 0, 255).astype(np.uint8)
            return grey if self._channels == 1 else np.repeat(grey[:, :, None], 3, axis=2)
        if part.mode in ("P", "PA"):
            part = part.convert("RGB")
        return np.array(part.convert("L" if self._channels == 1 else "RGB"), dtype=np.uint8, order="C")


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """Sort key that puts strip2 before strip10."""
    return [(0, int(part)) if part.isdigit() else (1, part.lower()) for part in re.split(r"(\d+)", path.name)]


def list_images(places: list[Path]) -> list[Path]:
    """Image files of `places` (files in the order given; of a folder, those directly in it in natural order).

    The mask beside the truth of a simulated strip is no cloth.

    Raises:
        InputError: a place does not exist, or there is no image at all.
    """
    found: list[Path] = []
    for place in places:
        if place.is_dir():
            inside = sorted((p for p in place.iterdir() if _is_cloth(p)), key=natural_key)
            if not inside:
                raise InputError(
                    f"{place}: no images in this folder; put PNG, JPEG, TIFF or BMP files directly into it"
                )
            found += inside
        elif place.exists():
            found.append(place)
        else:
            raise InputError(f"{place}: no such file or folder; give an image or a folder of images")
    if not found:
        raise InputError("nothing to play; give an image or a folder of images")
    return found


def _is_cloth(path: Path) -> bool:
    is_mask = path.name == "mask.png" and path.with_name("truth.json").exists()
    return path.suffix.lower() in SUFFIXES and not is_mask
