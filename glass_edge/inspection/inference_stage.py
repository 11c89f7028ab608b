"""The tile and inference thread: blocks in, score strips out.

Promises: every line taken in leaves this thread exactly once and in order, in a `ScoreStrip` or as `MissedLines`, also
when the engine or anything else fails; the engine is entered, used and left in this thread only; the last message is
`EndOfRun` and always comes; after a failure the input is still emptied, so that the camera thread never hangs.
"""

from __future__ import annotations

import contextlib
import queue
import time

import numpy as np

from glass_edge.acquisition.camera import LineBlock
from glass_edge.config.inspection import InspectionSettings
from glass_edge.engine.base import Engine, EngineError
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.inspection.cloth_place import ClothPlace
from glass_edge.inspection.coverage import GapReason
from glass_edge.inspection.messages import (
    Arrival,
    ClothMoved,
    EndOfRun,
    ForDefects,
    LinesSeen,
    MissedLines,
    SegmentEnd,
    SegmentStart,
)
from glass_edge.inspection.parameters import SpanFinder, followed_span, inspected_span
from glass_edge.inspection.run_state import RunState
from glass_edge.inspection.score_strip import EdgeLines, FailedLines
from glass_edge.inspection.segment_head import SegmentHead
from glass_edge.inspection.selvedge_follower import SelvedgeFollower
from glass_edge.inspection.sink import Fault, Segment
from glass_edge.inspection.strip_scorer import Scored, StripScorer
from glass_edge.inspection.turns import TURN_S, StageTurns


