"""Where the cloth lies in the camera's line.

Promises: the span returned holds cloth only: its borders lie inside every line's selvedge (a lean of the web included),
less a margin; when no background is seen at a side, the span reaches the image's edge there; when no cloth is seen,
`NoClothError`. Brightness that drifts or steps across the web, seams of the camera and stains at the edge are no
selvedge.

How: columns are described by brightness and by the strength of their fine texture, along and across, relative to
brightness, each the median over bands of lines, so that a fault in some lines does not count. Background is (a) columns
that are saturated or black from the image's edge on, or (b) an outer zone whose relative texture differs from the cloth
just inside it and further inside, a step that tone alone cannot make. The border is then refined: line by line by the
brightness half-way between both sides where they differ enough, else by the steepest change of texture in bands of
lines.

Limits: a table that is as textured as the cloth and as bright is not told from it; a selvedge band much smoother than
the cloth, at the image's very edge with no background beside it, is taken for background (not scored, never the other
way round). Give fixed columns in the station file in such cases.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import GlassEdgeError
from glass_edge.fabric.geometry import ClothSpan

_BIN_PX = 8
_BAND_LINES = 32
_CHUNK_LINES = 256
_SATURATED, _BLACK = 250.0, 10.0
_CLIPPED = 225.0  # brighter cloth clips, and its texture says nothing ...
_CLIPPED_STEP = 0.25  # ... unless the other side is much darker (ln of the ratio)
_TEXTURE_STEP = 0.27  # ln(1.31): least step of relative texture at a selvedge
_LEVEL_STEP = 0.5  # ln(1.65): brightness that differs this much decides where the border runs
_OUTSIDE_BINS, _NEAR_BINS, _FAR_BINS = 6, 12, 24
_MOST_OF_WIDTH = 0.45  # a border without saturated or black background lies in the outer 45 %
_NOTCH_PX = 8.0
Profile = NDArray[np.float64]
Image = NDArray[np.float32]


class NoClothError(GlassEdgeError):
    """No cloth was found in the lines."""


@dataclass(frozen=True, slots=True)
class _Columns:
    """Description of bins of columns, each array (n_bins,)."""

    level: Profile
    texture: Profile  # log of fine texture over brightness
    blank: NDArray[np.bool_]  # saturated or black


def find_cloth_span(lines: NDArray[np.uint8], *, margin_px: int = 0, least_width_px: int = 32) -> ClothSpan:
    """Columns of `lines` that show cloth in every line.

    Args:
        lines: uint8 (n, width) grey or (n, width, 3) RGB, 16 lines or more.
        margin_px: taken off at each border that was found (not at the image's edge).
        least_width_px: less cloth than this is none.

    Raises:
        NoClothError: everything is background, or the cloth is narrower than `least_width_px`.
        ValueError: not such an array.
    """
    if lines.dtype != np.uint8 or lines.ndim not in (2, 3) or lines.shape[0] < 16 or lines.shape[1] < 4 * _BIN_PX:
        raise ValueError(f"{lines.dtype} {lines.shape}; uint8 (16 or more lines, {4 * _BIN_PX} or more px) is needed")
    width = int(lines.shape[1])
    grey = lines if lines.ndim == 2 else lines.mean(axis=2)
    left, right = 0.0, float(width)
    seen = False
    for top in range(0, lines.shape[0], _CHUNK_LINES):
        chunk = np.asarray(grey[top : top + _CHUNK_LINES], dtype=np.float32)
        if len(chunk) < 16 and seen:
            continue
        borders = _borders_of(chunk)
        if borders is None:
            continue
        seen = True
        left, right = max(left, borders[0]), min(right, borders[1])
    if not seen:
        raise NoClothError(
            "no cloth is seen: every column is saturated or black; check the lamps, the cloth and the exposure"
        )
    left_px = int(np.ceil(left)) + (margin_px if left > 0 else 0)
    right_px = int(np.floor(right)) - (margin_px if right < width else 0)
    if right_px - left_px < least_width_px:
        raise NoClothError(
            f"no cloth is seen: between the borders found ({left_px} and {right_px} px) lie less than "
            f"{least_width_px} px; check the lamps and the margin, or give fixed columns"
        )
    return ClothSpan(left_px, right_px)


def _borders_of(chunk: Image) -> tuple[float, float] | None:
    """Left and right border of one chunk of lines, px; None when it shows background only."""
    columns = _describe(chunk)
    if columns.blank.all():
        return None
    mirrored = _Columns(columns.level[::-1], columns.texture[::-1], columns.blank[::-1])
    width = chunk.shape[1]
    left = _border_bin(columns)
    right = _border_bin(mirrored)
    left_px = 0.0 if left == 0 else _refine(chunk, left * _BIN_PX)
    # The bins are counted from the left; what is left over at the right belongs to the last one.
    over = width - len(columns.level) * _BIN_PX
    right_px = float(width) if right == 0 else width - _refine(chunk[:, ::-1], right * _BIN_PX + over)
    return left_px, right_px


def _binned(values: NDArray[np.float32]) -> Profile:
    """Mean over bands of lines and bins of columns, then the median over the bands; (n_bins,)."""
    bands = max(1, values.shape[0] // _BAND_LINES)
    bins = values.shape[1] // _BIN_PX
    each = values.shape[0] // bands
    cut = values[: bands * each, : bins * _BIN_PX].reshape(bands, each, bins, _BIN_PX)
    return np.asarray(np.median(cut.mean(axis=(1, 3), dtype=np.float64), axis=0), dtype=np.float64)


def _texture(chunk: Image) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fine texture across and along, same shape as `chunk`."""
    across = np.abs(np.diff(chunk, axis=1, append=chunk[:, -1:]))
    along = np.abs(np.diff(chunk, axis=0, append=chunk[-1:]))
    return across, along


def _describe(chunk: Image) -> _Columns:
    level = _binned(chunk)
    across, along = (_binned(values) for values in _texture(chunk))
    texture = 0.5 * (np.log(across + 0.5) + np.log(along + 0.5)) - np.log(level + 4.0)
    return _Columns(level, texture, ((level >= _SATURATED) & (across < 2.5)) | (level <= _BLACK))


def _border_bin(columns: _Columns) -> int:
    """Number of leading bins that are background, 0 when there is none."""
    n_bins = len(columns.level)
    blank = int(np.argmin(columns.blank)) if columns.blank[0] else 0
    if blank:
        beside = columns.level[blank + 2 : blank + 2 + _NEAR_BINS]
        # Overexposed cloth fades into white; background ends at once.
        return blank if columns.level[0] <= _BLACK or (len(beside) and np.median(beside) < _CLIPPED) else 0
    found = 0
    for k in range(2, int(_MOST_OF_WIDTH * n_bins)):
        near = columns.texture[k + 1 : k + 1 + _NEAR_BINS]
        far = columns.texture[k + 1 + _NEAR_BINS : k + 1 + _NEAR_BINS + _FAR_BINS]
        if len(far) < _FAR_BINS // 2:
            break
        beyond, within = float(np.median(columns.level[:k])), float(np.median(columns.level[k + 1 :][:_NEAR_BINS]))
        if max(beyond, within) > _CLIPPED and abs(np.log((beyond + 4) / (within + 4))) < _CLIPPED_STEP:
            continue
        outside = np.median(columns.texture[max(0, k - _OUTSIDE_BINS) : k])
        whole = np.median(columns.texture[:k])
        steps = [float(np.median(inside) - out) for inside in (near, far) for out in (outside, whole)]
        if min(steps) > _TEXTURE_STEP or max(steps) < -_TEXTURE_STEP:
            found = k
    return _steepest(columns.texture, found) if found else 0


def _steepest(texture: Profile, found: int) -> int:
    """The bin at or shortly before `found` where the texture changes most: medians over bins see a border too late."""
    candidates = range(max(1, found - _OUTSIDE_BINS + 1), found + 2)
    steps = [abs(float(texture[k : k + 3].mean() - texture[max(0, k - 3) : k].mean())) for k in candidates]
    return candidates[int(np.argmax(steps))]


def _refine(chunk: Image, near_px: int) -> float:
    """Border near column `near_px`, background to its left: the innermost over the lines, px."""
    low, high = max(0, near_px - 64), min(chunk.shape[1], near_px + 96)
    window = chunk[:, low:high]
    at = near_px - low
    outside = float(np.median(window[:, : max(8, at - 12)]))
    # Beside a table the selvedge band counts, not the cloth behind it; before white, lint hides the band.
    band = window[:, at + 32 :] if outside >= _SATURATED else window[:, at + 12 : at + 36]
    inside = float(np.median(band if band.size else window[:, -16:]))
    if abs(np.log((outside + 4) / (inside + 4))) > _LEVEL_STEP:
        rows, border = _by_level(window, outside, inside)
    else:
        rows, border = _by_texture(window, at)
    return low + _innermost(rows, border)


def _by_level(window: Image, outside: float, inside: float) -> tuple[Profile, Profile]:
    """First column from which 10 columns stay on the cloth's side of the half-way brightness; a line each."""
    smooth = cv2.blur(window, (3, 3), borderType=cv2.BORDER_REPLICATE)
    half = (outside + inside) / 2
    cloth = smooth < half if outside > inside else smooth > half
    run = cv2.erode(cloth.astype(np.uint8), np.ones((1, 10), np.uint8), anchor=(0, 0), borderValue=0)
    rows = np.flatnonzero(run.any(axis=1))
    return rows.astype(np.float64), run[rows].argmax(axis=1).astype(np.float64) + 1


def _by_texture(window: Image, at: int) -> tuple[Profile, Profile]:
    """Column of the steepest change of texture near `at`, a band of lines each."""
    across, along = _texture(window)
    rows, border = [], []
    for top in range(0, max(1, window.shape[0] - 15), 16):
        band = np.s_[top : top + 16]
        level = window[band].mean(0)
        shape = (
            0.5 * (np.log(across[band].mean(0) + 0.5) + np.log(along[band].mean(0) + 0.5)) - np.log(level + 4.0),
            np.log(level + 4.0),
        )
        change = np.zeros(window.shape[1])
        for profile in shape:
            total = np.concatenate([[0.0], np.cumsum(profile)])
            for span in (8, 16):
                columns = np.arange(span, len(profile) - span)
                step = (total[columns + span] - 2 * total[columns] + total[columns - span]) / span
                change[columns] += np.abs(step)
        first, last = max(0, at - 40), min(len(change), at + 40)
        rows.append(top + 8.0)
        border.append(first + float(np.argmax(change[first:last])))
    return np.array(rows), np.array(border)


def _innermost(rows: Profile, border: Profile) -> float:
    """Largest border of the lines that follow the selvedge's course: a notch of the edge is a fault, not a border."""
    if not len(rows):
        return 0.0
    middle = np.median(border)
    lean = 0.0
    if len(rows) >= 8:
        half = len(rows) // 2
        lean = float((np.median(border[half:]) - np.median(border[:half])) / (rows[half:].mean() - rows[:half].mean()))
    off = border - (middle + lean * (rows - np.median(rows)))
    spread = max(_NOTCH_PX, 4.0 * float(np.median(np.abs(off))))
    return float(border[np.abs(off) <= spread].max())
