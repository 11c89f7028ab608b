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

from glass_edge.calibration.line_scale import LineScale, knots
from glass_edge.errors import InputError
from glass_edge.fabric.across_map import AcrossMap
from glass_edge.fabric.geometry import ClothSpan


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


def even_scale(width_px: int, left_mm: float, mm_per_px: float, mm_per_line: float) -> LineScale:
    """The scale of a camera whose pixels are all of one width, its column 0 at `left_mm`."""
    half = width_px * mm_per_px / 2
    return LineScale(
        width_px=width_px,
        mm_per_px=mm_per_px,
        mm_per_line=mm_per_line,
        coefficients=(left_mm + half, half),
        first_px=0.0,
        last_px=float(width_px),
        bars=2,
        residual_rms_px=0.0,
        residual_max_px=0.0,
    )


def across_map(cameras: tuple[CameraPlace, ...]) -> AcrossMap:
    """Where the columns of the wide line lie, which is the own columns of each camera from left to right.

    Within 1e-3 mm of the cameras' scales, except for a pixel to either side of a seam: no camera's pixels end just
    where the next one's begin, and the seam itself is put half-way, at most half a pixel from where either has it.
    """
    columns: list[float] = []
    places: list[float] = []
    left_px = 0
    for camera in cameras:
        own = knots(camera.scale, camera.first_px, camera.end_px)
        if camera is not cameras[0]:
            own = np.union1d(own, camera.first_px + 1.0)
        if camera is not cameras[-1]:
            own = np.union1d(own, camera.end_px - 1.0)
        there = camera.web_mm(own)
        if places:
            places[-1] = (places[-1] + float(there[0])) / 2
            own, there = own[1:], there[1:]
        columns += (own - camera.first_px + left_px).tolist()
        places += there.tolist()
        left_px += camera.end_px - camera.first_px
    return AcrossMap(np.array(columns), np.array(places))


def own_span(cameras: tuple[CameraPlace, ...], camera: CameraPlace, wide: ClothSpan) -> ClothSpan | None:
    """Columns of a camera's whole line that show the cloth in columns `wide` of the wide line; None: it sees none."""
    mm = across_map(cameras).across_mm([wide.left_px, wide.right_px])
    left, right = np.clip(camera.column_px(mm), 0, camera.scale.width_px)
    left_px, right_px = int(np.floor(left)), int(np.ceil(right))
    return ClothSpan(left_px, right_px) if right_px > left_px else None


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
