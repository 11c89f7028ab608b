"""A flat field from lines of a white board, or the reason why they will not do.

Promises: `measure_flat_field` returns a profile only from a reference that is bright, unsaturated, even along the
lines, clean, and white board over the whole width; otherwise `BadReferenceError` with the reasons found, the columns
meant, and what to do about it.

Levels are per column the median over pieces of the recording of each piece's mean, so a speck that passes while the
board is moved leaves no trace.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.flat_field import FlatField, Levels
from glass_edge.errors import InputError

LEAST_LINES = 64
_PIECES = 16
_SATURATED, _SATURATED_SHARE = 250, 0.01
_DARKEST_WHITE, _BRIGHTEST_DARK = 64.0, 40.0
_LEAST_LIGHT = 0.25  # of the brightest columns
_FLICKER = 0.015
_SURROUNDINGS_PX = 65
_DIRT, _DEAD = 0.06, 0.25
_TEXTURE, _TEXTURE_FINE, _SPOTS = 0.012, 0.06, 0.002
_MOST_NOISE = 0.03
_ZONE_PX = 64
_JUDGED_LINES = 512


class BadReferenceError(InputError):
    """The lines are no usable reference; `reasons` holds one sentence each."""

    def __init__(self, reasons: list[str]) -> None:
        super().__init__("\n".join(reasons))
        self.reasons = reasons


@dataclass(frozen=True, slots=True)
class ReferenceLimits:
    """What a reference may be like.

    Attributes:
        width_px: pixels the line must have; None: any.
        dirt: largest relative step of a column against its surroundings.
    """

    width_px: int | None = None
    dirt: float = _DIRT


def measure_flat_field(
    white: NDArray[np.uint8],
    dark: NDArray[np.uint8] | None = None,
    *,
    limits: ReferenceLimits | None = None,
    target_grey: float | None = None,
) -> FlatField:
    """Profile from a white reference and, where there is one, lines taken with the lens covered.

    Args:
        white: uint8 (64 or more lines, width) grey or (..., 3) RGB of the white board.
        dark: the same without light; None: dark is taken to be 0.
        limits: see `ReferenceLimits`.
        target_grey: grey value of the board after correction; None: that of its brightest columns, so that gains are
            1 or more and what was saturated stays so.

    Raises:
        BadReferenceError: one of them will not do.
    """
    limits = limits or ReferenceLimits()
    reasons = _shape_reasons(white, dark, limits)
    if reasons:
        raise BadReferenceError(reasons)
    bright = white if white.ndim == 3 else white[:, :, None]
    level = column_levels(bright)
    black = np.zeros_like(level)
    if dark is not None:
        black = column_levels(dark if dark.ndim == 3 else dark[:, :, None])
        if float(np.percentile(black, 95)) > _BRIGHTEST_DARK:
            reasons.append(
                f"dark frames: grey value {np.percentile(black, 95):.0f}, above {_BRIGHTEST_DARK:.0f}; cover the lens "
                "or switch the lamp off, and lower the camera's black level"
            )
    for channel in range(bright.shape[2]):
        name = "" if bright.shape[2] == 1 else f"{('red', 'green', 'blue')[channel]}: "
        found = _white_reasons(bright[:, :, channel], level[:, channel], black[:, channel], limits)
        reasons += [name + reason for reason in found]
    if reasons:
        raise BadReferenceError(reasons)
    if target_grey is None:  # a raw 255 becomes 255 or more
        target_grey = min(255.0, float(np.percentile((level - black) * 255.0 / (255.0 - black), 99)))
    return FlatField(black, level, target_grey)


def column_levels(lines: NDArray[np.uint8]) -> Levels:
    """Level of every column and channel, float32 (width, channels), of uint8 (n, width, channels)."""
    pieces = np.array_split(lines, min(_PIECES, max(1, len(lines) // 8)))
    means = [piece.mean(axis=0, dtype=np.float64) for piece in pieces]
    return np.asarray(np.median(means, axis=0), dtype=np.float32)


def residual(lines: NDArray[np.uint8]) -> float:
    """Root mean square of the columns' relative deviation from their mean: how uneven a white is, 0.01 for 1 %."""
    level = column_levels(lines if lines.ndim == 3 else lines[:, :, None]).astype(np.float64)
    return float(np.sqrt(np.mean((level / level.mean(axis=0) - 1) ** 2)))


def _shape_reasons(white: NDArray[np.uint8], dark: NDArray[np.uint8] | None, limits: ReferenceLimits) -> list[str]:
    reasons = []
    for name, lines in (("white reference", white), ("dark frames", dark)):
        if lines is None:
            continue
        if lines.dtype != np.uint8 or lines.ndim not in (2, 3):
            return [f"{name}: {lines.dtype} {lines.shape}; uint8 lines (n, width[, 3]) are needed"]
        if len(lines) < LEAST_LINES:
            reasons.append(f"{name}: {len(lines)} lines are too few; record {LEAST_LINES} or more")
        if limits.width_px is not None and lines.shape[1] != limits.width_px:
            reasons.append(
                f"{name}: {lines.shape[1]} px wide, and the camera's line has {limits.width_px} px; record it with "
                "the region of interest and binning that the station uses"
            )
    if dark is not None and dark.shape[1:] != white.shape[1:]:
        reasons.append(
            f"dark frames are {dark.shape[1:]} and the white reference is {white.shape[1:]} (width, channels); "
            "record both with the same settings"
        )
    return reasons


