"""What grading and the stop rules need of a defect.

Promises: a `Fault` is a place, a size and what kind of fault it is, nothing else; it can be made from a defect of the
running inspection or from a journal's event, and is judged alike.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from glass_edge.fabric.defect import Defect, DefectShape


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault as it is judged.

    Attributes:
        defect_id: id of the defect, unique within the roll.
        shape: geometric class.
        across_mm: left edge, mm from the left selvedge.
        along_mm: start along the roll, mm from the roll's first line.
        width_mm: extent across the web, mm.
        length_mm: extent along the web, mm.
        is_hole: whether the cloth is open there.
        is_running: whether it goes on along the cloth, whatever its length (a missing end, a selvedge that is wrong).
        merged_into: id of the older defect that it grew together with and that includes it; None otherwise.
        askew_mm: longer side of the smallest rectangle around it, however that lies, mm; None: not measured.
    """

    defect_id: int
    shape: DefectShape
    across_mm: float
    along_mm: float
    width_mm: float
    length_mm: float
    is_hole: bool = False
    is_running: bool = False
    merged_into: int | None = None
    askew_mm: float | None = None

    def __post_init__(self) -> None:
        numbers = (self.across_mm, self.along_mm, self.width_mm, self.length_mm, self.askew_mm or 0.0)
        if not all(map(math.isfinite, numbers)) or min(numbers[2:]) < 0:
            raise ValueError(f"defect {self.defect_id} has no possible place and size in mm: {numbers}")

    @classmethod
    def of(cls, defect: Defect, *, is_running: bool = False) -> Fault:
        """The fault that `defect` is at this moment.

        Its own `is_running`, a length that the station set, does not go in: table and stop rules have lengths of their
        own.
        """
        box = defect.box_mm
        return cls(
            defect_id=defect.defect_id,
            shape=defect.shape,
            across_mm=box.across_mm,
            along_mm=box.along_mm,
            width_mm=box.width_mm,
            length_mm=box.length_mm,
            is_hole=defect.is_hole,
            is_running=is_running,
            merged_into=defect.merged_into,
            askew_mm=None if defect.oriented is None else defect.oriented.length_mm,
        )

    @property
    def longest_mm(self) -> float:
        """Longest side, mm."""
        return max(self.width_mm, self.length_mm, self.askew_mm or 0.0)

    @property
    def right_mm(self) -> float:
        """Right edge, mm from the left selvedge."""
        return self.across_mm + self.width_mm

    @property
    def end_mm(self) -> float:
        """End along the roll, mm."""
        return self.along_mm + self.length_mm

    @property
    def centre_across_mm(self) -> float:
        """Middle of the extent across, mm from the left selvedge."""
        return self.across_mm + self.width_mm / 2

    @property
    def centre_along_mm(self) -> float:
        """Middle of the extent along the roll, mm."""
        return self.along_mm + self.length_mm / 2
