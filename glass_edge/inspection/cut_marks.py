"""Cut marks: a line across the whole cloth ends the roll, where the station says so.

Promises: each mark begins one roll, behind it; the rolls are named after the first one, numbered from 2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from glass_edge.fabric.defect import Defect, DefectShape


class CutMarks:
    """Used by the defects thread.

    Args:
        share: of the cloth's width that a weft line reaches over at least; None: no line is a cut mark.
        roll_id: of the first roll.
        begin_roll: has a roll of a name begin at a web line or soon after.
    """

    def __init__(self, share: float | None, roll_id: str, begin_roll: Callable[[int, str], int]) -> None:
        self._share = share
        self._first_roll_id = roll_id
        self._begin_roll = begin_roll
        self._last_id = 0
        self._count = 0

    def roll_started(self) -> None:
        """Defects count anew."""
        self._last_id = 0

    def mark(self, defect: Defect, cloth_width_mm: float, next_line: int) -> Defect:
        """The defect, flagged where it is a cut mark; its roll begins at `next_line`."""
        if self._share is None or defect.shape is not DefectShape.WEFT_LINE:
            return defect
        if defect.box_mm.width_mm < self._share * cloth_width_mm:
            return defect
        if defect.defect_id != self._last_id:
            self._last_id = defect.defect_id
            self._count += 1
            self._begin_roll(next_line, f"{self._first_roll_id}-{self._count + 1}")
        return replace(defect, is_cut_mark=True)
