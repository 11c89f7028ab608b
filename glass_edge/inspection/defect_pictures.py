"""The pictures of defects, and what is read off them.

Promises: a defect is looked at when it is new and when it ends, a long one while its first part is still held; memory
is bounded by the settings; what was a hole stays one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace

from glass_edge.config.inspection import InspectionSettings
from glass_edge.fabric.defect import Defect, DefectPhase
from glass_edge.fabric.geometry import WebScale
from glass_edge.inspection.crops import CropRing
from glass_edge.inspection.look import Look, look_at
from glass_edge.inspection.sink import DefectCrop


class DefectPictures:
    """Keeps recent lines and scores and cuts pictures; used by the defects thread.

    Args:
        settings: of the inspection.
        scale: size of a pixel.

    Attributes:
        threshold_logit: cells from here on belong to a defect.
    """

    def __init__(self, settings: InspectionSettings, scale: WebScale) -> None:
        self._settings = settings
        self.threshold_logit = 0.0
        self._budget = settings.crop_memory_mb << 20
        self.ring = CropRing(
            self._budget,
            settings.crop_lines,
            margin_px=math.ceil(settings.crop_margin_mm / scale.mm_per_px),
            margin_lines=math.ceil(settings.crop_margin_mm / scale.mm_per_line),
            least_px=settings.crop_least_px,
        )
        self._first_parts: dict[int, DefectCrop | None] = {}  # of long open defects
        self._looks: dict[int, Look] = {}  # of open defects

    def of(self, defect: Defect) -> tuple[Defect, DefectCrop | None]:
        """The defect with what its picture shows, and the picture if it ended and pictures are kept."""
        picture = None
        if defect.phase is not DefectPhase.UPDATE and defect.merged_into is None:
            picture = self._first_parts.get(defect.defect_id) or self.ring.cut(defect.box_px)
        seen = self._with_look(defect, picture)
        if defect.phase is not DefectPhase.END:
            return seen, None
        self._first_parts.pop(defect.defect_id, None)
        self._looks.pop(defect.defect_id, None)
        return seen, picture if self._settings.crops else None

    def keep_first_parts(self, open_defects: Iterable[Defect]) -> None:
        """Cut the picture of a defect that has grown beyond the limit while its first part is still held."""
        for defect in open_defects:
            box = defect.box_px
            is_long = box.end_line - box.first_line >= self._settings.crop_lines
            if is_long and defect.defect_id not in self._first_parts:
                kept = sum(crop.image.nbytes for crop in self._first_parts.values() if crop is not None)
                self._first_parts[defect.defect_id] = None if kept > self._budget else self.ring.cut(box)

    def _with_look(self, defect: Defect, picture: DefectCrop | None) -> Defect:
        """Contrast from the picture, or as it was seen before."""
        before = self._looks.get(defect.defect_id)
        look = (None if picture is None else look_at(picture, self.threshold_logit)) or before
        if look is None:
            return defect
        hole_contrast = self._settings.hole_contrast
        if before is not None and before.is_hole(hole_contrast) and not look.is_hole(hole_contrast):
            look = before
        self._looks[defect.defect_id] = look
        return replace(defect, contrast=look.contrast, is_hole=look.is_hole(hole_contrast))
