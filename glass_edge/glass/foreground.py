"""Where synthetic defects may lie: the part in the picture, computed or read from masks.

Promises: a mask has its image's size; it is never empty nor next to empty, which is an error with the remedy; the
computed one follows from the pixels alone.

How it is computed: the background is what a smooth surface through the image's border says, colour by colour (a plane
fitted to the border without its outliers, so the part may touch it); a pixel's difference from it, in units of colour
difference (CIELAB), is divided in two by Otsu's threshold, but never below what the border itself scatters; specks are
dropped, gaps closed, holes filled, and all parts kept that are no crumbs beside the largest.

Source of the threshold: N. Otsu, "A Threshold Selection Method from Gray-Level Histograms", IEEE Trans. SMC 9(1), 1979.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.config.recipe_data import AUTO_FOREGROUND, DataSettings
from glass_edge.errors import InputError
from glass_edge.glass.data_images import SUFFIXES, read_header, read_mask
from glass_edge.glass.data_listing import folders_in, images_in

Pixels = NDArray[np.uint8]
Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]
ForegroundFinder = Callable[[str, Pixels], Mask]
"""Foreground of an image, bool (lines, width), by the image's name and pixels; InputError when there is none."""

LEAST_SHARE = 0.001
"""A foreground that covers less of its image than this is taken for a fault."""
_WORKING_PX = 768  # longer side of what is looked at
_BORDER = 0.03  # of the shorter side
_OUTLIER_SIGMAS, _FITS = 3.0, 4
_NOISE_SIGMAS = 4.0
_LEAST_DIFFERENCE = 3.0  # of CIELAB: about what an eye sees at a glance
_SMOOTH_PX, _CLOSE = 1.0, 0.01
_CRUMB = 0.05  # of the largest part's area
_MAD_TO_SIGMA = 1.4826


def foreground_finder(settings: DataSettings) -> ForegroundFinder | None:
    """What finds the foreground of good images as a recipe says; None where defects may lie anywhere.

    Raises:
        InputError: a folder of masks that is not there or holds none.
    """
    if (folder := settings.foreground_folder) is not None:
        return folder_foreground(folder)
    return _auto if settings.foreground == AUTO_FOREGROUND else None


def folder_foreground(folder: Path) -> ForegroundFinder:
    """Masks of a folder, by the images' names: `<path in the data folder>`, or the file's name alone, any image ending.

    Raises:
        InputError: no such folder, or no mask in it.
    """
    if not folder.is_dir():
        raise InputError(
            f"{folder}: no such folder of foreground masks; give one as data.foreground, or 'auto', or 'none'"
        )
    masks = {path.relative_to(folder).with_suffix("").as_posix(): path for path in _all_images(folder)}
    if not masks:
        raise InputError(f"{folder}: no foreground masks ({', '.join(SUFFIXES)}) in it; add them, or use 'auto'")

    def find(name: str, pixels: Pixels) -> Mask:
        whole = Path(name).with_suffix("")
        found = [masks[key] for one in (whole.as_posix(), whole.name) for key in (one, f"{one}_mask") if key in masks]
        if not found:
            raise InputError(
                f"no foreground mask; {folder / whole.name}.png is needed, or {folder / whole}.png (of any image "
                "ending), or data.foreground = 'auto'"
            )
        header = read_header(found[0])
        if (header.lines, header.width_px) != pixels.shape[:2]:
            raise InputError(
                f"{pixels.shape[1]} x {pixels.shape[0]} px, but its foreground mask {found[0]} has {header.width_px} x "
                f"{header.lines}; make them equal"
            )
        return _checked(read_mask(found[0]), f"its foreground mask {found[0]} marks", "mark the part in white")

    return find


