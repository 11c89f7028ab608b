"""Dark bars of one grey profile, to a fraction of a pixel, and which bars of a code they are.

Promises: pure functions; a position counts from the left edge of the first pixel (pixel i covers i to i + 1). A bar's
edges are where the profile crosses half-way between its surroundings' bright and dark; its centre is their middle, so
blur and exposure, which move both alike, do not move it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.target import LEAST_BARS

_CONTRAST_SHARE = 0.35
_LEAST_CONTRAST_DN = 12.0
_FIRST_WINDOW_PX = (48, 1024)
_WINDOW_PITCHES = 2.5
_SMOOTH_PITCHES = 0.05
_REGULAR = 0.3  # of the pitch: largest change of distance between neighbours
LEAST_PITCH_PX = 6.0
Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bars:
    """Neighbouring bars at a regular distance.

    Attributes:
        centre_px: float64 (n,), increasing.
        width_px: float64 (n,).
    """

    centre_px: Values
    width_px: Values

    def __len__(self) -> int:
        return len(self.centre_px)

    @property
    def pitch_px(self) -> float:
        """Median distance of neighbours."""
        return float(np.median(np.diff(self.centre_px)))

    def wide(self) -> NDArray[np.bool_]:
        """Which bars are the wide ones: those above the middle between the widest and the narrowest; bool (n,)."""
        share = self.width_px / np.gradient(self.centre_px)
        low, high = np.percentile(share, (5, 95))
        return np.asarray(share > (low + high) / 2)


def find_bars(profile: NDArray[np.floating]) -> list[Bars]:
    """Runs of four or more regular dark bars in a profile (n,) of grey values."""
    values = np.asarray(profile, dtype=np.float32)
    if len(values) < _FIRST_WINDOW_PX[0]:
        return []
    first = _crossings(values, int(np.clip(len(values) // 20, *_FIRST_WINDOW_PX)), 0.0)
    distances = np.diff(first[0])
    if len(distances) < 3:
        return []
    pitch = float(np.median(distances))
    if pitch < LEAST_PITCH_PX:
        return []
    return _runs(*_crossings(values, round(_WINDOW_PITCHES * pitch), _SMOOTH_PITCHES * pitch))


def _crossings(values: NDArray[np.float32], window_px: int, smooth_px: float) -> tuple[Values, Values]:
    """Centres and widths of all dark bars."""
    line = np.asarray(values[None])
    if smooth_px > 0.3:
        smooth = cv2.GaussianBlur(line, (0, 0), smooth_px, borderType=cv2.BORDER_REPLICATE)
        line = np.asarray(smooth, dtype=np.float32)
    kernel = np.ones((1, window_px | 1), np.uint8)
    size = (window_px | 1, 1)
    bright = cv2.blur(cv2.dilate(line, kernel, borderType=cv2.BORDER_REPLICATE), size)[0].astype(np.float64)
    dark = cv2.blur(cv2.erode(line, kernel, borderType=cv2.BORDER_REPLICATE), size)[0].astype(np.float64)
    contrast = bright - dark
    away = line[0].astype(np.float64) - (bright + dark) / 2
    least = max(_LEAST_CONTRAST_DN, _CONTRAST_SHARE * float(np.percentile(contrast, 95)))
    left = np.flatnonzero((away[:-1] > 0) != (away[1:] > 0))
    left = left[contrast[left] >= least]
    at = left + 0.5 + away[left] / (away[left] - away[left + 1])
    falls = away[left] > 0
    pairs = np.flatnonzero(falls[:-1] & ~falls[1:])
    start, end = at[pairs], at[pairs + 1]
    return (start + end) / 2, end - start


def _runs(centre: Values, width: Values) -> list[Bars]:
    """Bars cut where the distance to the next changes by more than a share of the pitch."""
    if len(centre) < 4:
        return []
    distance = np.diff(centre)
    pitch = float(np.median(distance))
    regular = np.abs(distance / pitch - 1) < 0.6
    even = np.abs(np.diff(distance)) < _REGULAR * pitch
    regular[1:] &= even | ~regular[:-1]
    cuts = np.concatenate([[-1], np.flatnonzero(~regular), [len(centre) - 1]])
    runs = [np.s_[start + 1 : end + 1] for start, end in pairwise(cuts)]
    return [Bars(centre[run], width[run]) for run in runs if run.stop - run.start >= 4]


@dataclass(frozen=True, slots=True)
class CodePlace:
    """Where a piece of the code lies: bar number of the first bar seen; bars count down when mirrored."""

    first_bar: int
    mirrored: bool

    def numbers(self, count: int) -> NDArray[np.int64]:
        """Bar numbers of `count` bars in the order seen, int64 (count,)."""
        return self.first_bar + (-1 if self.mirrored else 1) * np.arange(count)


def locate(seen: NDArray[np.bool_], code: NDArray[np.bool_]) -> CodePlace | None:
    """Place of `seen` in `code`, forward or mirrored; None when it is too short, wrong or ambiguous.

    One bar in twelve may be misread; the second-best place must be wrong in three more.
    """
    count = len(seen)
    if count < LEAST_BARS or count > len(code):
        return None
    windows = np.lib.stride_tricks.sliding_window_view(code, count)
    wrong = np.concatenate([(windows != seen).sum(axis=1), (windows != seen[::-1]).sum(axis=1)])
    order = np.argsort(wrong, kind="stable")
    best = int(order[0])
    if wrong[best] > count // 12 - 1 or (len(order) > 1 and wrong[order[1]] < wrong[best] + 3):
        return None
    mirrored = best >= len(windows)
    start = best % len(windows)
    return CodePlace(start + count - 1 if mirrored else start, mirrored)
