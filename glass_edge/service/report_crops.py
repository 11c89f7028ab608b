"""The picture of a defect, as the station kept it.

Promises: a picture that is missing or damaged is a sentence, never an error; nothing outside the folder of pictures is
read; however large a picture is, what is held of it is small.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_MOST_PX = 700  # of a side: more cannot be seen at the size of a gallery's picture
_MOST_OUTLINES = 30
_OUTLINE_PART = 0.015  # distance of an outline, as a part of the picture's longer side


@dataclass(frozen=True, slots=True)
class CropPicture:
    """A defect's picture.

    Attributes:
        pixels: uint8 (lines, columns) or (lines, columns, 3) RGB, made smaller where it was large.
        columns, lines: size it was taken at, px.
        outlines: closed lines around what is above the threshold, at a little distance so that they do not cover it, as
            (column, line) of the size it was taken at.
    """

    pixels: NDArray[np.uint8]
    columns: int
    lines: int
    outlines: tuple[tuple[tuple[float, float], ...], ...]


def load_crop(folder: Path | None, crop_file: str | None, threshold_logit: float | None) -> CropPicture | str:
    """The picture, or why there is none.

    Args:
        folder: of the station's pictures; None: not known.
        crop_file: the picture's name in it, as events tell it; None: none was kept.
        threshold_logit: what was above it is outlined, where the picture of the scores is there too; None: nothing.
    """
    if crop_file is None:
        return "no picture was kept"
    if folder is None:
        return "the folder of pictures is not known"
    path = folder / crop_file
    if not path.resolve().is_relative_to(folder.resolve()):
        return "its picture lies outside the folder"
    pixels = _read(path)
    if isinstance(pixels, str):
        return pixels
    lines, columns = pixels.shape[:2]
    outlines: tuple[tuple[tuple[float, float], ...], ...] = ()
    if threshold_logit is not None:
        scores = _read(path.with_name(f"{path.stem}-score{path.suffix}"))
        if not isinstance(scores, str) and scores.shape == (lines, columns):
            outlines = _outlines(scores, threshold_logit)
    shrink = min(1.0, _MOST_PX / max(lines, columns))
    if shrink < 1:
        size = max(1, round(columns * shrink)), max(1, round(lines * shrink))
        pixels = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    return CropPicture(pixels, columns, lines, outlines)


def _read(path: Path) -> NDArray[np.uint8] | str:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("L" if image.mode in ("L", "1", "I;16") else "RGB"), np.uint8)
    except FileNotFoundError:
        return "its picture is not there any more"
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # what Pillow raises on damaged files
        return "its picture cannot be read"


def _outlines(scores: NDArray[np.uint8], threshold_logit: float) -> tuple[tuple[tuple[float, float], ...], ...]:
    """Around what the picture of probabilities, uint8 (lines, columns), shows at or above the threshold."""
    level = round(255 / (1 + math.exp(-max(-30.0, min(30.0, threshold_logit)))))
    above = (scores >= max(level, 1)).astype(np.uint8)
    reach = max(1, round(_OUTLINE_PART * max(scores.shape)))
    above = np.asarray(cv2.dilate(above, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)), np.uint8)
    found, _ = cv2.findContours(above, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = sorted(found, key=cv2.contourArea, reverse=True)[:_MOST_OUTLINES]
    return tuple(
        tuple((float(column) + 0.5, float(line) + 0.5) for column, line in points.reshape(-1, 2)) for points in largest
    )
