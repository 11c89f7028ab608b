"""Lamp drift: a slow gain of the whole line that follows the lamp, within bounds.

Promises: the corrected lines are a function of the lines alone, whatever blocks they came in (levels are taken over
steps at fixed line numbers, and a step is corrected by what the steps before it showed); the gain moves by at most
1 / `settle_steps` of what is missing a step and stays within 1 / (1 + most) to 1 + most; a standing or dark picture
changes nothing.

What is followed: the picture beside the cloth where there is enough of it that is neither black nor saturated (it does
not change with the cloth); else the mean of the cloth itself, which assumes that a style's mean brightness is constant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.flat_field import FlatField
from glass_edge.fabric.geometry import ClothSpan

_EVERY_LINE, _EVERY_PX = 4, 8
_LEAST_BESIDE_PX = 64
_MARGIN_PX = 16  # beside a selvedge there is lint
_BLACK, _SATURATED = 16.0, 245.0


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """How the lamp is followed.

    Attributes:
        step_lines: lines of a step.
        settle_steps: steps in which the gain moves by 63 % of what is missing; also the steps the reference level is
            taken from when none is given.
        most: largest relative change of the lamp that is followed.
        reference_dn: corrected level the line shall keep; None: that of the first steps.
    """

    step_lines: int = 256
    settle_steps: int = 16
    most: float = 0.25
    reference_dn: float | None = None


def beside_cloth(width_px: int, span: ClothSpan | None) -> NDArray[np.int64]:
    """Columns beside the cloth that are far enough from its selvedges, int64 (n,), maybe none."""
    if span is None:
        return np.zeros(0, np.int64)
    columns = np.arange(width_px)
    return np.flatnonzero((columns < span.left_px - _MARGIN_PX) | (columns >= span.right_px + _MARGIN_PX))


class DriftingFlatField:
    """A flat field followed through the lamp's drift; used by one thread, lines in order.

    Args:
        flat: the profile.
        span: where the cloth lies; None: the whole line shows cloth.
        settings: see `DriftSettings`.
    """

    def __init__(self, flat: FlatField, span: ClothSpan | None = None, settings: DriftSettings | None = None) -> None:
        self._flat = flat
        self._set = settings or DriftSettings()
        self._reference = self._set.reference_dn
        self._beside = beside_cloth(flat.width_px, span)[::_EVERY_PX]
        inside = slice(0, flat.width_px) if span is None else slice(span.left_px, min(span.right_px, flat.width_px))
        self._cloth = np.arange(flat.width_px)[inside][::_EVERY_PX]
        self._seen: list[NDArray[np.uint8]] = []
        self._first: list[float] = []
        self._line = 0
        self._on_beside: bool | None = None
        self.gain = 1.0

    @property
    def reference_dn(self) -> float | None:
        """Level that is kept, None while it is still learnt; keep it to start again with it."""
        return self._reference

    @property
    def at_bound(self) -> bool:
        """The lamp has drifted further than may be followed: measure the flat field again, or change the lamp."""
        most = 1.0 + self._set.most
        return self.gain >= 0.999 * most or self.gain <= 1.001 / most

    def apply(self, lines: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Next lines, corrected; uint8 of the same shape (see `FlatField.apply`)."""
        parts, top = [], 0
        while top < len(lines):
            room = self._set.step_lines - self._line % self._set.step_lines
            part = lines[top : top + room]
            parts.append(self._flat.apply(part, self.gain))
            self._seen.append(part[(-self._line) % _EVERY_LINE :: _EVERY_LINE].copy())
            self._line += len(part)
            top += len(part)
            if self._line % self._set.step_lines == 0:
                self._end_step()
        return np.concatenate(parts) if len(parts) != 1 else parts[0]

    def _end_step(self) -> None:
        level = self._level(self._flat.apply(np.concatenate(self._seen)))
        self._seen.clear()
        if level is None:
            return
        if self._reference is None:
            self._first.append(level)
            if len(self._first) >= self._set.settle_steps:
                self._reference = float(np.median(self._first))
            return
        most = 1.0 + self._set.most
        wanted = float(np.clip(self._reference / level, 1.0 / most, most))
        self.gain += (wanted - self.gain) / self._set.settle_steps

    def _level(self, lines: NDArray[np.uint8]) -> float | None:
        """Level of what is followed, None when the picture says nothing."""
        if self._on_beside is None:
            beside = _usable(lines[:, self._beside]) if len(self._beside) * _EVERY_PX >= _LEAST_BESIDE_PX else None
            self._on_beside = beside is not None
        return _usable(lines[:, self._beside if self._on_beside else self._cloth])


def _usable(values: NDArray[np.uint8]) -> float | None:
    level = float(values.mean(dtype=np.float64))
    return level if _BLACK <= level <= _SATURATED else None