class InferenceStage:
    """Body of the inference thread.

    Args:
        engine: not yet entered.
        inbox, outbox: bounded queues from the camera thread and to the defects thread.
        state: flags of the run.
        turns: counts the turns of the loop.
        cloth: fixed span of the cloth, or the function that finds it at the start of each segment and follows it.
        selvedge_margin_mm: strip inside each selvedge that is not inspected; at least the halo.
        wander_mm: way of a found selvedge that the tiles leave room for; 0: not followed.
        halo_px: of the bundle.
        scale: size of a pixel, for the selvedge margin.
        settings: of the inspection.
    """

    def __init__(
        self,
        engine: Engine,
        inbox: queue.Queue[Arrival],
        outbox: queue.Queue[ForDefects],
        state: RunState,
        turns: StageTurns,
        *,
        cloth: ClothSpan | SpanFinder,
        selvedge_margin_mm: float,
        wander_mm: float,
        halo_px: int,
        scale: WebScale,
        settings: InspectionSettings,
    ) -> None:
        self._engine = engine
        self._inbox = inbox
        self._outbox = outbox
        self._state = state
        self._turns = turns
        self._scale = scale
        self._margin_mm = selvedge_margin_mm
        self._settings = settings
        self._halo_px = halo_px
        self._wander_mm = wander_mm
        self._head = SegmentHead(cloth, settings.span_lines)
        self._follower: SelvedgeFollower | None = None
        if wander_mm > 0 and not isinstance(cloth, ClothSpan):
            self._follower = SelvedgeFollower(cloth, settings.follow_lines)
        self._scorer = StripScorer(engine, halo_px=halo_px, advance_px=settings.advance_px, batch=settings.batch)
        self._source = ""
        self._received_line: int | None = None  # after the last line taken in
        self._delivered_line: int | None = None  # after the last line handed on
        self._failures_in_a_row = 0
        self._cloth_was_missing = False
        self._input_ended = False
        self._untaken: Arrival | None = None  # taken from the queue, its lines not yet in `_received_line`

    def run(self) -> None:
        """Work until the input ends; failures go to the run's state."""
        try:
            with self._engine:
                self._state.started_monotonic_s = time.monotonic()
                self._state.engine_ready.set()
                self._work()
        except BaseException as error:  # noqa: BLE001 - raised again by InspectionPipeline.wait
            self._state.fail(error)
            self._outbox.put(Fault("fatal", f"the inference thread ended: {error}", is_fatal=True))
        finally:
            self._state.engine_ready.set()
            self._give_up_the_rest()
            self._outbox.put(EndOfRun())

    def _work(self) -> None:
        while not self._input_ended:
            self._turns.inference += 1
            try:
                arrival = self._untaken = self._inbox.get_nowait()
            except queue.Empty:
                # Nothing to overlap with: hand out what is in flight instead of letting it lie until the next block.
                if self._scorer.plan is not None:
                    begun = time.monotonic()
                    self._deliver(self._scorer.drain())
                    self._count(begun)
                arrival = self._untaken = self._wait_for_arrival()
            if self._state.drain_expired():
                if self._scorer.plan is not None:
                    self._deliver(self._scorer.abandon())
                self._pass_over(arrival)
                return
            begun = time.monotonic()
            self._take(arrival)
            self._count(begun)

    def _wait_for_arrival(self) -> Arrival:
        while True:
            self._turns.inference += 1
            with contextlib.suppress(queue.Empty):
                return self._inbox.get(timeout=TURN_S)

    def _count(self, begun_s: float) -> None:
        self._state.inference.busy_s += time.monotonic() - begun_s
        self._state.inference.tiles = self._scorer.tiles_scored

    def _take(self, arrival: Arrival) -> None:
        block = arrival.block
        if block is None and not arrival.is_end:
            self._untaken = None
            for fault in arrival.faults:
                self._outbox.put(fault)
            return
        if arrival.missed or block is None or block.starts_segment:
            self._end_segment()
        self._untaken = None
        for fault in arrival.faults:
            self._outbox.put(fault)
        for missed in arrival.missed:
            self._miss(missed)
        if block is None:
            self._input_ended = True
            return
        self._receive(block)
        self._source = block.source
        seen = LinesSeen(block.first_line, block.lines, block.received_monotonic_s)
        self._take_lines(seen)

    def _take_lines(self, seen: LinesSeen) -> None:
        """Lines of the web's order: to the open segment, or to the head of the next one."""
        rest: LinesSeen | None = seen
        if self._scorer.plan is not None:
            rest = self._feed(seen)
        if rest is None:
            return
        self._head.put(rest)
        while self._scorer.plan is None and self._head.is_enough():
            self._start_segment()

    def _start_segment(self) -> None:
        """Look for the cloth in the head; either a segment starts, or the searched lines are a gap."""
        first_line = self._head.first_line
        found = self._head.find_cloth()
        if isinstance(found, MissedLines):
            if not self._cloth_was_missing:
                self._outbox.put(Fault("no_cloth_found", f"from line {first_line}: {found.detail}"))
            self._cloth_was_missing = True
            self._miss(found)
            return
        self._cloth_was_missing = False
        width, channels = self._head.line_shape
        inspected = self._inspected(found, width)
        covered = inspected
        if self._follower is not None:
            self._follower.begin(first_line, found)
            covered = followed_span(
                inspected,
                found,
                width,
                self._wander_mm,
                self._scale,
                halo_px=self._halo_px,
                stride_px=self._engine.score_stride_px,
            )
        plan = self._scorer.begin(first_line, width, channels, covered)
        self._outbox.put(SegmentStart(Segment(first_line, found, inspected, self._source), plan.first_cell, width))
        for seen in self._head.take_all():
            self._take_lines(seen)

    def _inspected(self, cloth: ClothSpan, width_px: int) -> ClothSpan:
        stride = self._engine.score_stride_px
        return inspected_span(cloth, width_px, self._margin_mm, self._scale, halo_px=self._halo_px, stride_px=stride)

    def _feed(self, seen: LinesSeen) -> LinesSeen | None:
        """Lines to the open segment; what is left of them where it ended because the cloth went away."""
        rest: LinesSeen | None = seen
        while rest is not None:
            piece, rest = rest, None
            if self._follower is not None:
                piece, rest = piece.cut(self._follower.lines_to_look(piece.first_line))
            self._outbox.put(piece)
            self._deliver(self._scorer.push(piece.lines))
            if self._follower is not None and not self._follow(self._follower, piece):
                self._deliver(self._scorer.end())
                self._outbox.put(SegmentEnd())
                return rest
        return None

    def _follow(self, follower: SelvedgeFollower, piece: LinesSeen) -> bool:
        """Tell where the cloth is now; False when it is where no tile is, or nowhere."""
        moved = follower.see(piece)
        line, width = piece.first_line + len(piece.lines), piece.lines.shape[1]
        if follower.is_lost:
            self._outbox.put(Fault("no_cloth_found", f"to line {line}: the cloth is not seen any more"))
            return False
        if moved is None:
            return True
        assert self._scorer.plan is not None
        covered = self._scorer.plan.span
        try:
            inspected = self._inspected(moved, width)
        except InputError as error:
            self._outbox.put(Fault("web_moved", f"to line {line}: {error}"))
            return False
        if inspected.left_px < covered.left_px or inspected.right_px > covered.right_px:
            told = (
                f"the web wandered by more than wander_mm = {self._wander_mm:g} since its selvedges were looked for "
                f"last; they are looked for again from line {line} on, and the halo before and behind is not inspected"
            )
            self._outbox.put(Fault("web_moved", told))
            return False
        self._outbox.put(ClothMoved(ClothPlace(line, moved, inspected)))
        return True

    def _end_segment(self) -> None:
        while self._scorer.plan is None and self._head.n_lines:
            self._start_segment()
        if self._scorer.plan is not None:
            self._deliver(self._scorer.end())
            self._outbox.put(SegmentEnd())

    def _deliver(self, results: list[Scored]) -> None:
        for result in results:
            if isinstance(result, EdgeLines):
                detail = "too near to the start or the end of this stretch of cloth to be scored"
                self._miss(MissedLines(result.first_line, result.end_line, GapReason.SEGMENT_EDGE, detail))
                continue
            if isinstance(result, FailedLines):
                reason, problem = GapReason.ENGINE_ERROR, str(result.error) or type(result.error).__name__
            elif not np.isfinite(result.logits).all():
                reason, problem = GapReason.NON_FINITE_SCORES, "the engine gave scores that are no numbers"
            else:
                self._failures_in_a_row = 0
                self._outbox.put(result)
                self._delivered_line = result.end_line
                continue
            self._failures_in_a_row += 1
            where = f"lines {result.first_line} to {result.end_line - 1}"
            self._outbox.put(Fault(reason.value, f"{where} were not inspected: {problem}"))
            self._miss(MissedLines(result.first_line, result.end_line, reason, problem))
            if self._failures_in_a_row >= self._settings.engine_failures_to_stop:
                raise EngineError(f"the engine failed {self._failures_in_a_row} times in a row, last: {problem}")

    def _miss(self, missed: MissedLines) -> None:
        self._outbox.put(missed)
        self._delivered_line = missed.end_line

    def _pass_over(self, arrival: Arrival) -> None:
        """Account for an arrival that will not be inspected."""
        self._untaken = None
        for fault in arrival.faults:
            self._outbox.put(fault)
        for missed in arrival.missed:
            self._miss_until(missed.first_line)
            self._miss(missed)
        if arrival.block is None:
            self._input_ended = arrival.is_end
            return
        self._receive(arrival.block)

    def _receive(self, block: LineBlock) -> None:
        """The block is here, to be inspected or to be accounted for."""
        figures = self._state.inference
        before = block.first_line if self._received_line is None else self._received_line
        figures.lines_received += block.n_lines
        figures.web_lines += block.end_line - before
        self._received_line = block.end_line
        if self._delivered_line is None:
            self._delivered_line = block.first_line

    def _miss_until(self, end_line: int | None) -> None:
        if end_line is not None and self._delivered_line is not None and end_line > self._delivered_line:
            detail = "the inspection ended before these lines could be scored"
            self._miss(MissedLines(self._delivered_line, end_line, GapReason.SHUTDOWN, detail))

    def _give_up_the_rest(self) -> None:
        if self._untaken is not None:
            self._pass_over(self._untaken)
        while not self._input_ended:
            self._pass_over(self._inbox.get())
        self._miss_until(self._received_line)
