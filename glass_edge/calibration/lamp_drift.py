"""Lamp drift: a slow gain of the whole line that follows the lamp, within bounds.

Promises: the corrected lines are a function of the lines and of what was known of the lamp before, whatever blocks they
came in (levels are taken over steps at fixed line numbers, and a step is corrected by what the steps before it showed);
the gain moves by at most 1 / `settle_steps` of what is missing a step and stays within what makes up for `most` more or
less light; a standing or dark picture changes nothing. Lines that were lost are no lines: steps count those that came.

What is followed: the picture beside the cloth where there is enough of it that is neither black nor saturated (it does
not change with the cloth); else the mean of the cloth itself, which assumes that a style's mean brightness is constant.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from statistics import median
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.flat_field import FlatField
from glass_edge.fabric.geometry import ClothSpan

Follows = Literal["beside", "cloth"]
"""What is followed: the picture beside the cloth, or the cloth."""
_EVERY_LINE, _EVERY_PX = 4, 8
_LEAST_BESIDE_PX = 64
_MARGIN_PX = 16  # beside a selvedge there is lint
_BLACK, _SATURATED = 16.0, 245.0
_WITHIN = 0.98  # a lamp is over its bound until it is so far within it


@dataclass(frozen=True, slots=True)
class DriftSettings:
    """How the lamp is followed.

    Attributes:
        step_lines: lines of a step.
        settle_steps: steps in which the gain moves by 63 % of what is missing; also the steps the reference level is
            taken from when none is known, and twice those after which the lamp is judged.
        most: largest relative change of the light that is made up for.
    """

    step_lines: int = 256
    settle_steps: int = 16
    most: float = 0.25

    @property
    def gains(self) -> tuple[float, float]:
        """Least and largest gain."""
        return 1.0 / (1.0 + self.most), 1.0 / (1.0 - self.most)


@dataclass(frozen=True, slots=True)
class KnownLamp:
    """What is known of a lamp; keep it to start again with it.

    Attributes:
        gain: that makes up for the lamp.
        beside_dn: corrected level that the picture beside the cloth shall keep; None: not known.
        cloth_dn: the same of the cloth; it is the style's.
    """

    gain: float = 1.0
    beside_dn: float | None = None
    cloth_dn: float | None = None


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
        span: where the cloth lies; None: the whole line is followed as cloth.
        settings: see `DriftSettings`.
        known: of the lamp before; the levels of this span and style.
    """

    def __init__(
        self,
        flat: FlatField,
        span: ClothSpan | None = None,
        settings: DriftSettings | None = None,
        known: KnownLamp | None = None,
    ) -> None:
        self._flat = flat
        self._set = settings or DriftSettings()
        known = known or KnownLamp()
        self.gain = float(np.clip(known.gain, *self._set.gains))
        self._references: dict[Follows, float | None] = {"beside": known.beside_dn, "cloth": known.cloth_dn}
        beside = beside_cloth(flat.width_px, span)
        inside = slice(0, flat.width_px) if span is None else slice(span.left_px, min(span.right_px, flat.width_px))
        self._columns: dict[Follows, NDArray[np.int64]] = {
            "beside": beside[::_EVERY_PX] if len(beside) >= _LEAST_BESIDE_PX else beside[:0],
            "cloth": np.arange(flat.width_px)[inside][::_EVERY_PX],
        }
        self._seen: list[NDArray[np.uint8]] = []
        self._first: list[float] = []
        self._lights: deque[float] = deque(maxlen=max(1, self._set.settle_steps // 2))
        self._line = 0
        self._blind_steps = 0
        self._at_bound = False
        can_beside = len(self._columns["beside"]) > 0 and known.beside_dn is not None
        self.follows: Follows | None = "beside" if can_beside else None
        """What is followed; None before the first picture that says something."""

    @property
    def steps(self) -> int:
        """Steps that ended."""
        return self._line // self._set.step_lines

    @property
    def known(self) -> KnownLamp:
        """What is known of the lamp now; levels are None while they are learnt."""
        return KnownLamp(self.gain, self._references["beside"], self._references["cloth"])

    @property
    def light(self) -> float | None:
        """Light of the lamp against what it gave at its reference level; None until enough steps were seen."""
        return median(self._lights) if len(self._lights) == self._lights.maxlen else None

    @property
    def at_bound(self) -> bool:
        """The lamp has drifted further than may be followed: measure the flat field again, or change the lamp."""
        return self._at_bound

    @property
    def is_blind(self) -> bool:
        """What is followed has been black or saturated for `settle_steps`."""
        return self._blind_steps >= self._set.settle_steps

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
        if not parts:
            return self._flat.apply(lines)
        return np.concatenate(parts) if len(parts) != 1 else parts[0]

    def _end_step(self) -> None:
        level = self._level(np.concatenate(self._seen))
        self._seen.clear()
        self._blind_steps = self._blind_steps + 1 if level is None else 0
        if level is None or self.follows is None:
            return
        reference = self._references[self.follows]
        if reference is None:
            # A lamp that is made up for already is weak, and the level wanted is that of the lamp it was.
            self._first.append(level * self.gain)
            if len(self._first) >= self._set.settle_steps:
                self._references[self.follows] = float(np.median(self._first))
            return
        wanted = float(np.clip(reference / level, *self._set.gains))
        self.gain += (wanted - self.gain) / self._set.settle_steps
        self._lights.append(level / reference)
        if (light := self.light) is not None:
            self._at_bound = abs(light - 1.0) > self._set.most * (_WITHIN if self._at_bound else 1.0)

    def _level(self, lines: NDArray[np.uint8]) -> float | None:
        """Level of what is followed under the flat field alone, None when the picture says nothing."""
        if self.follows is not None:
            return self._usable(lines, self._columns[self.follows])
        choices: tuple[Follows, ...] = ("beside", "cloth")
        for choice in choices:
            if (level := self._usable(lines, self._columns[choice])) is not None:
                self.follows = choice
                return level
        return None

    def _usable(self, lines: NDArray[np.uint8], columns: NDArray[np.int64]) -> float | None:
        if not len(columns):
            return None
        raw = lines[:, columns].reshape(len(lines), len(columns), -1)
        values = (raw - self._flat.dark_dn[columns]) * self._flat.gain[columns]
        level = float(np.clip(values, 0, 255).mean(dtype=np.float64))
        return level if _BLACK <= level <= _SATURATED else None
