"""A roll of cloth: the stretch of web that becomes one piece.

Promises: metres inspected and metres reported as not inspected add up to the metres woven.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Roll:
    """Identity of the roll being woven.

    Attributes:
        roll_id: name given by the mill (barcode, order and piece number).
        style: fabric style, the name of the recipe.
        first_line: web line number at which the roll starts.
    """

    roll_id: str
    style: str
    first_line: int


@dataclass(frozen=True, slots=True)
class WidthFigures:
    """Width of the cloth over a roll, selvedge to selvedge, mm."""

    mean_mm: float
    least_mm: float
    greatest_mm: float


@dataclass(frozen=True, slots=True)
class RollTotals:
    """Sums over a roll; lengths in camera lines so that they add up exactly.

    Attributes:
        width: where both selvedges were seen; None: nowhere.
    """

    lines_woven: int
    lines_inspected: int
    lines_missed: int
    defects: int
    width: WidthFigures | None = None

    def __post_init__(self) -> None:
        if self.lines_inspected + self.lines_missed != self.lines_woven:
            raise ValueError(
                f"{self.lines_inspected} lines inspected + {self.lines_missed} missed are not {self.lines_woven} woven"
            )
