"""What the calibrate commands share: reading pictures, names and hashes of files, pictures of before and after."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import InputError

if TYPE_CHECKING:
    from glass_edge.acquisition.images import ImageFile

_MOST_LINES = 4096
_PICTURE_PX, _PICTURE_LINES, _PLOT_PX = 1200, 160, 260


def each_picture(
    places: list[Path], full_scale_16bit: int | None = None, most_lines: int = _MOST_LINES
) -> Iterator[tuple[Path, NDArray[np.uint8]]]:
    """Pictures of `places` one by one, uint8 (n, width[, 3]), at most `most_lines` from the middle of each.

    Raises:
        InputError: one is missing, damaged, of 16 bits without a full scale, or differs from the first in width or
            channels; what headers tell is told before anything is read.
    """
    from glass_edge.acquisition.images import DECODE_ERRORS, Strip, list_images, read_header

    headers = [read_header(path) for path in list_images(places)]
    for header in headers:
        if header.sixteen_bit and full_scale_16bit is None:
            raise InputError(f"{header.path}: 16 bits a pixel; give --full-scale-16bit, the value that becomes 255")
        if (header.width_px, header.channels) != (headers[0].width_px, headers[0].channels):
            raise InputError(
                f"{header.path}: {_kind(header)}, but {headers[0].path.name} is {_kind(headers[0])}; all must "
                "come from one camera"
            )
    for header in headers:
        try:
            strip = Strip(header, header.channels, full_scale_16bit)
            start = max(0, (header.lines - most_lines) // 2)
            yield header.path, strip.lines(start, min(header.lines, start + most_lines))
        except DECODE_ERRORS as error:
            raise InputError(f"{header.path}: damaged ({error}); take the picture again") from error


def read_pictures(places: list[Path], full_scale_16bit: int | None = None) -> dict[Path, NDArray[np.uint8]]:
    """All pictures of `places` (see `each_picture`), together at most about 4096 lines."""
    from glass_edge.acquisition.images import list_images

    most = max(64, _MOST_LINES // len(list_images(places)))
    return dict(each_picture(places, full_scale_16bit, most))


def _kind(header: ImageFile) -> str:
    return f"{header.width_px} px {'grey' if header.channels == 1 else 'RGB'}"


def hashes(paths: list[Path]) -> dict[str, str]:
    """SHA-256 of each file by its name; a name that comes twice keeps its folder's."""
    from glass_edge.files import sha256_file

    names = [path.name for path in paths]
    return {
        (path.name if names.count(path.name) == 1 else f"{path.parent.name}/{path.name}"): sha256_file(path)
        for path in paths
    }


def now_utc() -> str:
    """Now, ISO 8601."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def new_file(path: Path, suffix: str, *, force: bool, inputs: Sequence[Path] = ()) -> Path:
    """`path` when it may be written.

    Raises:
        InputError: another suffix, a folder that is missing, a file that is there (unless `force`), or an input.
    """
    if not path.name.endswith(suffix):
        raise InputError(f"{path}: give a name that ends in {suffix}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first")
    if path.is_dir() or path.resolve() in {one.resolve() for one in inputs}:
        raise InputError(f"{path} is {'a folder' if path.is_dir() else 'an input'}; give another name")
    if path.exists() and not force:
        raise InputError(f"{path} exists; give another name, or --force to replace it")
    return path


def before_after_png(before: NDArray[np.uint8], after: NDArray[np.uint8], *, grid: bool = False) -> bytes:
    """PNG with both pictures, each above the curve of its columns' mean grey (0 to 255; none with `grid`)."""
    parts = [part for lines in (before, after) for part in (_shown(lines), None if grid else _curve(lines))]
    shown = [part for part in parts if part is not None]
    gap = np.full((6, _PICTURE_PX, 3), 255, np.uint8)
    return png(np.concatenate([piece for part in shown for piece in (part, gap)]))


def png(image: NDArray[np.uint8]) -> bytes:
    """A picture, uint8 (n, width) or RGB (n, width, 3), as PNG."""
    import cv2

    done, data = cv2.imencode(".png", image if image.ndim == 2 else image[:, :, ::-1])
    if not done:
        raise AssertionError("OpenCV cannot write PNG")
    return data.tobytes()


def _shown(lines: NDArray[np.uint8]) -> NDArray[np.uint8]:
    import cv2

    part = cv2.resize(lines[:1024], (_PICTURE_PX, _PICTURE_LINES), interpolation=cv2.INTER_AREA)
    return np.asarray(part if part.ndim == 3 else np.repeat(part[:, :, None], 3, axis=2), dtype=np.uint8)


def _curve(lines: NDArray[np.uint8]) -> NDArray[np.uint8]:
    mean = lines.reshape(len(lines), lines.shape[1], -1).mean(axis=0)
    plot = np.full((_PLOT_PX, _PICTURE_PX, 3), 245, np.uint8)
    plot[[255 - grey for grey in (0, 50, 100, 150, 200, 250)]] = 215
    inks = ((20, 20, 20),) if mean.shape[1] == 1 else ((200, 30, 30), (20, 140, 20), (30, 60, 200))
    edges = np.linspace(0, len(mean), _PICTURE_PX + 1).astype(int)
    for channel, ink in enumerate(inks):
        for column in range(_PICTURE_PX):
            part = mean[edges[column] : max(edges[column + 1], edges[column] + 1), channel]
            plot[255 - round(float(part.max())) : 256 - round(float(part.min())), column] = ink
    return plot
