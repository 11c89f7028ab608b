"""The life of a defect: from blobs in cells to `new`, `update`, `end` in millimetres.

Promises: a defect is announced (`new`) as soon as its alarmed area reaches the minimum, and then gets the next id of
the run; blobs that close smaller were never defects. It is reported again (`update`) each time its box grew by at least
the update step along or across since the last report, and once more when it closed (`end`, with the final figures).
When two defects meet, the older id goes on and takes the other's area over; the younger gets an `end` whose
`merged_into` names the older, or nothing when it was not announced yet. So each id has exactly one `new` and one `end`,
in this order, and the areas of the ends that were not merged add up to the alarmed area of all defects.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from glass_edge.fabric.defect import Defect, DefectPhase, shape_of
from glass_edge.fabric.geometry import MmBox, WebBox, WebScale, to_mm
from glass_edge.inspection.blobs import Blob, BlobLabeller, BlobStep
from glass_edge.inspection.cloth_place import PlaceTrack
from glass_edge.inspection.score_strip import ScoreStrip


@dataclass(frozen=True, slots=True)
class DefectRules:
    """What counts as a defect.

    Attributes:
        threshold_logit: a cell is alarmed where its smoothed logit is at or above this.
        min_area_mm2: smallest alarmed area of a defect.
        gap_mm: stretches without alarm up to this long, along or across, do not part a defect.
        update_step_mm: growth of the box, along or across, that is worth an update.
    """

    threshold_logit: float
    min_area_mm2: float
    gap_mm: float
    update_step_mm: float


class DefectTracker:
    """Finds and follows defects on the smoothed strip, segment by segment.

    Args:
        rules: what counts as a defect.
        scale: size of a pixel.
        stride_px: pixels of a score cell.
        roll_first_line: web line at which the roll starts.
        first_id: id of the first defect; ids go on over all segments.
    """

    def __init__(
        self, rules: DefectRules, scale: WebScale, stride_px: int, *, roll_first_line: int = 0, first_id: int = 1
    ) -> None:
        self._rules = rules
        self._scale = scale
        self._stride = stride_px
        self._roll_first_line = roll_first_line
        self._next_id = first_id
        self._cell_mm2 = stride_px**2 * scale.mm_per_px * scale.mm_per_line
        self._labeller = BlobLabeller(
            rules.threshold_logit,
            gap_rows=int(rules.gap_mm / (stride_px * scale.mm_per_line) + 1e-9),
            gap_columns=int(rules.gap_mm / (stride_px * scale.mm_per_px) + 1e-9),
        )
        self._first_line = 0
        self._end_line = 0
        self._first_cell = 0
        self._places = PlaceTrack()
        self._open: dict[int, Blob] = {}
        self._reported: dict[int, MmBox] = {}

    @property
    def announced(self) -> int:
        """Defects announced so far, those that merged into others later included."""
        return self._next_id - 1

    def begin(self, first_line: int, places: PlaceTrack, first_cell: int) -> None:
        """Start a segment at web line `first_line`; `places` gives the left selvedge and clips the boxes."""
        self._first_line = self._end_line = first_line
        self._places = places
        self._first_cell = first_cell

    @property
    def oldest_line(self) -> int:
        """First line of the oldest open component, announced or not; else the line after the last."""
        rows = self._labeller.oldest_row
        return self._end_line if rows is None else self._first_line + rows * self._stride

    def push(self, strip: ScoreStrip) -> list[Defect]:
        """Take smoothed scores that follow the ones before; returns the reports in order."""
        self._end_line = strip.end_line
        return self._report(self._labeller.push(strip.logits))

    def flush(self) -> list[Defect]:
        """End of the segment: every open defect ends."""
        return self._report(self._labeller.flush())

    def open_defects(self) -> list[Defect]:
        """Announced defects that have not ended, as they are now (phase `update`), oldest first."""
        return [self._defect(blob, DefectPhase.UPDATE) for _, blob in sorted(self._open.items())]

    def _report(self, step: BlobStep) -> list[Defect]:
        reports = []
        for younger, older in step.merged:
            if younger.defect_id is not None:
                # The older one has the lower id or is announced already: only announced blobs win over announced ones.
                reports.append(self._end(younger, merged_into=older.defect_id))
        for blob in step.grown:
            reports += self._grown(blob)
        for blob in step.closed:
            if blob.defect_id is None and blob.area * self._cell_mm2 >= self._rules.min_area_mm2:
                reports.append(self._announce(blob))
            if blob.defect_id is not None:
                reports.append(self._end(blob))
        return reports

    def _grown(self, blob: Blob) -> list[Defect]:
        if blob.defect_id is None:
            return [self._announce(blob)] if blob.area * self._cell_mm2 >= self._rules.min_area_mm2 else []
        defect = self._defect(blob, DefectPhase.UPDATE)
        before, now = self._reported[blob.defect_id], defect.box_mm
        step = max(now.width_mm - before.width_mm, now.length_mm - before.length_mm)
        if step <= 0 or step < self._rules.update_step_mm:
            return []
        self._reported[blob.defect_id] = now
        return [defect]

    def _announce(self, blob: Blob) -> Defect:
        blob.defect_id = self._next_id
        self._next_id += 1
        defect = self._defect(blob, DefectPhase.NEW)
        self._open[blob.defect_id] = blob
        self._reported[blob.defect_id] = defect.box_mm
        return defect

    def _end(self, blob: Blob, merged_into: int | None = None) -> Defect:
        assert blob.defect_id is not None
        del self._open[blob.defect_id], self._reported[blob.defect_id]
        return self._defect(blob, DefectPhase.END, merged_into)

    def _defect(self, blob: Blob, phase: DefectPhase, merged_into: int | None = None) -> Defect:
        assert blob.defect_id is not None
        stride = self._stride
        left = (self._first_cell + blob.first_column) * stride
        right = (self._first_cell + blob.end_column) * stride
        first_line = self._first_line + blob.first_row * stride
        end_line = min(self._first_line + blob.end_row * stride, self._end_line)
        # Cells at the rim of the cloth and in the last row of a segment may reach beyond it; the box does not.
        cloth = self._places.hull(first_line, end_line)
        box = WebBox(max(left, cloth.left_px), min(right, cloth.right_px), first_line, end_line)
        box_mm = to_mm(
            box,
            self._scale,
            left_selvedge_px=self._places.at(first_line).cloth.left_px,
            roll_first_line=self._roll_first_line,
        )
        # A cell's width is that of the pixels of its box.
        mm_per_px = box_mm.width_mm / (box.right_px - box.left_px)
        return Defect(
            defect_id=blob.defect_id,
            phase=phase,
            shape=shape_of(box_mm.width_mm, box_mm.length_mm),
            box_px=box,
            box_mm=box_mm,
            area_mm2=blob.area * self._stride**2 * mm_per_px * self._scale.mm_per_line,
            peak_score=_sigmoid(blob.peak),
            mean_score=blob.score_sum / blob.area,
            peak_logit=blob.peak,
            merged_into=merged_into,
        )


def _sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-logit)) if logit >= 0 else 1.0 - 1.0 / (1.0 + math.exp(logit))