def find_part(pixels: Pixels) -> Mask:
    """What stands out from the background along the border of an image; empty when nothing does.

    Args:
        pixels: uint8 (lines, width[, 3]), RGB or grey.

    Returns:
        bool (lines, width).
    """
    lines, width = pixels.shape[:2]
    scale = min(1.0, _WORKING_PX / max(lines, width))
    small = pixels
    if scale < 1:
        size = (max(8, round(width * scale)), max(8, round(lines * scale)))
        small = np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)
    difference = _difference(small)
    frame = difference[_frame(*difference.shape)]
    scatter = float(np.median(frame)) * _MAD_TO_SIGMA
    least = max(_LEAST_DIFFERENCE, _NOISE_SIGMAS * scatter)
    mask = (difference > max(least, _otsu(difference))).astype(np.uint8)
    mask = _tidied(mask)
    if scale < 1:
        mask = np.asarray(
            cv2.resize(mask * np.uint8(255), (width, lines), interpolation=cv2.INTER_LINEAR) >= 128, np.uint8
        )
    return mask > 0


def _auto(name: str, pixels: Pixels) -> Mask:
    del name
    return _checked(
        find_part(pixels),
        "the foreground that stands out from the background along its border covers",
        "set data.foreground = 'none' where cloth fills the picture, or give a folder of masks",
    )


def _checked(mask: Mask, what: str, remedy: str) -> Mask:
    count = np.count_nonzero(mask)
    if count < LEAST_SHARE * mask.size:
        raise InputError(f"{what} {count} of {mask.size} px, too few for a synthetic defect; {remedy}")
    return mask


def _all_images(folder: Path) -> list[Path]:
    return [*images_in(folder), *(path for below in folders_in(folder) for path in _all_images(below))]


def _frame(lines: int, width: int) -> Mask:
    """The border of an image."""
    edge = max(2, round(_BORDER * min(lines, width)))
    frame = np.ones((lines, width), np.bool_)
    frame[edge:-edge, edge:-edge] = False
    return frame


def _difference(pixels: Pixels) -> Floats:
    """CIELAB distance of each pixel to the background, slightly smoothed, float32 (lines, width)."""
    rgb = pixels if pixels.ndim == 3 else np.repeat(pixels[..., None], 3, axis=2)
    lab = np.asarray(cv2.cvtColor(rgb.astype(np.float32) / 255, cv2.COLOR_RGB2LAB), np.float32)
    lab = np.asarray(cv2.GaussianBlur(lab, (0, 0), _SMOOTH_PX), np.float32)
    lines, width = lab.shape[:2]
    y, x = np.mgrid[-1 : 1 : lines * 1j, -1 : 1 : width * 1j]
    places = np.stack([np.ones_like(x), x, y], axis=2)
    frame = _frame(lines, width)
    at, seen = places[frame], lab[frame].astype(np.float64)
    inlying = np.ones(len(at), np.bool_)
    surface = np.zeros((3, 3))
    surface[0] = np.median(seen, axis=0)
    for _ in range(_FITS):
        distance = np.linalg.norm(seen - at @ surface, axis=1)
        limit = max(1.0, _OUTLIER_SIGMAS * _MAD_TO_SIGMA * float(np.median(distance)))
        inlying = distance <= limit
        surface = np.linalg.lstsq(at[inlying], seen[inlying], rcond=None)[0]
    return np.asarray(np.linalg.norm(lab - places @ surface, axis=2), np.float32)


def _otsu(difference: Floats) -> float:
    """Otsu's threshold of the differences' square roots, lest a highlight on the part be told from the part."""
    root = np.sqrt(difference)
    top = float(np.quantile(root, 0.995)) or 1.0
    level, _ = cv2.threshold(
        np.clip(root * (255 / top), 0, 255).astype(np.uint8), 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU
    )
    return float((level * top / 255) ** 2)


def _tidied(mask: Pixels) -> Pixels:
    """Without specks, gaps, holes and crumbs, uint8 0 or 1."""
    radius = max(1, round(_CLOSE * min(mask.shape)))
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_OPEN, _disc(1)), np.uint8)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, _disc(radius)), np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros_like(mask)
    cv2.drawContours(filled, outlines, -1, 1, thickness=cv2.FILLED)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(filled, connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    areas[0] = 0
    kept = areas >= _CRUMB * areas.max() if count > 1 else np.zeros(count, np.bool_)
    kept[0] = False
    return np.asarray(kept[labels], np.uint8)


def _disc(radius: int) -> Pixels:
    return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)), np.uint8)
