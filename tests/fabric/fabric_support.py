"""What the tests of the fabric layer share."""

from __future__ import annotations

import numpy as np

from glass_edge.fabric.defect import DefectShape, oriented_shape
from glass_edge.fabric.oriented_box import smallest_box


def shape_of(width_mm: float, length_mm: float) -> DefectShape:
    """Class of a mark that fills an upright box, mm."""
    corners = np.array([(0, 0), (width_mm, 0), (width_mm, length_mm), (0, length_mm)], np.float64)
    return oriented_shape(smallest_box(corners), width_mm, length_mm)
