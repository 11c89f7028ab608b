"""The smallest rectangle around a fault, however it lies.

Promises: holds all points; its longer side is the length; the direction is given only where one side is clearly longer.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

DIRECTED_ASPECT = 1.5


@dataclass(frozen=True, slots=True)
class OrientedBox:
    """A rectangle of any direction.

    Attributes:
        length_mm, width_mm: longer and shorter side.
        direction_deg: of the longer side against the warp, above -90 to 90: 0 along the web, positive where it leans to
            the right going along; None where the sides differ by less than `DIRECTED_ASPECT`.
    """

    length_mm: float
    width_mm: float
    direction_deg: float | None


def smallest_box(points_mm: NDArray[np.float64]) -> OrientedBox:
    """Smallest rectangle around points.

    Rotating callipers (Toussaint, 1983): one side lies on an edge of the convex hull.

    Args:
        points_mm: float64 (n, 2), n from 1: across, along.
    """
    centre = (points_mm.min(axis=0) + points_mm.max(axis=0)) / 2  # float32 inside OpenCV
    corners = cv2.boxPoints(cv2.minAreaRect((points_mm - centre).astype(np.float32))).astype(np.float64)
    first, second = corners[1] - corners[0], corners[2] - corners[1]
    sides = np.hypot(*first), np.hypot(*second)
    longer = first if sides[0] >= sides[1] else second
    length, width = float(max(sides)), float(min(sides))
    if length < DIRECTED_ASPECT * width or length == 0:
        return OrientedBox(length, width, None)
    direction = float(np.degrees(np.arctan2(longer[0], longer[1])))
    if direction <= -90.0:
        direction += 180.0
    elif direction > 90.0:
        direction -= 180.0
    return OrientedBox(length, width, direction)
