"""Image files of a data set as pixels.

Promises: a file is decoded completely or refused, by name and with the remedy; pixels come as uint8, C-contiguous,
(lines, width) grey or (lines, width, 3) RGB. Alpha is dropped, palettes become RGB, RGB turns grey as BT.601 luma
(equal channels keep their value), grey turns RGB by repetition; deeper than 8 bits is refused, because how to scale it
is the camera's business.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from glass_edge.errors import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")
MAX_PIXELS = 1 << 30
_FORMATS = ("PNG", "JPEG", "TIFF", "BMP")
_GREY, _COLOUR = ("1", "L", "LA"), ("RGB", "RGBA", "P", "PA", "YCbCr")
_DECODE_ERRORS = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error)
_PILLOW = threading.Lock()
_HALF = 128
AnyT = TypeVar("AnyT", bound=np.generic)


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image file says of itself: width and lines in px, 1 (grey) or 3 (colour) channels."""

    width_px: int
    lines: int
    channels: int


def read_header(path: Path) -> ImageHeader:
    """Size and kind of an image file; pixels are not read.

    Raises:
        InputError: missing, empty, no image of a known format, too large, or not 8-bit grey or colour.
    """
    try:
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the name and its permissions") from error
    if size == 0:
        raise InputError(f"{path}: the file is empty (0 bytes); copy it again or take it out")
    with _opened(path) as image:
        mode, (width, lines) = image.mode, image.size
    if width * lines > MAX_PIXELS:
        raise InputError(f"{path}: {width} x {lines} are more than {MAX_PIXELS} pixels; cut it into shorter strips")
    if mode not in _GREY + _COLOUR:
        raise InputError(f"{path}: pixels of kind '{mode}' cannot be used; convert the image to 8-bit grey or RGB")
    return ImageHeader(width, lines, 1 if mode in _GREY else 3)


def read_pixels(path: Path, channels: int) -> NDArray[np.uint8]:
    """Decode the whole file as grey (`channels` 1: (lines, width)) or RGB (3: (lines, width, 3)), uint8.

    Raises:
        InputError: as `read_header`, or the pixel data are damaged or cut off.
    """
    read_header(path)

    def convert(image: Image.Image) -> NDArray[np.uint8]:
        rgb = image.convert("RGB") if image.mode in ("P", "PA") else image
        return np.array(rgb.convert("L" if channels == 1 else "RGB"), dtype=np.uint8, order="C")

    return _decoded(path, convert)


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Mask of a defect, bool (lines, width): True where a pixel has at least half of full scale.

    A file that holds nothing above 1 is taken as a mask of 0 and 1.

    Raises:
        InputError: as `read_pixels`, or values that are neither.
    """
    grey = read_pixels(path, 1)
    brightest = int(grey.max(initial=0))
    if 1 < brightest < _HALF:
        raise InputError(
            f"{path}: a mask whose brightest pixel is {brightest}; defects are marked by 255 (or by 1 in a mask of 0 "
            f"and 1), {_HALF} at least"
        )
    return grey >= (1 if brightest <= 1 else _HALF)


def read_labels(path: Path) -> NDArray[np.bool_]:
    """Mask of labels, bool (lines, width): True wherever a pixel has any label or colour but 0; alpha does not count.

    Raises:
        InputError: as `read_pixels`.
    """
    read_header(path)
    marked = _decoded(path, lambda image: np.array(image) > 0)  # palette images as their indices
    if marked.ndim == 2:
        return marked
    return np.asarray(marked[..., : 1 if marked.shape[2] == 2 else 3].any(axis=2))


def _decoded(path: Path, convert: Callable[[Image.Image], NDArray[AnyT]]) -> NDArray[AnyT]:
    with _opened(path) as image:
        try:
            image.load()
        except _DECODE_ERRORS as error:
            raise InputError(f"{path}: damaged or cut off ({error}); copy it again or take it out") from error
        return convert(image)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    with _strict(), _open(path) as image:
        yield image


def _open(path: Path) -> Image.Image:
    try:
        return Image.open(path, formats=_FORMATS)
    except Image.DecompressionBombError:
        raise InputError(f"{path}: more than {MAX_PIXELS} pixels; cut it into shorter strips") from None
    except _DECODE_ERRORS as error:
        raise InputError(f"{path}: not a PNG, JPEG, TIFF or BMP image ({error}); convert it or take it out") from error


@contextmanager
def _strict() -> Iterator[None]:
    """Pillow without its guard against large images (long strips are no bombs) and without mercy for cut-off files."""
    with _PILLOW:
        before = Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES
        Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = MAX_PIXELS, False
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS, ImageFile.LOAD_TRUNCATED_IMAGES = before
