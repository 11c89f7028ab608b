"""Focus and brightness of a picture of cloth, zone by zone across the line.

Promises: pure functions; zones divide the camera's whole line evenly, so the same zone is the same piece of lens and
lamp in every picture; a zone that shows less than half cloth has no figure (NaN).

Sharpness is the root mean square difference of pixels two columns apart over the mean grey: it falls with blur and does
not change with exposure. It compares pictures of one style by one camera; it is no absolute measure.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.fabric.geometry import ClothSpan

ZONES = 16
_SATURATED = 250


@dataclass(frozen=True, slots=True)
class Figures:
    """What a picture is like.

    Attributes:
        mean_grey: of the cloth, 0 to 255.
        saturated_share: share of the cloth's pixels at 250 or above.
        zone_grey: mean of each zone, float64 (ZONES,), NaN where there is no cloth.
        zone_sharpness: sharpness of each zone, float64 (ZONES,), NaN where there is no cloth.
    """

    mean_grey: float
    saturated_share: float
    zone_grey: NDArray[np.float64]
    zone_sharpness: NDArray[np.float64]


def measure_figures(lines: NDArray[np.uint8], span: ClothSpan) -> Figures:
    """Figures of lines, uint8 (n, width) grey or (n, width, 3) RGB, with cloth at `span`.

    Raises:
        ValueError: the span does not lie in the lines or no zone shows enough cloth.
    """
    width = int(lines.shape[1])
    if span.right_px > width or len(lines) == 0:
        raise ValueError(f"cloth at {span.left_px} to {span.right_px} px in {len(lines)} lines of {width} px")
    grey = lines.astype(np.float32) if lines.ndim == 2 else lines.mean(axis=2, dtype=np.float32)
    cloth = lines[:, span.left_px : span.right_px]
    edges = np.linspace(0, width, ZONES + 1)
    levels, sharp = np.full(ZONES, np.nan), np.full(ZONES, np.nan)
    for zone in range(ZONES):
        left, right = max(int(edges[zone]), span.left_px), min(int(edges[zone + 1]), span.right_px)
        if right - left < max(4.0, 0.5 * (edges[zone + 1] - edges[zone])):
            continue
        part = grey[:, left:right]
        levels[zone] = float(part.mean(dtype=np.float64))
        difference = part[:, 2:] - part[:, :-2]
        sharp[zone] = float(np.sqrt(np.mean(difference**2, dtype=np.float64))) / max(levels[zone], 1.0)
    if np.isnan(levels).all():
        raise ValueError("no zone of the line shows enough cloth")
    return Figures(
        mean_grey=float(cloth.mean(dtype=np.float64)),
        saturated_share=float((cloth >= _SATURATED).mean()),
        zone_grey=levels,
        zone_sharpness=sharp,
    )
