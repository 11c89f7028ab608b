"""What every source of cloth offers the renderer.

Promises: a source is a pure function of place: radiance at (line, column) never depends on what was asked before;
column 0 is the left selvedge; radiance is relative to a white reference, before lamps, lens and camera.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class DefectKind(StrEnum):
    """Faults the simulator can put into cloth."""

    BROKEN_PICK = "broken_pick"
    MISSING_END = "missing_end"
    SLUB = "slub"
    HOLE = "hole"
    STAIN = "stain"
    FLOAT = "float"


@dataclass(frozen=True, slots=True)
class Patch:
    """Lines [top, bottom) and cloth columns [left, right) of a source."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def lines(self) -> NDArray[np.int64]:
        """Line numbers, int64 (n_lines,)."""
        return np.arange(self.top, self.bottom, dtype=np.int64)

    @property
    def columns(self) -> NDArray[np.int64]:
        """Column numbers, int64 (n_columns,)."""
        return np.arange(self.left, self.right, dtype=np.int64)

    @property
    def shape(self) -> tuple[int, int]:
        """(lines, columns)."""
        return self.bottom - self.top, self.right - self.left

    def overlap(self, other: Patch) -> Patch | None:
        """The common part, or None."""
        top, bottom = max(self.top, other.top), min(self.bottom, other.bottom)
        left, right = max(self.left, other.left), min(self.right, other.right)
        return Patch(top, bottom, left, right) if top < bottom and left < right else None


@dataclass(frozen=True, slots=True)
class Fault:
    """A defect's place in cloth pixels: lines [top, bottom), columns [left, right), fractions allowed.

    Attributes:
        kind: what it is.
        top: first line.
        bottom: line after the last.
        left: first column from the left selvedge.
        right: column after the last.
        key: stream of its own random numbers (ragged edges, shading).
    """

    kind: DefectKind
    top: float
    bottom: float
    left: float
    right: float
    key: int

    def reach(self, margin_px: int) -> Patch:
        """Whole pixels that the fault may touch, with a margin all around."""
        return Patch(
            int(np.floor(self.top)) - margin_px,
            int(np.ceil(self.bottom)) + margin_px,
            int(np.floor(self.left)) - margin_px,
            int(np.ceil(self.right)) + margin_px,
        )


class ClothSource(Protocol):
    """Endless cloth of a fixed width."""

    pick_lines: float
    """Distance of two weft yarns, lines."""
    end_px: float
    """Distance of two warp yarns, px."""

    def snap(self, fault: Fault) -> Fault:
        """The fault moved onto whole yarns where it is made of missing or raised yarns."""

    def render(self, patch: Patch, fault: Fault | None = None) -> NDArray[np.float32]:
        """Radiance float32 (patch.shape), 0 (black) to about 1; with `fault`, as the fault at full strength looks."""
