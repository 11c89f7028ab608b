"""The life of a defect: from blobs in cells to `new`, `update`, `end` in millimetres.

Promises: a defect is announced (`new`) as soon as its area reaches the minimum and its peak the threshold, and then
gets the next id of the run; blobs that close smaller or weaker were never defects. It is reported again (`update`) each
time its box grew by at least the update step since the last report, and once more when no cell can join it any more
(`end`, with the final figures). When two defects meet, the older id goes on and takes the other's area over; the
younger gets an `end` whose `merged_into` names the older, or nothing when it was not announced yet. So each id has
exactly one `new` and one `end`, in this order, and the areas of the ends that were not merged add up to the area of all
defects. Components in a row along the web or across it are one defect by the rules of `tracks`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from glass_edge.fabric.defect import Defect, DefectPhase, DefectShape, oriented_shape
from glass_edge.fabric.geometry import WebBox, WebScale, to_mm
from glass_edge.fabric.oriented_box import smallest_box
from glass_edge.inspection.blobs import Blob, BlobLabeller, BlobStep
from glass_edge.inspection.cloth_place import PlaceTrack
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.tracks import RunRules, Track, goes_on, is_finished, lies_beside, waits_for

_RELATIVE_STEP = 0.05
_GREATEST_STEP_MM = 500.0


@dataclass(frozen=True, slots=True)
class DefectRules:
    """What counts as a defect.

    Attributes:
        threshold_logit: a defect has a cell whose smoothed logit is at or above this.
        min_area_mm2: smallest area of a defect.
        gap_mm: stretches without alarm up to this long, along or across, do not part a defect.
        update_step_mm: growth of the box, along or across, that is worth an update; of a defect longer than twenty
            steps, 5 % of its length, at most half a metre.
        hysteresis_logit: the cells of a defect reach down to this much below the threshold.
        run_gap_mm: stretch without alarm in a row of parts, along the web or across it; 0: rows are not joined.
        run_width_mm: width of such a row.
        running_mm: a warp line from this length on is a running defect.
    """

    threshold_logit: float
    min_area_mm2: float
    gap_mm: float
    update_step_mm: float
    hysteresis_logit: float = 0.0
    run_gap_mm: float = 0.0
    run_width_mm: float = 5.0
    running_mm: float = 1000.0


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
        self._first_id = self._next_id = first_id
        self._merged = 0
        self._cell_mm2 = stride_px**2 * scale.mm_per_px * scale.mm_per_line
        row_mm, column_mm = stride_px * scale.mm_per_line, stride_px * scale.mm_per_px
        self._labeller = BlobLabeller(
            rules.threshold_logit - rules.hysteresis_logit,
            gap_rows=_cells(rules.gap_mm, row_mm),
            gap_columns=_cells(rules.gap_mm, column_mm),
        )
        self._runs = RunRules(
            gap_rows=_cells(rules.run_gap_mm, row_mm),
            gap_columns=_cells(rules.run_gap_mm, column_mm),
            width_columns=_cells(rules.run_width_mm, column_mm),
            width_rows=_cells(rules.run_width_mm, row_mm),
            reach_rows=_cells(rules.gap_mm, row_mm),
        )
        self._first_line = 0
        self._end_line = 0
        self._row = 0  # rows of the segment so far
        self._first_cell = 0
        self._places = PlaceTrack()
        self._tracks: dict[int, Track] = {}

    @property
    def next_id(self) -> int:
        """Id of the next defect."""
        return self._next_id

    @property
    def announced(self) -> int:
        """Defects announced so far, those that merged into others later included."""
        return self._next_id - self._first_id

    @property
    def found(self) -> int:
        """Defects so far, those that merged into others not counted."""
        return self.announced - self._merged

    def begin(self, first_line: int, places: PlaceTrack, first_cell: int) -> None:
        """Start a segment at web line `first_line`; `places` gives the left selvedge and clips the boxes."""
        self._first_line = self._end_line = first_line
        self._row = 0
        self._places = places
        self._first_cell = first_cell

    @property
    def oldest_line(self) -> int:
        """First line of the oldest open component or defect; else the line after the last."""
        rows = [track.first_row() for track in self._tracks.values()]
        if (row := self._labeller.oldest_row) is not None:
            rows.append(row)
        return self._first_line + min(rows) * self._stride if rows else self._end_line

    def push(self, strip: ScoreStrip) -> list[Defect]:
        """Take smoothed scores that follow the ones before; returns the reports in order."""
        self._end_line = strip.end_line
        self._row += strip.logits.shape[0]
        reports = self._take(self._labeller.push(strip.logits))
        weak = [blob for blob in self._labeller.open_blobs if blob.defect_id is None]
        finished = [track for track in self._tracks.values() if not track.open]
        for track in finished:
            # A component that begins later may be reached by the gap from here, so the labeller's reach is waited for.
            row = self._row - 1
            if is_finished(track, row, self._runs) and not waits_for(track, weak, row, self._runs):
                reports.append(self._end(track))
        return reports

    def flush(self) -> list[Defect]:
        """End of the segment: every open defect ends."""
        reports = self._take(self._labeller.flush())
        return reports + [self._end(track) for track in list(self._tracks.values())]

    def open_defects(self) -> list[Defect]:
        """Announced defects that have not ended, as they are now (phase `update`), oldest first."""
        return [self._defect(track, DefectPhase.UPDATE) for _, track in sorted(self._tracks.items())]

    def _take(self, step: BlobStep) -> list[Defect]:
        reports: list[Defect] = []
        for younger, older in step.merged:
            self._meet(younger, older, reports)
        # In the order of the web, whatever the piece holds: a part begins, and is complete once its reach has passed.
        fresh = [*step.grown, *(blob for blob in step.closed if blob.defect_id is None)]
        moments = [(blob.first_row, False, blob.serial, blob) for blob in fresh]
        moments += [(blob.end_row + self._runs.reach_rows, True, blob.serial, blob) for blob in step.closed]
        for _, is_complete, _, blob in sorted(moments, key=lambda moment: moment[:3]):
            if not is_complete:
                self._grow(blob, reports)
            elif blob.defect_id is not None:
                self._close(blob, reports)
        return reports

    def _meet(self, younger: Blob, older: Blob, reports: list[Defect]) -> None:
        """The older component has taken over the younger's cells."""
        if younger.defect_id is None:
            return
        # The older one has the lower id or is announced already: only announced blobs win over announced ones.
        assert older.defect_id is not None
        if younger.defect_id == older.defect_id:
            track = self._tracks[older.defect_id]
            track.open.remove(younger)
            track.parts -= 1  # the two are one component
            return
        reports.append(self._merge(self._tracks[younger.defect_id], self._tracks[older.defect_id], taken=younger))

    def _grow(self, blob: Blob, reports: list[Defect]) -> None:
        """A component gained cells or is complete: announce it, let it go on with a defect, or report its growth."""
        if blob.defect_id is not None:
            self._update(self._tracks[blob.defect_id], reports)
            return
        if blob.peak < self._rules.threshold_logit or blob.area * self._cell_mm2 < self._rules.min_area_mm2:
            return
        for _, track in sorted(self._tracks.items()):
            if goes_on(track, blob, self._runs):
                blob.defect_id = track.defect_id
                track.open.append(blob)
                track.parts += 1
                self._update(track, reports)
                return
        blob.defect_id = self._next_id
        self._next_id += 1
        begin = self._places.at(self._first_line + blob.first_row * self._stride)
        track = self._tracks[blob.defect_id] = Track(blob.defect_id, [blob], begin.cloth.left_px)
        reports.append(self._report(track, DefectPhase.NEW))

    def _update(self, track: Track, reports: list[Defect]) -> None:
        defect = self._defect(track, DefectPhase.UPDATE)
        before, now = track.reported_mm, defect.box_mm
        grown = max(now.width_mm - before.width_mm, now.length_mm - before.length_mm)
        relative = _RELATIVE_STEP * max(before.width_mm, before.length_mm)
        step = max(self._rules.update_step_mm, min(relative, _GREATEST_STEP_MM))
        if grown > 0 and grown >= step:
            track.reported_mm = now
            reports.append(defect)

    def _close(self, blob: Blob, reports: list[Defect]) -> None:
        assert blob.defect_id is not None
        track = self._tracks[blob.defect_id]
        track.close(blob)
        if track.open:
            return
        while (other := self._beside(track)) is not None:  # what two parts make may lie beside a third
            older, younger = sorted((other, track), key=lambda each: each.defect_id)
            reports.append(self._merge(younger, older))
            self._update(older, reports)
            track = older

    def _beside(self, track: Track) -> Track | None:
        assert track.closed is not None
        for _, other in sorted(self._tracks.items()):
            if other is not track and lies_beside(other, track.closed, self._runs):
                return other
        return None

    def _merge(self, younger: Track, older: Track, taken: Blob | None = None) -> Defect:
        """The younger ends; `taken` is a part of it whose cells a part of the older has already."""
        end = self._report(younger, DefectPhase.END, merged_into=older.defect_id)
        if taken is not None:
            younger.open.remove(taken)
            younger.parts -= 1  # the two are one component
        older.take_over(younger)
        del self._tracks[younger.defect_id]
        self._merged += 1
        return end

    def _end(self, track: Track) -> Defect:
        end = self._report(track, DefectPhase.END)
        del self._tracks[track.defect_id]
        return end

    def _report(self, track: Track, phase: DefectPhase, merged_into: int | None = None) -> Defect:
        defect = self._defect(track, phase, merged_into)
        track.reported_mm = defect.box_mm
        return defect

    def _defect(self, track: Track, phase: DefectPhase, merged_into: int | None = None) -> Defect:
        stride, blob = self._stride, track.whole()
        left = (self._first_cell + blob.first_column) * stride
        right = (self._first_cell + blob.end_column) * stride
        first_line = self._first_line + blob.first_row * stride
        end_line = min(self._first_line + blob.end_row * stride, self._end_line)
        # Cells at the rim of the cloth and in the last row of a segment may reach beyond it; the box does not.
        cloth = self._places.hull(first_line, end_line)
        box = WebBox(max(left, cloth.left_px), min(right, cloth.right_px), first_line, end_line)
        selvedge_px = track.selvedge_px
        box_mm = to_mm(box, self._scale, left_selvedge_px=selvedge_px, roll_first_line=self._roll_first_line)
        corners = blob.hull * stride
        across_px = np.clip(corners[:, 0] + self._first_cell * stride, box.left_px, box.right_px)
        along_mm = np.minimum(corners[:, 1], end_line - self._first_line) * self._scale.mm_per_line
        across_mm = [self._scale.across_mm(selvedge_px, float(column)) for column in across_px]
        oriented = smallest_box(np.stack([across_mm, along_mm], axis=1))
        shape = oriented_shape(oriented, box_mm.width_mm, box_mm.length_mm)
        # A cell's width is that of the pixels of its box.
        mm_per_px = box_mm.width_mm / (box.right_px - box.left_px)
        return Defect(
            defect_id=track.defect_id,
            phase=phase,
            shape=shape,
            box_px=box,
            box_mm=box_mm,
            area_mm2=blob.area * stride**2 * mm_per_px * self._scale.mm_per_line,
            peak_score=_sigmoid(blob.peak),
            mean_score=blob.score_sum / blob.area,
            peak_logit=blob.peak,
            oriented=oriented,
            is_running=shape is DefectShape.WARP_LINE and box_mm.length_mm >= self._rules.running_mm,
            parts=track.parts,
            merged_into=merged_into,
        )


def _cells(mm: float, cell_mm: float) -> int:
    """Whole cells within a length."""
    return int(mm / cell_mm + 1e-9)


def _sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-logit)) if logit >= 0 else 1.0 - 1.0 / (1.0 + math.exp(logit))
