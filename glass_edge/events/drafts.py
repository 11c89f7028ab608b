"""Drafts of events from the domain's values.

Promises: a number in an event is the domain's number, lengths along the roll come from `fabric.geometry`; what the
domain calls impossible cannot become an event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from glass_edge.calibration.alarm_rate import AlarmRate
from glass_edge.engine.base import EngineFacts
from glass_edge.events.payloads import (
    MAX_TEXT_LENGTH,
    CoverageGap,
    DefectPayload,
    EngineActivated,
    GapReason,
    Payload,
    RollEnd,
    RollStart,
    StationState,
    Status,
    StopRequest,
)
from glass_edge.events.schema import Draft, Kind
from glass_edge.fabric.defect import Defect, DefectPhase
from glass_edge.fabric.geometry import ClothSpan, WebBox, WebScale, to_mm
from glass_edge.fabric.grading_result import RollGrade
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.sink import Progress

_KIND_OF_PHASE = {
    DefectPhase.NEW: Kind.DEFECT_NEW,
    DefectPhase.UPDATE: Kind.DEFECT_UPDATE,
    DefectPhase.END: Kind.DEFECT_END,
}


@dataclass(frozen=True, slots=True)
class DraftMaker:
    """Makes drafts for one roll, or for a station without a roll.

    Attributes:
        roll: the open roll, None when none is open.
        scale: size of a pixel on the cloth.
        is_simulated: True for replays and simulated cameras.
    """

    roll: Roll | None
    scale: WebScale
    is_simulated: bool

    def roll_start(self, span: ClothSpan | None = None) -> Draft:
        """The roll begins at its `first_line`; `span` when the cloth's place is known."""
        payload = RollStart(
            first_line=self._roll_first_line(),
            mm_per_px=self.scale.mm_per_px,
            mm_per_line=self.scale.mm_per_line,
            left_px=span.left_px if span else None,
            right_px=span.right_px if span else None,
        )
        return self._draft(Kind.ROLL_START, payload)

    def roll_end(self, end_line: int, totals: RollTotals, grade: RollGrade | None = None) -> Draft:
        """The roll ends before web line `end_line`; `grade` when it was graded."""
        width = totals.width
        payload = RollEnd(
            end_line=end_line,
            lines_woven=totals.lines_woven,
            lines_inspected=totals.lines_inspected,
            lines_missed=totals.lines_missed,
            woven_m=self._metres(totals.lines_woven),
            inspected_m=self._metres(totals.lines_inspected),
            missed_m=self._metres(totals.lines_missed),
            defects=totals.defects,
            cloth_width_mm=None if width is None else width.mean_mm,
            cloth_width_least_mm=None if width is None else width.least_mm,
            cloth_width_greatest_mm=None if width is None else width.greatest_mm,
            grading_table=None if grade is None else grade.table,
            points=None if grade is None else grade.total_points,
            points_per_100_m2=None if grade is None else grade.points_per_100_m2,
            points_per_100_yd2=None if grade is None else grade.points_per_100_yd2,
            is_first_quality=None if grade is None else grade.is_first_quality,
            grade_reasons=() if grade is None else tuple(map(_shortened, grade.reasons)),
            grade_remarks=() if grade is None else tuple(map(_shortened, grade.remarks)),
        )
        return self._draft(Kind.ROLL_END, payload, is_partial=False)

    def defect(self, defect: Defect, *, crop_file: str | None = None) -> Draft:
        """defect.new, defect.update or defect.end by the defect's phase."""
        oriented = defect.oriented
        payload = DefectPayload(
            defect_id=defect.defect_id,
            shape=defect.shape,
            along_mm=defect.box_mm.along_mm,
            across_mm=defect.box_mm.across_mm,
            width_mm=defect.box_mm.width_mm,
            length_mm=defect.box_mm.length_mm,
            area_mm2=defect.area_mm2,
            peak_score=defect.peak_score,
            mean_score=defect.mean_score,
            peak_logit=defect.peak_logit,
            first_line=defect.box_px.first_line,
            end_line=defect.box_px.end_line,
            left_px=defect.box_px.left_px,
            right_px=defect.box_px.right_px,
            oriented_length_mm=None if oriented is None else oriented.length_mm,
            oriented_width_mm=None if oriented is None else oriented.width_mm,
            direction_deg=None if oriented is None else oriented.direction_deg,
            contrast=defect.contrast,
            is_running=defect.is_running,
            is_hole=defect.is_hole,
            is_cut_mark=defect.is_cut_mark,
            parts=defect.parts,
            merged_into=defect.merged_into,
            crop_file=crop_file,
        )
        return self._draft(_KIND_OF_PHASE[defect.phase], payload)

    def coverage_gap(self, first_line: int, end_line: int, reason: GapReason | str, *, detail: str = "") -> Draft:
        """Web lines [first_line, end_line) were not inspected.

        Raises:
            ValueError: the gap is empty, or `reason` is no `GapReason`.
        """
        box = to_mm(
            WebBox(0, 1, first_line, end_line),
            self.scale,
            left_selvedge_px=0,
            roll_first_line=self.roll.first_line if self.roll else 0,
        )
        payload = CoverageGap(
            first_line=first_line,
            end_line=end_line,
            along_mm=box.along_mm,
            length_m=box.length_mm / 1000.0,
            reason=GapReason(reason),
            detail=_shortened(detail),
        )
        return self._draft(Kind.COVERAGE_GAP, payload)

    def stop_request(
        self,
        request_id: str,
        reason: str,
        *,
        defect_id: int | None = None,
        along_mm: float | None = None,
        across_mm: float | None = None,
        cause: str | None = None,
        period_mm: float | None = None,
    ) -> Draft:
        """Ask the line controller to stop; a request with a handshake, never a safety function."""
        payload = StopRequest(
            request_id=request_id,
            reason=_shortened(reason),
            defect_id=defect_id,
            along_mm=along_mm,
            across_mm=across_mm,
            cause=cause,
            period_mm=period_mm,
        )
        return self._draft(Kind.STOP_REQUEST, payload)

    def engine_activated(
        self,
        *,
        style: str,
        version: str,
        model_sha256: str,
        facts: EngineFacts,
        threshold_logit: float,
        promised_per_100m: float | None = None,
    ) -> Draft:
        """Another engine or threshold decides from here on."""
        payload = EngineActivated(
            style=style,
            version=version,
            model_sha256=model_sha256,
            runtime=f"{facts.runtime} {facts.version}".strip(),
            precision=facts.precision,
            threshold_logit=threshold_logit,
            promised_per_100m=promised_per_100m,
        )
        return self._draft(Kind.ENGINE_ACTIVATED, payload)

    def status(
        self,
        state: StationState,
        *,
        roll_lines: int = 0,
        fault_code: str | None = None,
        message: str | None = None,
        figures: Progress | None = None,
        alarms: AlarmRate | None = None,
        promised_per_100m: float | None = None,
        is_bypassed: bool = False,
    ) -> Draft:
        """State of the station after `roll_lines` lines of the open roll; a fault has both a code and a message."""
        told: dict[str, Any] = {}
        if figures is not None:
            told = {
                "web_m_per_min": max(0.0, figures.web_m_per_min),
                "line_rate_hz": figures.camera.line_rate_hz,
                "exposure_headroom": figures.camera.exposure_headroom,
                "cloth_width_mm": figures.cloth_width_mm,
                "promised_per_100m": promised_per_100m,
            }
        if alarms is not None:
            told |= {
                "alarms_per_100m": alarms.per_100m,
                "alarms_low_per_100m": alarms.low_per_100m,
                "alarms_high_per_100m": alarms.high_per_100m,
            }
        payload = Status(
            state=state,
            fault_code=fault_code,
            message=None if message is None else _shortened(message),
            roll_m=self._metres(roll_lines),
            roll_lines=roll_lines,
            is_bypassed=is_bypassed,
            **told,
        )
        return self._draft(Kind.STATUS, payload)

    def _draft(self, kind: Kind, payload: Payload, *, is_partial: bool | None = None) -> Draft:
        return Draft(
            kind=kind,
            is_simulated=self.is_simulated,
            is_partial=self.roll is not None if is_partial is None else is_partial,
            roll_id=self.roll.roll_id if self.roll else None,
            style=self.roll.style if self.roll else None,
            payload=payload,
        )

    def _roll_first_line(self) -> int:
        if self.roll is None:
            raise ValueError("a roll.start needs a roll")
        return self.roll.first_line

    def _metres(self, lines: int) -> float:
        if lines == 0:
            return 0.0
        return to_mm(WebBox(0, 1, 0, lines), self.scale, left_selvedge_px=0, roll_first_line=0).length_mm / 1000.0


def _shortened(text: str) -> str:
    """A text of any length (an exception's, say) must not keep an event from being told."""
    return text if len(text) <= MAX_TEXT_LENGTH else text[: MAX_TEXT_LENGTH - 1] + "…"
