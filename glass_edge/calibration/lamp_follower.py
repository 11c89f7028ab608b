"""A camera's flat field that follows the lamp while the camera runs, and remembers it.

Promises: what is known of the lamp survives a restart (written at the end of a run, when a level was learnt and when
the gain has moved by 1 %, never more often than that); a lamp beyond what is followed is told once, and once when it is
over; that the memory cannot be written is told once and stops nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.flat_field import FlatField
from glass_edge.calibration.lamp_drift import DriftingFlatField, DriftSettings
from glass_edge.calibration.lamp_memory import load_memory
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan

_MOVED = 0.01
_WEAK = 0.1  # a gain so far from 1 is worth a word at the start


class LampFollower:
    """Corrects the lines of one camera; used by one thread.

    Args:
        flat: the camera's flat field.
        path: of the memory.
        span: says where the cloth lies in the camera's line, when a run begins; None: the whole line.
        style: of the cloth.
        settings: how the lamp is followed.

    Raises:
        InputError: the memory is damaged.
    """

    def __init__(
        self,
        flat: FlatField,
        path: Path,
        *,
        span: Callable[[], ClothSpan | None],
        style: str = "",
        settings: DriftSettings | None = None,
    ) -> None:
        self._flat, self._path, self._span_of, self._style = flat, path, span, style
        self._set = settings or DriftSettings()
        self._faults: list[str] = []
        self._take_up()

    def _take_up(self) -> None:
        self._span = self._span_of()
        self._memory = load_memory(self._path, self._flat.sha256)
        self._kept = self._memory.known(self._span, self._style)
        self.drift = DriftingFlatField(self._flat, self._span, self._set, self._kept)
        self._steps = 0
        self._has_told_bound = self._has_told_blind = self._has_told_disk = False

    def begin(self) -> None:
        """A run begins, with what the last one knew."""
        self._take_up()
        self._faults = []
        if abs(1.0 - self.drift.gain) > _WEAK:
            self._faults.append(
                f"the lamp gave {100 / self.drift.gain:.0f} % of its first light when the last run ended; it is "
                "made up for, but plan its change"
            )

    def apply(self, lines: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Next lines, corrected; see `FlatField.apply`."""
        out = self.drift.apply(lines)
        if self.drift.steps != self._steps:
            self._steps = self.drift.steps
            self._tell()
            self._keep(_MOVED)
        return out

    def take_faults(self) -> tuple[str, ...]:
        """What is wrong with the lamp, a sentence each; once."""
        told, self._faults = tuple(self._faults), []
        return told

    def end(self) -> None:
        """The run ends; what is known is kept."""
        self._keep(0.0)

    def _tell(self) -> None:
        drift = self.drift
        if drift.at_bound != self._has_told_bound and (light := drift.light) is not None:
            self._has_told_bound = drift.at_bound
            self._faults.append(
                f"the lamp has drifted to {100 * light:.0f} % of its light and up to {100 * self._set.most:.0f} % are "
                "made up for: measure the flat field again, or change the lamp"
                if drift.at_bound
                else f"the lamp gives {100 * light:.0f} % of its light and is made up for again"
            )
        if drift.is_blind != self._has_told_blind:
            self._has_told_blind = drift.is_blind
            what = "cloth" if drift.follows != "beside" else "picture beside the cloth"
            self._faults.append(
                f"the {what} is black or saturated and the lamp cannot be followed: look at lamp and exposure"
                if drift.is_blind
                else "the lamp is followed again"
            )

    def _keep(self, least_move: float) -> None:
        known, kept = self.drift.known, self._kept
        levels, had = (known.beside_dn, known.cloth_dn), (kept.beside_dn, kept.cloth_dn)
        if levels == had and abs(known.gain / kept.gain - 1.0) <= least_move:
            return
        self._kept = known
        self._memory = self._memory.learnt(known, self._span, self._style)
        try:
            self._memory.save(self._path)
        except (InputError, OSError) as error:
            if not self._has_told_disk:
                self._faults.append(f"what is known of the lamp cannot be kept for the next start: {error}")
            self._has_told_disk = True
