"""Where the cloth lies in an image, as a recipe says: found, or at fixed columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from glass_edge.calibration.selvedge import find_cloth_span
from glass_edge.config.recipe_data import NO_FOREGROUND, DataSettings
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan

if TYPE_CHECKING:
    from glass_edge.glass.data import SpanFinder


def cloth_finder(settings: DataSettings) -> SpanFinder:
    """A function of an image, uint8 (lines, width[, 3]), to its cloth, selvedge to selvedge.

    The function raises a GlassEdgeError when no cloth is seen.
    """
    if settings.span != "auto":
        fixed = settings.span.to_span()
        return lambda lines: fixed
    if settings.foreground != NO_FOREGROUND:  # pictures of parts have no selvedges
        return lambda lines: ClothSpan(0, lines.shape[1])

    def find(lines: NDArray[np.uint8]) -> ClothSpan:
        try:
            return find_cloth_span(lines)
        except ValueError as error:
            raise InputError(f"{error}; give fixed columns as data.span") from error

    return find
