"""What a defect looks like beside the cloth around it.

Promises: brightness relative to the cloth, so lamps and exposure do not count; the cloth is what the picture shows away
from every alarmed cell; nothing is said where either is not in the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.inspection.sink import DefectCrop

HOLE_SHARE = 0.2
_LEAST_PX = 16


@dataclass(frozen=True, slots=True)
class Look:
    """Brightness of a defect.

    Attributes:
        contrast: mean brightness of its cells relative to the cloth, less 1.
        darkest: the fifth of its pixels that is darkest has at most this contrast.
        brightest: the fifth that is brightest has at least this.
    """

    contrast: float
    darkest: float
    brightest: float

    def is_hole(self, hole_contrast: float | None) -> bool:
        """Whether a fifth of the defect shows what lies behind the cloth.

        Args:
            hole_contrast: contrast of what lies behind it, below 0 for darker; None: not known.
        """
        if hole_contrast is None:
            return False
        return self.darkest <= hole_contrast if hole_contrast < 0 else self.brightest >= hole_contrast


def look_at(crop: DefectCrop, threshold_logit: float) -> Look | None:
    """Look of the defect in a picture; None where it or the cloth around it is not to be seen.

    Args:
        crop: picture and smoothed scores.
        threshold_logit: cells from here on belong to a defect.
    """
    if crop.logits.size == 0:
        return None
    box, scored = crop.box_px, crop.scores_box_px
    stride = (scored.right_px - scored.left_px) // crop.logits.shape[1]
    known = np.isfinite(crop.logits)
    alarmed = (np.nan_to_num(crop.logits, nan=-np.inf) >= threshold_logit).astype(np.uint8)
    away = known & (cv2.dilate(alarmed, np.ones((5, 5), np.uint8)) == 0)
    top, left = box.first_line - scored.first_line, box.left_px - scored.left_px
    grey = crop.image.mean(axis=2) if crop.image.ndim == 3 else crop.image.astype(np.float64)
    inside = grey[_pixels(alarmed, stride, top, left, grey.shape)]
    around = grey[_pixels(away, stride, top, left, grey.shape)]
    if inside.size < _LEAST_PX or around.size < _LEAST_PX:
        return None
    cloth = float(around.mean())
    if cloth <= 0:
        return None
    darkest, brightest = np.quantile(inside, [HOLE_SHARE, 1 - HOLE_SHARE])
    return Look(float(inside.mean()) / cloth - 1, float(darkest) / cloth - 1, float(brightest) / cloth - 1)


def _pixels(
    cells: NDArray[np.uint8] | NDArray[np.bool_], stride: int, top: int, left: int, shape: tuple[int, ...]
) -> NDArray[np.bool_]:
    """The picture's pixels that lie in cells; `top` and `left` are the picture's corner in the scored box."""
    rows = (np.arange(shape[0]) + top) // stride
    columns = (np.arange(shape[1]) + left) // stride
    inside_rows = (rows >= 0) & (rows < cells.shape[0])
    inside_columns = (columns >= 0) & (columns < cells.shape[1])
    picked = np.asarray(cells, bool)[np.clip(rows, 0, cells.shape[0] - 1)][:, np.clip(columns, 0, cells.shape[1] - 1)]
    return np.asarray(picked & inside_rows[:, None] & inside_columns[None, :])
