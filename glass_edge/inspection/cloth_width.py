"""The live width of the cloth, selvedge to selvedge.

Promises: a width is told only where both selvedges are seen; least, mean and greatest are over all lines of the roll
on which it was.
"""

from __future__ import annotations

from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.fabric.roll import WidthFigures


class ClothWidth:
    """Collects the width over one roll.

    Args:
        scale: size of a pixel.
    """

    def __init__(self, scale: WebScale) -> None:
        self._scale = scale
        self._sum_mm = 0.0
        self._lines = 0
        self._least_mm = float("inf")
        self._greatest_mm = 0.0
        self.now_mm: float | None = None

    def add(self, cloth: ClothSpan, image_width_px: int, n_lines: int) -> None:
        """`n_lines` lines with the cloth at `cloth`; it fills the line where it reaches both ends of it."""
        if n_lines == 0:
            return
        if cloth.left_px == 0 or cloth.right_px >= image_width_px:
            self.now_mm = None
            return
        width_mm = self.now_mm = self._scale.across_mm(cloth.left_px, cloth.right_px)
        self._sum_mm += width_mm * n_lines
        self._lines += n_lines
        self._least_mm = min(self._least_mm, width_mm)
        self._greatest_mm = max(self._greatest_mm, width_mm)

    @property
    def figures(self) -> WidthFigures | None:
        """Over the roll so far; None where no line showed both selvedges."""
        if self._lines == 0:
            return None
        return WidthFigures(self._sum_mm / self._lines, self._least_mm, self._greatest_mm)