def _white_reasons(lines: NDArray[np.uint8], level: Levels, black: Levels, limits: ReferenceLimits) -> list[str]:
    over = (lines >= _SATURATED).mean(axis=0)
    if over.max() > _SATURATED_SHARE:
        return [
            f"saturated: {100 * over.mean():.1f} % of the pixels reach {_SATURATED}, worst at "
            f"{_ranges(over > _SATURATED_SHARE)}; lower exposure or gain until the brightest columns are near 210"
        ]
    light = level - black
    top = float(np.percentile(light, 95))
    if top < _DARKEST_WHITE:
        return [
            f"too dark: the brightest columns have grey value {top:.0f}, less than {_DARKEST_WHITE:.0f}; raise "
            "exposure or lamp until they are near 210 (or the lens cap is on)"
        ]
    dim = light < _LEAST_LIGHT * top
    if dim.any():
        return [
            f"not white everywhere: {_ranges(dim)} get less than a quarter of the light; let the board cover the "
            "whole line, and see that the lamp does"
        ]
    part = lines[:: max(1, len(lines) // _JUDGED_LINES)].astype(np.float32) - black
    rows = part.mean(axis=1) / part.mean()
    reasons = []
    flicker = float(rows.std())
    if flicker > _FLICKER:
        reasons.append(
            f"striped along the web: the lines' brightness varies by {100 * flicker:.1f} %; use a steady lamp, wait "
            "until it is warm, or make the exposure a multiple of its period"
        )
    reasons += _texture_reasons(part / np.maximum(rows[:, None], 0.1), light)
    step = np.abs(light / _running_median(light) - 1)
    dirty = cv2.erode((step > limits.dirt).astype(np.uint8)[None], np.ones((1, 2), np.uint8))[0] > 0
    dirty |= step > max(_DEAD, limits.dirt)
    if dirty.any() and not reasons:
        reasons.append(
            f"striped or dirty: {_ranges(dirty)} differ from their surroundings by up to {100 * step[dirty].max():.0f} "
            "%; clean board, lens and glass, and move the board while recording; what stays is on the lens or a dead "
            "pixel: only then raise --most-dirt"
        )
    return reasons


def _texture_reasons(part: NDArray[np.float32], light: Levels) -> list[str]:
    """Anything but noise that changes from line to line: cloth, print, specks."""
    relative = part / np.maximum(part.mean(axis=0), 1.0) - 1
    coarse = cv2.blur(relative, (4, 4))
    edges = np.arange(0, len(light), _ZONE_PX)
    fine_std = np.sqrt(np.add.reduceat((relative**2).mean(axis=0), edges) / np.diff([*edges, len(light)]))
    spread = np.abs(np.diff(np.percentile(coarse, (16, 84), axis=0), axis=0))[0] / 2
    coarse_std = np.array([np.median(spread[left : left + _ZONE_PX]) for left in edges])
    noise = min(_MOST_NOISE, float(np.percentile(fine_std, 10)))
    cloth = (coarse_std > max(_TEXTURE, 0.45 * noise)) | (fine_std > _TEXTURE_FINE)
    if cloth.any():
        return [
            f"cloth or a pattern in view: {_ranges(np.repeat(cloth, _ZONE_PX)[: len(light)])} show texture of "
            f"{100 * fine_std[cloth].max():.1f} %; lay a plain white board over the whole line, slightly out of focus"
        ]
    spots = np.abs(coarse) > max(_DIRT, 5 * noise)
    if spots.mean() > _SPOTS:
        return [
            f"dirty: spots at {_ranges(spots.any(axis=0))} cover {100 * spots.mean():.1f} % of the board; clean it or "
            "use another"
        ]
    return []


def _running_median(values: Levels) -> Levels:
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(values, _SURROUNDINGS_PX // 2, "edge"), _SURROUNDINGS_PX)
    return np.asarray(np.median(windows, axis=1), dtype=np.float32)


def _ranges(marked: NDArray[np.bool_], most: int = 4) -> str:
    """Marked columns in words: 'columns 3 to 8 and 100'."""
    steps = np.flatnonzero(np.diff(np.concatenate([[False], marked, [False]]).astype(np.int8)))
    runs = [(int(start), int(end) - 1) for start, end in zip(steps[::2], steps[1::2], strict=True)]
    words = [f"{start}" if start == end else f"{start} to {end}" for start, end in runs[:most]]
    more = f" and {len(runs) - most} more places" if len(runs) > most else ""
    return f"columns {', '.join(words)}{more}"
