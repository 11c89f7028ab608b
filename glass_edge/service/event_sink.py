"""From what the inspection finds to events.

Promises: every call becomes its event before the next is taken, in the order of the web; the picture of a defect is on
disk before its `defect.end` names it; pictures that cannot be kept cost one fault event and no other event.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable

from glass_edge.calibration.alarm_rate import MOST_ALARMS, AlarmRate, alarm_rate
from glass_edge.events.drafts import DraftMaker
from glass_edge.events.payloads import StationState
from glass_edge.events.schema import Draft, Event
from glass_edge.fabric.defect import Defect
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.fabric.stop_rule_values import StopDecision
from glass_edge.inspection.coverage import CoverageGap
from glass_edge.inspection.parameters import ActiveEngine
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import DefectCrop, Fault, Progress, QuietSink, Segment
from glass_edge.service.bypass import Bypass
from glass_edge.service.crops import CropsFullError, CropStore
from glass_edge.service.roll_judge import RollJudge

Emit = Callable[[Draft], Event]
CROPS_FAULT = "crops_not_kept"
GRADING_FAULT = "not_graded"


class _Alarms:
    """Defects and metres of the rolls that ended since the engine was activated.

    Args:
        defects, metres: of the open roll, by the engine before.
    """

    def __init__(self, defects: int = 0, metres: float = 0.0) -> None:
        self._defects = -defects
        self._metres = -metres

    def add(self, defects: int, metres: float) -> None:
        self._defects += defects
        self._metres += metres

    def rate(self, defects: int, metres: float) -> AlarmRate | None:
        """With those of the open roll; None before there is any cloth, or where there are more than can be judged."""
        count, length = max(0, self._defects + defects), self._metres + metres
        return alarm_rate(count, length) if length > 0 and count <= MOST_ALARMS else None


class EventSink(QuietSink):
    """Receiver of one inspection that emits its events.

    Args:
        emit: keeps and publishes a draft (`Publisher.emit`).
        scale: size of a pixel.
        is_simulated: True for replays and simulated looms.
        crops: where pictures are kept, None for none.
        span: the cloth's columns where they are fixed.
        judge: grades the roll and asks for stops; None: neither.
        promised_per_100m: false alarms that the engine promises at most; None: it promises none.
        status_s: time between two status events with figures, s; None: none.
        bypass: whether stops are asked for; None: they are.
    """

    def __init__(
        self,
        emit: Emit,
        *,
        scale: WebScale,
        is_simulated: bool,
        crops: CropStore | None,
        span: ClothSpan | None,
        judge: RollJudge | None = None,
        promised_per_100m: float | None = None,
        status_s: float | None = None,
        bypass: Bypass | None = None,
    ) -> None:
        self._emit = emit
        self._maker = DraftMaker(None, scale, is_simulated)
        self._crops = crops
        self._span = span
        self._judge = judge
        self._promised = promised_per_100m
        self._alarms = _Alarms()
        self._status_s = status_s
        self._bypass = bypass or Bypass()
        self._next_status_s = 0.0
        self._end_line = 0
        self._crops_failing = False
        self.is_in_error = False

    def roll_started(self, roll: Roll) -> None:
        """roll.start, and the state ContinuousExecution."""
        self._maker = DraftMaker(roll, self._maker.scale, self._maker.is_simulated)
        self._end_line = roll.first_line
        if self._status_s is not None:
            self._next_status_s = time.monotonic() + self._status_s
        if self._crops is not None:
            self._crops.start_roll(roll.roll_id)
        if self._judge is not None:
            self._judge.roll_started(roll)
        self._emit(self._maker.roll_start(self._span))
        self._emit(self.present_status())

    def engine_changed(self, line: int, engine: ActiveEngine, so_far: RollTotals | None) -> None:
        """engine.activated; false alarms are counted anew."""
        del line
        self._promised = engine.promised_per_100m
        self._alarms = _Alarms()
        if so_far is not None:
            self._alarms = _Alarms(so_far.defects, self._metres(so_far.lines_inspected))
        self._emit(
            self._maker.engine_activated(
                style=engine.parameters.style,
                version=engine.version,
                model_sha256=engine.model_sha256,
                facts=engine.facts,
                threshold_logit=engine.parameters.threshold_logit,
                promised_per_100m=engine.promised_per_100m,
            )
        )

    def scores(self, strip: ScoreStrip) -> None:
        """No event; tells how far the roll is."""
        self._end_line = max(self._end_line, strip.end_line)

    def defect(self, defect: Defect, crop: DefectCrop | None) -> None:
        """defect.new, defect.update or defect.end."""
        crop_file = self._keep(defect.defect_id, crop) if crop is not None and self._crops is not None else None
        self._emit(self._maker.defect(defect, crop_file=crop_file))
        if self._judge is not None and self._maker.roll is not None:
            roll_mm = (self._end_line - self._maker.roll.first_line) * self._maker.scale.mm_per_line
            if (decision := self._judge.take(defect, roll_mm, is_bypassed=self._bypass.is_on)) is not None:
                self._ask_to_stop(decision)

    def _ask_to_stop(self, decision: StopDecision) -> None:
        self._emit(
            self._maker.stop_request(
                f"stop-{uuid.uuid4().hex}",
                decision.reason,
                defect_id=decision.defect_id,
                along_mm=decision.along_mm,
                across_mm=decision.across_mm,
                cause=decision.cause.value,
                period_mm=decision.period_mm,
            )
        )

    def segment_started(self, segment: Segment) -> None:
        """No event; tells how wide the cloth is."""
        problem = None if self._judge is None else self._judge.segment_started(segment)
        if problem is not None:
            self.fault(Fault(GRADING_FAULT, problem))

    def coverage_gap(self, gap: CoverageGap) -> None:
        """coverage.gap."""
        self._end_line = max(self._end_line, gap.end_line)
        self._emit(self._maker.coverage_gap(gap.first_line, gap.end_line, gap.reason.value, detail=gap.detail))

    def fault(self, fault: Fault) -> None:
        """A status event with the fault; the state is Error when the inspection ends because of it."""
        if not fault.is_fatal:
            self.tell(fault.kind, fault.message)
            return
        self.is_in_error = True
        self._emit(self._status_of(self._maker, StationState.ERROR, fault.kind, fault.message))

    def tell(self, code: str, message: str) -> None:
        """A status event with a fault that ends nothing; may be called from any thread."""
        maker = self._maker
        state = StationState.READY if maker.roll is None else StationState.CONTINUOUS_EXECUTION
        self._emit(self._status_of(maker, state, code, message))

    def progress(self, progress: Progress) -> None:
        """From time to time a status event with the figures; the last ones come with the roll's end."""
        now_s = time.monotonic()
        if self._status_s is None or self._maker.roll is None or now_s < self._next_status_s:
            return
        self._next_status_s = now_s + self._status_s
        lines = self._end_line - self._maker.roll.first_line
        self._emit(
            self._maker.status(
                StationState.CONTINUOUS_EXECUTION,
                roll_lines=lines,
                figures=progress,
                alarms=self._alarms.rate(progress.defects, progress.inspected_m),
                promised_per_100m=self._promised,
                is_bypassed=self._bypass.is_on,
            )
        )

    def roll_ended(self, roll: Roll, totals: RollTotals) -> None:
        """roll.end, with the grade."""
        grade = None if self._judge is None else self._judge.grade(totals)
        self._emit(self._maker.roll_end(roll.first_line + totals.lines_woven, totals, grade))
        self._alarms.add(totals.defects, self._metres(totals.lines_inspected))
        self._maker = DraftMaker(None, self._maker.scale, self._maker.is_simulated)

    def present_status(self) -> Draft:
        """The state now, without figures; may be called from any thread."""
        maker = self._maker
        return self._status_of(maker, StationState.READY if maker.roll is None else StationState.CONTINUOUS_EXECUTION)

    def _status_of(
        self, maker: DraftMaker, state: StationState, code: str | None = None, message: str | None = None
    ) -> Draft:
        lines = 0 if maker.roll is None else max(0, self._end_line - maker.roll.first_line)
        return maker.status(state, roll_lines=lines, fault_code=code, message=message, is_bypassed=self._bypass.is_on)

    def _metres(self, lines: int) -> float:
        return lines * self._maker.scale.mm_per_line / 1000

    def _keep(self, defect_id: int, crop: DefectCrop) -> str | None:
        assert self._crops is not None
        try:
            name = self._crops.keep(defect_id, crop)
        except CropsFullError as error:
            if not self._crops_failing:
                self._crops_failing = True
                self.fault(Fault(CROPS_FAULT, str(error)))
            return None
        self._crops_failing = False
        return name
