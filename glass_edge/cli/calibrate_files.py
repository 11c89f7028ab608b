"""What the calibrate commands share: reading pictures, names and hashes of files, pictures of before and after."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import InputError

_MOST_LINES = 4096
_PICTURE_PX, _PICTURE_LINES, _PLOT_PX = 1200, 160, 260


def read_pictures(places: list[Path], full_scale_16bit: int | None = None) -> dict[Path, NDArray[np.uint8]]:
    """Pictures of `places`, each uint8 (n, width[, 3]), at most 4096 lines from its middle; one width and kind.

    Raises:
        InputError: one is missing, damaged, of 16 bits without a full scale, or differs from the first.
    """
    from glass_edge.acquisition.images import DECODE_ERRORS, Strip, list_images, read_header

    found: dict[Path, NDArray[np.uint8]] = {}
    for path in list_images(places):
        header = read_header(path)
        if header.sixteen_bit and full_scale_16bit is None:
            raise InputError(f"{path}: 16 bits a pixel; give --full-scale-16bit, the value that becomes 255")
        try:
            strip = Strip(header, header.channels, full_scale_16bit)
            start = max(0, (header.lines - _MOST_LINES) // 2)
            lines = strip.lines(start, min(header.lines, start + _MOST_LINES))
        except DECODE_ERRORS as error:
            raise InputError(f"{path}: damaged ({error}); take the picture again") from error
        first = next(iter(found.items()), (path, lines))
        if lines.shape[1:] != first[1].shape[1:]:
            raise InputError(
                f"{path}: {_kind(lines)}, but {first[0].name} is {_kind(first[1])}; all must come from one camera"
            )
        found[path] = lines
    return found


def _kind(lines: NDArray[np.uint8]) -> str:
    return f"{lines.shape[1]} px {'grey' if lines.ndim == 2 else 'RGB'}"


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


def new_file(path: Path, suffix: str, *, force: bool) -> Path:
    """`path` when it may be written.

    Raises:
        InputError: another suffix, a folder that is missing, or a file that is there.
    """
    if not path.name.endswith(suffix):
        raise InputError(f"{path}: give a name that ends in {suffix}")
    if not path.parent.is_dir():
        raise InputError(f"{path}: the folder {path.parent} does not exist; make it first")
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
