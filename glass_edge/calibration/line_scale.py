"""Where a camera's columns lie in millimetres.

Promises: `across_mm` grows strictly with the column (a map that does not is refused when it is made or read); from
one bar before to one bar after those that were measured it is a polynomial, beyond it goes on straight; `column_px` is
its inverse to 1e-3 px; a column counts from the left edge of pixel 0 (pixel i covers i to i + 1), as in
`fabric.geometry`.

Millimetres are those of the target: cameras that saw the same target at the same place share them. Where the bars count
down with the columns, millimetres are counted backwards from the first bar and `mirrored` is set.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import Field, model_validator

from glass_edge.calibration.documents import load_document
from glass_edge.config.base import Settings
from glass_edge.fabric.across_map import AcrossMap
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.files import write_json

_STRAIGHT_MM = 1e-3


class LineScale(Settings):
    """Scale of one camera."""

    format: Literal[1] = 1
    """Version of this file."""
    kind: Literal["line-scale"] = "line-scale"
    """What the file is."""
    width_px: int = Field(ge=64, le=65536)
    """Pixels of the line."""
    mm_per_px: float = Field(gt=0, lt=10)
    """Mean width of a pixel across the web: what belongs into [web] mm_per_px."""
    mm_per_line: float = Field(gt=0, lt=10)
    """Advance between two lines: what belongs into [web] mm_per_line."""
    coefficients: tuple[float, ...] = Field(min_length=2, max_length=8)
    """Polynomial of u = 2 column / width_px - 1, lowest power first, mm."""
    first_px: float
    """Column from which the polynomial holds: one bar before the leftmost that was measured."""
    last_px: float
    """Column up to which it holds."""
    mirrored: bool = False
    """Bars count down with the columns: the picture is mirrored, or the target lay upside down."""
    bars: int = Field(ge=2)
    """Bars measured."""
    residual_rms_px: float = Field(ge=0)
    """Root mean square deviation of the bars from the map."""
    residual_max_px: float = Field(ge=0)
    """Largest deviation of a bar."""
    residual_along_rms_px: float = Field(default=0.0, ge=0)
    """Root mean square deviation of the ladder's lines."""
    rotation_deg: float = 0.0
    """Angle of the target against the camera's line (taken out of the scale)."""
    skew_deg: float = 0.0
    """Angle by which the web's motion is off the perpendicular of the camera's line."""
    camera_model: str = ""
    """Model of the camera."""
    camera_serial: str = ""
    """Its serial number."""
    created_utc: str = ""
    """When it was measured."""
    references: dict[str, str] = Field(default_factory=dict)
    """Name and SHA-256 of the picture and the target."""

    @model_validator(mode="after")
    def _grows(self) -> Self:
        if not 0 <= self.first_px < self.last_px <= self.width_px:
            raise ValueError(f"first_px and last_px must lie in order within 0 to {self.width_px}")
        columns = np.linspace(self.first_px, self.last_px, 2049)
        if (self._slope(columns) <= 0).any():
            raise ValueError("the map from columns to millimetres must grow along the whole line")
        return self

    def _u(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        return 2 * columns / self.width_px - 1

    def _slope(self, columns: NDArray[np.float64]) -> NDArray[np.float64]:
        derivative = np.polynomial.polynomial.polyder(np.array(self.coefficients))
        return np.polynomial.polynomial.polyval(self._u(columns), derivative) * 2 / self.width_px

    def across_mm(self, columns_px: ArrayLike) -> NDArray[np.float64]:
        """Millimetres of columns, any shape."""
        columns = np.asarray(columns_px, dtype=np.float64)
        inside = np.clip(columns, self.first_px, self.last_px)
        curve = np.polynomial.polynomial.polyval(self._u(inside), np.array(self.coefficients))
        return np.asarray(curve + (columns - inside) * self._slope(inside))

    def local_mm_per_px(self, columns_px: ArrayLike) -> NDArray[np.float64]:
        """Width of a pixel at columns, any shape."""
        return self._slope(np.clip(np.asarray(columns_px, dtype=np.float64), self.first_px, self.last_px))

    @cached_property
    def _table(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        columns = np.arange(-4 * self.width_px, 5 * self.width_px + 1, dtype=np.float64)
        return columns, self.across_mm(columns)

    def column_px(self, across_mm: ArrayLike) -> NDArray[np.float64]:
        """Columns of millimetres, any shape; up to four widths beyond the line."""
        columns, places = self._table
        return np.asarray(np.interp(np.asarray(across_mm, dtype=np.float64), places, columns))

    def corrected_px(self, columns_px: ArrayLike) -> NDArray[np.float64]:
        """Where columns would lie through a lens without distortion, the middle of the line staying where it is."""
        middle = self.width_px / 2
        return middle + (self.across_mm(columns_px) - self.across_mm(middle)) / self.mm_per_px

    def width_mm(self, span: ClothSpan) -> float:
        """Width of the cloth between its selvedges, mm."""
        left, right = self.across_mm([span.left_px, span.right_px])
        return float(right - left)

    def to_across_map(self) -> AcrossMap:
        """The map as straight pieces, within 1e-3 mm of it everywhere; beyond the line they go on straight."""
        columns = knots(self, 0, self.width_px)
        return AcrossMap(columns, self.across_mm(columns))

    @property
    def web_scale(self) -> WebScale:
        """The mean scale as the domain knows it."""
        return WebScale(self.mm_per_px, self.mm_per_line)

    def save(self, path: Path) -> None:
        """Write it as JSON, atomically."""
        write_json(path, self.model_dump(mode="json"))


def knots(scale: LineScale, first_px: int, end_px: int) -> NDArray[np.float64]:
    """Columns from `first_px` to `end_px`, float64 (n,), between which the map may be taken for straight (1e-3 mm).

    Pieces are halved until the largest deviation at any column is below half of that.
    """
    columns = np.arange(first_px, end_px + 1, dtype=np.float64)
    places = scale.across_mm(columns)
    pieces = 1
    while True:
        chosen = np.unique(np.round(np.linspace(first_px, end_px, pieces + 1)))
        off = np.abs(np.interp(columns, chosen, places[(chosen - first_px).astype(np.int64)]) - places)
        if off.max() < _STRAIGHT_MM / 2 or pieces >= end_px - first_px:
            return np.asarray(chosen)
        pieces *= 2


def load_scale(path: Path) -> LineScale:
    """Read a camera's scale.

    Raises:
        InputError: missing, or no scale.
    """
    remedy = "measure it with `glass-edge calibrate scale`"
    return load_document(path, LineScale, what="a camera's scale", remedy=remedy)
