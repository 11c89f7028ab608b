"""Where things are on the web.

Promises: `across_mm` counts from the left selvedge, `along_mm` from the roll's first line; a position goes through the
map across the web where there is one.
"""

from __future__ import annotations

from dataclasses import dataclass

from glass_edge.fabric.across_map import AcrossMap


@dataclass(frozen=True, slots=True)
class WebScale:
    """Size of a pixel on the cloth.

    Attributes:
        mm_per_px: mean width of a pixel across the web, mm.
        mm_per_line: advance of the cloth between two camera lines, mm.
        across: where columns lie when their pixels are not all of that width (a lens, several cameras); None: they are.
    """

    mm_per_px: float
    mm_per_line: float
    across: AcrossMap | None = None

    def __post_init__(self) -> None:
        for name, value in (("mm_per_px", self.mm_per_px), ("mm_per_line", self.mm_per_line)):
            if not 0.0 < value < 1000.0:
                raise ValueError(f"{name} is {value}; a size in mm above 0 and below 1000 is needed")

    def across_mm(self, left_px: float, right_px: float) -> float:
        """Way across the web from column `left_px` to column `right_px`, mm; negative when right lies left of left."""
        if self.across is None:
            return (right_px - left_px) * self.mm_per_px
        left, right = self.across.across_mm([left_px, right_px])
        return float(right - left)


@dataclass(frozen=True, slots=True)
class ClothSpan:
    """Columns of the camera line that show cloth: [left_px, right_px)."""

    left_px: int
    right_px: int

    def __post_init__(self) -> None:
        if not 0 <= self.left_px < self.right_px:
            raise ValueError(f"cloth span [{self.left_px}, {self.right_px}) is empty or negative")

    @property
    def width_px(self) -> int:
        """Width of the cloth in pixels."""
        return self.right_px - self.left_px


@dataclass(frozen=True, slots=True)
class WebBox:
    """Axis-aligned box on the web, pixel edges: columns [left_px, right_px), web lines [first_line, end_line)."""

    left_px: int
    right_px: int
    first_line: int
    end_line: int

    def __post_init__(self) -> None:
        if self.right_px <= self.left_px or self.end_line <= self.first_line:
            raise ValueError(f"empty box {self}")

    def union(self, other: WebBox) -> WebBox:
        """Smallest box that holds both."""
        return WebBox(
            min(self.left_px, other.left_px),
            max(self.right_px, other.right_px),
            min(self.first_line, other.first_line),
            max(self.end_line, other.end_line),
        )


@dataclass(frozen=True, slots=True)
class MmBox:
    """A box in millimetres: across from the left selvedge, along from the start of the roll."""

    across_mm: float
    along_mm: float
    width_mm: float
    length_mm: float


def to_mm(box: WebBox, scale: WebScale, *, left_selvedge_px: int, roll_first_line: int) -> MmBox:
    """Millimetre box of a pixel box, seen from the left selvedge and the roll's first line."""
    return MmBox(
        across_mm=scale.across_mm(left_selvedge_px, box.left_px),
        along_mm=(box.first_line - roll_first_line) * scale.mm_per_line,
        width_mm=scale.across_mm(box.left_px, box.right_px),
        length_mm=(box.end_line - box.first_line) * scale.mm_per_line,
    )
