"""The defects thread: score strips in, reports to the sink out.

Promises: the sink is called from this thread only and in the order of the web; every line of the roll is booked once,
as inspected or as missed; a gap, another engine, the end of a segment or of a roll ends the open defects; when the sink
fails, the input is still emptied, so that the inference thread never hangs.
"""

from __future__ import annotations

import queue
import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from glass_edge.config.inspection import InspectionSettings
from glass_edge.fabric.defect import Defect, DefectPhase
from glass_edge.fabric.geometry import WebScale
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.cloth_place import ClothPlace, PlaceTrack, reflect_outside, silence_outside
from glass_edge.inspection.cloth_width import ClothWidth
from glass_edge.inspection.coverage import CoverageGap, CoverageLedger
from glass_edge.inspection.cut_marks import CutMarks
from glass_edge.inspection.defect_pictures import DefectPictures
from glass_edge.inspection.messages import (
    Arrival,
    ClothMoved,
    EndOfRun,
    EngineTakesOver,
    ForDefects,
    LinesSeen,
    MissedLines,
    SegmentEnd,
    SegmentStart,
)
from glass_edge.inspection.parameters import StyleParameters
from glass_edge.inspection.receive_times import ReceiveTimes
from glass_edge.inspection.roll_changes import cut_row
from glass_edge.inspection.run_state import RunState
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.selvedge_zone import lower_selvedges
from glass_edge.inspection.sink import Fault, InspectionSink, Latency, Progress
from glass_edge.inspection.smoothing import StripSmoother
from glass_edge.inspection.tracker import DefectRules, DefectTracker
from glass_edge.inspection.turns import TURN_S, StageTurns
from glass_edge.inspection.web_speed import WebSpeed


