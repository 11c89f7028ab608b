"""What a defect is.

Promises: a `Defect` is one connected fault of the cloth with a stable id; its states follow each other as
new, update (any number), end. Scores are probabilities (sigmoid of the logit), sizes millimetres.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from glass_edge.fabric.geometry import MmBox, WebBox
from glass_edge.fabric.oriented_box import OrientedBox

LINE_ASPECT = 4.0
LINE_LEAN_DEG = 20.0
POINT_MM = 5.0


class DefectShape(StrEnum):
    """Geometric class: what a weaver looks for first."""

    WARP_LINE = "warp_line"
    WEFT_LINE = "weft_line"
    BLOCK = "block"
    POINT = "point"


class DefectPhase(StrEnum):
    """Where a defect is in its life."""

    NEW = "new"
    UPDATE = "update"
    END = "end"


@dataclass(frozen=True, slots=True)
class Defect:
    """One fault, as known at this moment.

    Attributes:
        defect_id: unique within the roll's journal, counted from 1.
        phase: new, update or end.
        shape: geometric class.
        box_px: extent in camera columns and web lines.
        box_mm: the same in millimetres.
        area_mm2: area above threshold, mm2.
        peak_score: largest score, 0..1.
        mean_score: mean score over the area above threshold, 0..1.
        peak_logit: largest smoothed logit (what the threshold is compared with).
        oriented: smallest rectangle around the alarmed cells; None: not measured.
        contrast: brightness of the alarmed cells relative to the cloth around them, less 1 (-0.3: 30 % darker); None:
            the picture was not held any more.
        is_running: a line along the web that has become as long as the station calls running.
        is_hole: it shows what lies behind the cloth, as far as the station can tell (`[inspection] hole_contrast`).
        is_cut_mark: a line over the whole width, where the station takes such for the border of two rolls; no fault.
        parts: components that were joined to one fault.
        merged_into: at the end of a defect that grew together with an older one: the older one's id, which goes on and
            includes this one's area; None when the defect closed by itself.
    """

    defect_id: int
    phase: DefectPhase
    shape: DefectShape
    box_px: WebBox
    box_mm: MmBox
    area_mm2: float
    peak_score: float
    mean_score: float
    peak_logit: float
    oriented: OrientedBox | None = None
    contrast: float | None = None
    is_running: bool = False
    is_hole: bool = False
    is_cut_mark: bool = False
    parts: int = 1
    merged_into: int | None = None


def oriented_shape(box: OrientedBox, width_mm: float, length_mm: float) -> DefectShape:
    """Geometric class from the smallest rectangle, and the extent across and along the web.

    A line is at least four times as long as wide, longer than a point, and lies within 20 degrees of the warp or of the
    weft (a bowed or skewed weft is still one); a point is at most 5 mm across and along.
    """
    if width_mm <= POINT_MM and length_mm <= POINT_MM:
        return DefectShape.POINT
    if box.direction_deg is not None and box.length_mm >= LINE_ASPECT * box.width_mm:
        if abs(box.direction_deg) <= LINE_LEAN_DEG:
            return DefectShape.WARP_LINE
        if abs(box.direction_deg) >= 90.0 - LINE_LEAN_DEG:
            return DefectShape.WEFT_LINE
    return DefectShape.BLOCK
