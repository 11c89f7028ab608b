"""What a picture of the target says: which bar and which line of the ladder is seen where.

Promises: every point is a bar or a line whose number is known from the code or the wide middle line, measured in a thin
strip of the picture; what lies around the target (cloth, table, hands) gives no points. Nothing is fitted here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.bars import Bars, find_bars, locate
from glass_edge.calibration.target import LADDER_NARROW, LADDER_WIDE, Target

_MOST_STRIPS = 400
_STRIP_LINES, _STRIP_PX = 4, 16


@dataclass(frozen=True, slots=True)
class Points:
    """Numbered marks; three arrays (n,).

    Attributes:
        number: bar or line of the target; int64.
        column_px: place along the camera's line, float64.
        line_px: place along the web, float64.
    """

    number: NDArray[np.int64]
    column_px: NDArray[np.float64]
    line_px: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.number)


@dataclass(frozen=True, slots=True)
class Reading:
    """All marks of a picture; `mirrored` when bars count down with the columns."""

    bars: Points
    ladder: Points
    mirrored: bool


def read_target(image: NDArray[np.uint8], target: Target) -> Reading:
    """Marks of `target` in a picture, uint8 (n_lines, width) grey or (n_lines, width, 3) RGB."""
    grey = image if image.ndim == 2 else image.mean(axis=2)
    found: list[tuple[NDArray[np.int64], Bars, float]] = []
    forward = 0
    for profile, line in _strips(grey, _STRIP_LINES):
        for run in find_bars(profile):
            place = locate(run.wide(), target.bits) if len(run) >= 4 else None
            if place is not None:
                found.append((place.numbers(len(run)), run, line))
                forward += -len(run) if place.mirrored else len(run)
    mirrored = forward < 0
    agreeing = [one for one in found if (one[0][0] > one[0][-1]) == mirrored]
    ladder: list[tuple[NDArray[np.int64], Bars, float]] = []
    for profile, column in _strips(grey.T, _STRIP_PX):
        for run in find_bars(profile):
            numbers = _ladder_numbers(run, target)
            if numbers is not None:
                ladder.append((numbers, run, column))
    across, along = _join(agreeing), _join(ladder)
    return Reading(
        bars=Points(across[0], across[1], across[2]), ladder=Points(along[0], along[2], along[1]), mirrored=mirrored
    )


def _strips(grey: NDArray[np.generic], thickness: int) -> Iterator[tuple[NDArray[np.float64], float]]:
    """Mean profiles of strips of rows, with the middle of each, at most so many."""
    count = len(grey) // thickness
    for number in np.unique(np.linspace(0, count - 1, min(count, _MOST_STRIPS)).astype(np.int64)):
        top = int(number) * thickness
        yield grey[top : top + thickness].mean(axis=0, dtype=np.float64), top + thickness / 2


def _ladder_numbers(run: Bars, target: Target) -> NDArray[np.int64] | None:
    """Line numbers from the one wide line, None when there is not exactly one."""
    share = run.width_px / run.pitch_px
    narrow = float(np.median(share))
    wide = np.flatnonzero(share > narrow + 0.5 * (LADDER_WIDE - LADDER_NARROW))
    if (
        len(wide) != 1
        or len(run) > target.ladder_lines
        or np.abs(np.diff(run.centre_px) / run.pitch_px - 1).max() > 0.2
    ):
        return None
    numbers = target.ladder_lines // 2 + np.arange(len(run)) - wide[0]
    return numbers if numbers[0] >= 0 and numbers[-1] < target.ladder_lines else None


def _join(
    parts: list[tuple[NDArray[np.int64], Bars, float]],
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0), np.zeros(0)
    return (
        np.concatenate([numbers for numbers, _, _ in parts]),
        np.concatenate([run.centre_px for _, run, _ in parts]),
        np.concatenate([np.full(len(run), middle) for _, run, middle in parts]),
    )