class DefectStage:
    """Body of the defects thread.

    Args:
        inbox: bounded queue from the inference thread.
        block_queue: the queue before the inference thread; only its length is read.
        sink: receives everything.
        state: flags and counters of the run.
        turns: counts the turns of the loop.
        roll_id: name of the roll.
        style: parameters of the bundle to begin with.
        stride_px: pixels of its score cell.
        scale: size of a pixel.
        settings: of the inspection.
    """

    def __init__(
        self,
        inbox: queue.Queue[ForDefects],
        block_queue: queue.Queue[Arrival],
        sink: InspectionSink,
        state: RunState,
        turns: StageTurns,
        *,
        roll_id: str,
        style: StyleParameters,
        stride_px: int,
        scale: WebScale,
        settings: InspectionSettings,
    ) -> None:
        self._inbox = inbox
        self._block_queue = block_queue
        self._sink = sink
        self._state = state
        self._turns = turns
        self._roll_id = roll_id
        self._changes = state.roll_changes
        self._cut_marks = CutMarks(settings.cut_mark_width, roll_id, state.engine_changes.begin_roll)
        self._scale = scale
        self._settings = settings
        self._pictures = DefectPictures(settings, scale)
        self._times = ReceiveTimes()
        self._places = PlaceTrack()
        self._width = ClothWidth(scale)
        self._speed = WebSpeed(scale.mm_per_line)
        self._roll: Roll | None = None
        self._found_before = 0  # defects of the open roll, by engines before
        self._decide_by(style, stride_px)
        self._ledger = CoverageLedger(0)
        self._segment: SegmentStart | None = None
        self._scored_line = 0  # after the last line whose scores came in
        self._smoothed_line = 0  # after the last line whose smoothed scores are known
        self._running = False  # scores have come in since the last break
        self._input_ended = False
        self._latency_new = Latency()
        self._latency_end = Latency()
        self.progress = Progress()
        self.totals = RollTotals(0, 0, 0, 0)

    def _decide_by(self, style: StyleParameters, stride_px: int, first_id: int = 1) -> None:
        """Scores are an engine's from now on; defects count from `first_id`."""
        settings = self._settings
        self._style, self._stride = style, stride_px
        self._rules = DefectRules(
            style.threshold_logit,
            settings.min_area_mm2,
            settings.gap_mm,
            settings.update_step_mm,
            settings.hysteresis_logit,
            settings.run_gap_mm,
            settings.run_width_mm,
            settings.running_mm,
        )
        self._smoother = StripSmoother(style.smoothing_sigma_px / stride_px)
        self._pictures.threshold_logit = style.threshold_logit
        roll_line = 0 if self._roll is None else self._roll.first_line
        self._tracker = DefectTracker(self._rules, self._scale, stride_px, roll_first_line=roll_line, first_id=first_id)

    def run(self) -> None:
        """Work until the input ends; failures go to the run's state."""
        try:
            self._work()
        except BaseException as error:  # noqa: BLE001 - raised again by InspectionPipeline.wait
            self._state.fail(error)
            while not self._input_ended:
                self._input_ended = isinstance(self._inbox.get(), EndOfRun)

    def _work(self) -> None:
        next_progress_s = time.monotonic() + self._settings.progress_s
        while not self._input_ended:
            self._turns.defects += 1
            wait_s = min(TURN_S, max(0.0, next_progress_s - time.monotonic()))
            try:
                message = self._inbox.get(timeout=wait_s)
            except queue.Empty:
                message = None
            if message is not None:
                self._input_ended = isinstance(message, EndOfRun)
                self._handle(message)
            if time.monotonic() >= next_progress_s and not self._input_ended:
                next_progress_s = time.monotonic() + self._settings.progress_s
                self._report_progress()

    def _handle(self, message: ForDefects) -> None:
        match message:
            case LinesSeen():
                self._times.add(message.first_line + len(message.lines), message.received_monotonic_s)
                self._pictures.ring.add_lines(message.first_line, message.lines)
            case ScoreStrip():
                self._take_scores(message)
            case SegmentStart():
                self._pictures.ring.begin(message.segment.cloth)
                self._start_segment(message)
            case EngineTakesOver():
                self._change_engine(message)
            case ClothMoved():
                self._places.move(message.place)
                self._pictures.ring.look_at(message.place.cloth)
            case SegmentEnd():
                self._break()
            case MissedLines():
                self._miss(message)
            case Fault():
                self._sink.fault(message)
            case EndOfRun():
                self._finish()

    def _start_segment(self, start: SegmentStart) -> None:
        segment = start.segment
        self._start_roll(segment.first_line)
        self._segment = start
        self._places.begin(ClothPlace(segment.first_line, segment.cloth, segment.inspected))
        self._sink.segment_started(segment)

    def _change_engine(self, change: EngineTakesOver) -> None:
        """Everything before the line is told; what comes is another engine's, and another roll's where it says so."""
        self._break()
        if change.ends_roll:
            self._end_roll()
            self._changes.engine_takes_over(change.line)
        so_far = None
        if self._roll is not None:
            so_far = self._ledger.totals(self._found, self._width.figures)
            self._found_before = so_far.defects
        engine = change.engine
        self._decide_by(engine.parameters, engine.stride_px, 1 if self._roll is None else self._tracker.next_id)
        self._sink.engine_changed(change.line, engine, so_far)
        self._pictures.ring.rescore()
        if change.start is not None:
            self._start_segment(change.start)
            for place in change.places[1:]:
                self._places.move(place)

    @property
    def _found(self) -> int:
        """Defects of the open roll."""
        return self._found_before + self._tracker.found

    def _start_roll(self, first_line: int) -> None:
        if self._roll is not None:
            return
        self._roll_id = self._next_roll_id(first_line)
        self._roll = Roll(self._roll_id, self._style.style, first_line)
        self._ledger = CoverageLedger(first_line)
        self._tracker = DefectTracker(self._rules, self._scale, self._stride, roll_first_line=first_line)
        self._found_before = 0
        self._width = ClothWidth(self._scale)
        self._cut_marks.roll_started()
        self._sink.roll_started(self._roll)

    def _next_roll_id(self, line: int) -> str:
        """The roll that begins at `line`: the last that was asked for up to there."""
        roll_id = self._roll_id
        while (change := self._changes.next) is not None and change.line <= line:
            roll_id = self._changes.take().roll_id
        return roll_id

    def _change_due(self, first_line: int, end_line: int) -> int | None:
        """The line within [first_line, end_line) from which on the cloth is another roll's; None: there is none."""
        change = self._changes.next
        return None if change is None or change.line >= end_line else max(change.line, first_line)

    def _miss(self, missed: MissedLines) -> None:
        self._break()
        self._start_roll(missed.first_line)
        line = self._change_due(missed.first_line, missed.end_line)
        if line is not None:
            if line > missed.first_line:
                self._book_missed(replace(missed, end_line=line))
            self._end_roll()
            self._start_roll(line)
            self._miss(replace(missed, first_line=line))
            return
        self._book_missed(missed)

    def _book_missed(self, missed: MissedLines) -> None:
        self._ledger.missed(missed.first_line, missed.end_line)
        self._sink.coverage_gap(self._gap(missed))

    def _take_scores(self, strip: ScoreStrip) -> None:
        line = self._change_due(strip.first_line, strip.end_line)
        if line is None:
            self._score(strip)
            return
        n_rows = strip.logits.shape[0]
        row = cut_row(strip.first_line, n_rows, self._stride, line)
        if row > 0:
            self._score(strip.rows(0, row))
        if row == n_rows:
            return  # the change's line lies in the last row: it takes effect with the next strip
        after = strip.rows(row, n_rows)
        self._break()
        self._end_roll()
        self._start_roll(after.first_line)
        self._take_scores(after)

    def _score(self, strip: ScoreStrip) -> None:
        assert self._segment is not None
        if not self._running:  # first scores of the segment, or the first after a failure of the engine
            self._tracker.begin(strip.first_line, self._places, self._segment.first_cell)
            self._smoothed_line = strip.first_line
            self._running = True
        self._ledger.inspected(strip.first_line, strip.end_line)
        self._scored_line = strip.end_line
        for part, place in self._places.pieces(strip):
            rows = self._smoother.push(reflect_outside(part, place.inspected))
            if len(rows):
                self._smoothed(self._strip_of(rows))
        self._places.forget_before(min(self._smoothed_line, self._tracker.oldest_line))

    def _break(self) -> None:
        """The cloth that follows is no neighbour: give out what is held back and end the open defects."""
        if not self._running:
            return
        self._running = False
        rows = self._smoother.flush()
        if len(rows):
            self._smoothed(self._strip_of(rows))
        self._report(self._tracker.flush())

    def _strip_of(self, rows: NDArray[np.float32]) -> ScoreStrip:
        """The smoothed rows that follow those before; the segment's last row may cover fewer lines than the stride."""
        assert self._segment is not None
        first_line = self._smoothed_line
        self._smoothed_line = min(first_line + len(rows) * self._stride, self._scored_line)
        return ScoreStrip(first_line, self._smoothed_line, self._stride, self._segment.first_cell, rows)

    def _smoothed(self, strip: ScoreStrip) -> None:
        assert self._segment is not None
        for part, place in self._places.pieces(strip):
            lowered = lower_selvedges(part, place.cloth, self._segment.width_px, self._style.selvedge)
            judged = silence_outside(lowered, place.inspected)
            self._pictures.ring.add_scores(judged)
            self._sink.scores(judged)
            self._width.add(place.cloth, self._segment.width_px, judged.n_lines)
            self._report(self._tracker.push(judged))
        if self._settings.crops:
            self._pictures.keep_first_parts(self._tracker.open_defects())

    def _report(self, defects: list[Defect]) -> None:
        for found in defects:
            seen, picture = self._pictures.of(found)
            cloth = self._places.last.cloth
            width_mm = self._scale.across_mm(cloth.left_px, cloth.right_px)
            defect = self._cut_marks.mark(seen, width_mm, self._ledger.next_line)
            self._sink.defect(defect, picture)
            self._measure_latency(defect)

    def _measure_latency(self, defect: Defect) -> None:
        received_s = self._times.of_line(defect.box_px.end_line - 1)
        if received_s is None:
            return
        seconds = time.monotonic() - received_s
        if defect.phase is DefectPhase.NEW:
            self._latency_new = self._latency_new.add(seconds)
        elif defect.phase is DefectPhase.END:
            self._latency_end = self._latency_end.add(seconds)

    def _gap(self, missed: MissedLines) -> CoverageGap:
        assert self._roll is not None
        return CoverageGap(
            missed.first_line,
            missed.end_line,
            missed.reason,
            along_mm=(missed.first_line - self._roll.first_line) * self._scale.mm_per_line,
            length_mm=(missed.end_line - missed.first_line) * self._scale.mm_per_line,
            detail=missed.detail,
        )

    def _report_progress(self) -> None:
        figures = self._state.inference
        elapsed_s = time.monotonic() - self._state.started_monotonic_s
        inspected = self._ledger.lines_inspected
        self.progress = Progress(
            elapsed_s=elapsed_s,
            lines_received=figures.lines_received,
            lines_inspected=inspected,
            lines_missed=self._ledger.lines_missed,
            inspected_m=inspected * self._scale.mm_per_line / 1000,
            defects=self._found,
            tiles=figures.tiles,
            tiles_per_s=figures.tiles / figures.busy_s if figures.busy_s > 0 else 0.0,
            lines_per_s=inspected / elapsed_s if elapsed_s > 0 else 0.0,
            block_queue=self._block_queue.qsize(),
            strip_queue=self._inbox.qsize(),
            block_queue_max=self._state.block_queue_max,
            latency_new=self._latency_new,
            latency_end=self._latency_end,
            web_m_per_min=self._speed.m_per_min(time.monotonic(), figures.web_lines),
            cloth_width_mm=self._width.now_mm,
            camera=self._state.camera,
        )
        self._sink.progress(self.progress)

    def _finish(self) -> None:
        self._break()
        self._report_progress()
        self._end_roll()
        if (roll_id := self._changes.last_roll_id) is not None:
            self._sink.fault(Fault("roll_without_cloth", f"the roll {roll_id} was asked for and no line of it came"))

    def _end_roll(self) -> None:
        if self._roll is None:
            return
        roll, self._roll = self._roll, None
        self.totals = self._ledger.totals(self._found, self._width.figures)
        self._sink.roll_ended(roll, self.totals)
