"""Several cameras side by side as one web.

Promises: pure functions of the cameras' scales, which must come from one picture each of the same target at the same
place. Web millimetres count from the left end of the leftmost camera's line; every millimetre between the outermost
ends is seen by a camera (a gap is refused), and each belongs to exactly one: seams lie in the middle of the overlaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from glass_edge.calibration.line_scale import LineScale
from glass_edge.errors import InputError


@dataclass(frozen=True, slots=True)
class CameraPlace:
    """A camera on the web.

    Attributes:
        name: as the station calls it.
        scale: its columns in millimetres of the target.
        offset_mm: web millimetres of the target's millimetre 0.
        first_px: first column that is this camera's own.
        end_px: column after its last own one.
        overlap_left_mm: width that the left neighbour sees too, 0 for the leftmost.
        overlap_right_mm: width that the right neighbour sees too.
    """

    name: str
    scale: LineScale
    offset_mm: float
    first_px: int
    end_px: int
    overlap_left_mm: float
    overlap_right_mm: float

    def web_mm(self, columns_px: ArrayLike) -> NDArray[np.float64]:
        """Web millimetres of columns, any shape."""
        return self.scale.across_mm(columns_px) + self.offset_mm

    def column_px(self, web_mm: ArrayLike) -> NDArray[np.float64]:
        """Columns of web millimetres, any shape."""
        return self.scale.column_px(np.asarray(web_mm, dtype=np.float64) - self.offset_mm)


def place_cameras(scales: Mapping[str, LineScale]) -> tuple[CameraPlace, ...]:
    """Cameras from left to right.

    Raises:
        InputError: none is given, they run in different directions, or between two of them lies cloth none sees.
    """
    if not scales:
        raise InputError("no camera; give the scale of one at least")
    if len({scale.mirrored for scale in scales.values()}) > 1:
        turned = ", ".join(name for name, scale in scales.items() if scale.mirrored)
        raise InputError(f"the columns of {turned} run the other way than the others'; reverse them in the camera")
    ends = {name: scale.across_mm([0.0, float(scale.width_px)]) for name, scale in scales.items()}
    order = sorted(scales, key=lambda name: float(ends[name][0]))
    offset_mm = -float(ends[order[0]][0])
    overlaps = []
    for left, right in pairwise(order):
        overlap = float(ends[left][1] - ends[right][0])
        if overlap < 0:
            raise InputError(
                f"between {left} and {right} lie {-overlap:.2f} mm that no camera sees; move them together"
            )
        if ends[right][1] <= ends[left][1]:
            raise InputError(f"{right} sees nothing that {left} does not; take it out or move it")
        overlaps.append(overlap)
    places = []
    for number, name in enumerate(order):
        left_mm = overlaps[number - 1] if number else 0.0
        right_mm = overlaps[number] if number < len(overlaps) else 0.0
        scale = scales[name]
        # A column belongs to the camera on whose side of the seam its middle lies.
        first, end = 0, scale.width_px
        if number:
            first = int(np.ceil(float(scale.column_px(ends[name][0] + left_mm / 2)) - 0.5))
        if number < len(overlaps):
            end = int(np.ceil(float(scale.column_px(ends[name][1] - right_mm / 2)) - 0.5))
        places.append(CameraPlace(name, scale, offset_mm, first, end, left_mm, right_mm))
    return tuple(places)


def web_width_mm(cameras: tuple[CameraPlace, ...]) -> float:
    """Width all cameras see together."""
    return float(cameras[-1].web_mm(float(cameras[-1].scale.width_px)))


def camera_at(cameras: tuple[CameraPlace, ...], web_mm: float) -> tuple[CameraPlace, float]:
    """The camera a place belongs to and its column there, px from the left edge of pixel 0.

    Raises:
        ValueError: outside of what the cameras see.
    """
    if not 0.0 <= web_mm <= web_width_mm(cameras):
        raise ValueError(f"{web_mm:g} mm lies outside 0 to {web_width_mm(cameras):.1f} mm")
    for camera in cameras[:-1]:
        column = float(camera.column_px(web_mm))
        if column < camera.end_px:
            return camera, column
    return cameras[-1], float(cameras[-1].column_px(web_mm))
