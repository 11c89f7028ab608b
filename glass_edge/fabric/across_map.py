"""Where columns lie across the web when pixels are not all of one width: a lens, or several cameras.

Promises: millimetres grow strictly with the column; between two knots, and beyond the outermost, the map is straight;
`column_px` is its inverse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True, eq=False)
class AcrossMap:
    """A piecewise straight map from columns to millimetres.

    Attributes:
        columns_px: float64 (n,), n from 2, growing; a column counts from the left edge of pixel 0.
        places_mm: float64 (n,), growing; the origin is of no account, only differences are used.
    """

    columns_px: NDArray[np.float64]
    places_mm: NDArray[np.float64]

    def __post_init__(self) -> None:
        columns, places = self.columns_px, self.places_mm
        if columns.ndim != 1 or columns.shape != places.shape or columns.size < 2:
            raise ValueError(f"knots of shapes {columns.shape} and {places.shape}: two lists of equal length from 2")
        if not (np.isfinite(columns).all() and np.isfinite(places).all()):
            raise ValueError("a knot of the map across the web is no number")
        if (np.diff(columns) <= 0).any() or (np.diff(places) <= 0).any():
            raise ValueError("the map across the web must grow from knot to knot")

    def across_mm(self, columns_px: ArrayLike) -> NDArray[np.float64]:
        """Millimetres of columns, any shape."""
        return _straight(np.asarray(columns_px, np.float64), self.columns_px, self.places_mm)

    def column_px(self, across_mm: ArrayLike) -> NDArray[np.float64]:
        """Columns of millimetres, any shape."""
        return _straight(np.asarray(across_mm, np.float64), self.places_mm, self.columns_px)


def _straight(
    values: NDArray[np.float64], knots: NDArray[np.float64], targets: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Linear interpolation that goes on straight beyond the ends."""
    piece = np.clip(np.searchsorted(knots, values, side="right") - 1, 0, knots.size - 2)
    slope = (targets[piece + 1] - targets[piece]) / (knots[piece + 1] - knots[piece])
    return np.asarray(targets[piece] + (values - knots[piece]) * slope)
