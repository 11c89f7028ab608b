"""The tile and inference thread: blocks in, score strips out.

Promises: every line taken in leaves this thread exactly once and in order, in a `ScoreStrip` or as `MissedLines`, also
when the engine or anything else fails; engines are used in this thread only; the last message is `EndOfRun` and always
comes; after a failure the input is still emptied, so that the camera thread never hangs. Another engine takes over
without waiting for anything: it comes ready, and the one before is closed in a thread of its own.
"""

from __future__ import annotations

import contextlib
import queue
import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.camera import LineBlock
from glass_edge.config.inspection import InspectionSettings
from glass_edge.engine.base import Engine, EngineError
from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.inspection.cloth_columns import ClothColumns
from glass_edge.inspection.cloth_place import ClothPlace, PlaceTrack
from glass_edge.inspection.coverage import GapReason
from glass_edge.inspection.handover import Handover
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
from glass_edge.inspection.parameters import SpanFinder
from glass_edge.inspection.run_state import RunState
from glass_edge.inspection.score_strip import EdgeLines, FailedLines
from glass_edge.inspection.scoring import Scoring
from glass_edge.inspection.segment_head import SegmentHead
from glass_edge.inspection.selvedge_follower import SelvedgeFollower
from glass_edge.inspection.sink import Fault, Segment
from glass_edge.inspection.strip_scorer import Scored
from glass_edge.inspection.turns import TURN_S, StageTurns

_NO_END = 1 << 62


class InferenceStage:
    """Body of the inference thread.

    Args:
        engine: to begin with, not yet entered; entered and left here, as are those that take over later.
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
        self._settings = settings
        self._cloth = cloth
        self._head = SegmentHead(cloth if isinstance(cloth, ClothSpan) else self._find, settings.span_lines)
        self._follower: SelvedgeFollower | None = None
        if wander_mm > 0 and not isinstance(cloth, ClothSpan):
            self._follower = SelvedgeFollower(self._find, settings.follow_lines)
        self._columns = ClothColumns(selvedge_margin_mm, 0.0 if self._follower is None else wander_mm, scale)
        self._changes = state.engine_changes
        self._scoring = Scoring(engine, halo_px, self._changes, settings, outbox.put)
        self._places = PlaceTrack()  # of the open segment
        self._line_shape = (0, 0)  # width and channels of its lines
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
            self._engine.__enter__()
            with contextlib.ExitStack() as leaving:
                leaving.callback(self._scoring.close)
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
                if self._scoring.scorer.plan is not None:
                    begun = time.monotonic()
                    self._deliver((self._scoring.handover or self._scoring.scorer).drain())
                    self._count(begun)
                arrival = self._untaken = self._wait_for_arrival()
            if self._state.drain_expired():
                if self._scoring.scorer.plan is not None:
                    self._deliver(self._scoring.scorer.abandon())
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
        self._state.inference.tiles = self._scoring.tiles_scored

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
            self._miss_between(missed)
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
        if self._scoring.scorer.plan is not None:
            rest = self._feed(seen)
        if rest is None:
            return
        self._head.put(rest)
        while self._scoring.scorer.plan is None and self._head.is_enough():
            self._start_segment()

    def _start_segment(self) -> None:
        """Look for the cloth in the head; either a segment starts, or the searched lines are a gap."""
        first_line = self._head.first_line
        while (change := self._changes.next) is not None and change.line <= first_line:
            self._take_over(first_line)
        found = self._head.find_cloth()
        if isinstance(found, MissedLines):
            if not self._cloth_was_missing:
                self._outbox.put(Fault("no_cloth_found", f"from line {first_line}: {found.detail}"))
            self._cloth_was_missing = True
            self._miss_between(found)
            return
        self._cloth_was_missing = False
        self._line_shape = width, channels = self._head.line_shape
        scorer = self._scoring.scorer
        inspected = self._columns.inspected(found, width, scorer.geometry)
        covered = self._columns.covered([found], width, scorer.geometry)
        if self._follower is not None:
            self._follower.begin(first_line, found)
        self._places.begin(ClothPlace(first_line, found, inspected))
        plan = scorer.begin(first_line, width, channels, covered)
        self._outbox.put(SegmentStart(Segment(first_line, found, inspected, self._source), plan.first_cell, width))
        for seen in self._head.take_all():
            self._take_lines(seen)

    def _find(self, lines: NDArray[np.uint8]) -> ClothSpan:
        """The cloth in `lines`, as the engine that scores needs it."""
        assert not isinstance(self._cloth, ClothSpan)
        return self._cloth(lines)

    def _feed(self, seen: LinesSeen) -> LinesSeen | None:
        """Lines to the open segment; what is left of them where it ended because the cloth went away."""
        rest: LinesSeen | None = seen
        while rest is not None:
            if not self._prepare_handover(rest.first_line):
                self._end_strip()
                self._take_over(rest.first_line)
                return rest
            piece, rest = rest.cut(self._lines_together(rest.first_line))
            self._outbox.put(piece)
            handover = self._scoring.handover
            self._deliver((handover or self._scoring.scorer).push(piece.lines))
            if handover is not None and handover.is_over:
                self._finish(handover)
            if self._follower is not None and not self._follow(self._follower, piece):
                self._end_strip()
                return rest
        return None

    def _lines_together(self, line: int) -> int:
        """Lines from `line` on until something is to be done before the next."""
        looks = [] if self._follower is None else [self._follower.lines_to_look(line)]
        handover = self._scoring.handover
        if handover is not None and not handover.has_begun:
            looks.append(handover.start_line - line)
        return min(looks, default=_NO_END)

    def _prepare_handover(self, line: int) -> bool:
        """Let an engine that is due begin, the lines before `line` being taken; False: it finds no columns in this
        segment, which has to end.
        """
        handover = self._scoring.plan_handover()
        if handover is None or handover.has_begun or line < handover.start_line:
            return True
        cloths = [place.cloth for place in self._places.since(handover.start_line)]
        width, channels = self._line_shape
        try:
            handover.begin(width, channels, self._columns.covered(cloths, width, handover.new.geometry))
        except InputError as error:
            self._outbox.put(Fault("web_moved", f"to line {line}: the next engine cannot take over here: {error}"))
            return False
        return True

    def _finish(self, handover: Handover) -> None:
        """The engine before has scored what is its own; the next one goes on."""
        new, line, width = handover.new, handover.line, self._line_shape[0]
        assert new.plan is not None
        self._deliver(handover.end_old())
        places = [
            replace(place, inspected=self._columns.inspected(place.cloth, width, new.geometry))
            for place in self._places.since(line)
        ]
        segment = Segment(line, places[0].cloth, places[0].inspected, self._source)
        self._take_over(line, SegmentStart(segment, new.plan.first_cell, width), tuple(places))
        self._deliver(handover.take_new())

    def _take_over(self, line: int, start: SegmentStart | None = None, places: tuple[ClothPlace, ...] = ()) -> None:
        """From `line` on the engine that is due decides; with `start`, in the middle of a segment."""
        change = self._scoring.take_over()
        self._cloth = change.ready.cloth
        self._failures_in_a_row = 0
        self._outbox.put(EngineTakesOver(line, change.ready.active, change.ends_roll, start, places))

    def _follow(self, follower: SelvedgeFollower, piece: LinesSeen) -> bool:
        """Tell where the cloth is now; False when it is where no tile is, or nowhere."""
        moved = follower.see(piece)
        line = piece.first_line + len(piece.lines)
        if follower.is_lost:
            self._outbox.put(Fault("no_cloth_found", f"to line {line}: the cloth is not seen any more"))
            return False
        if moved is None:
            return True
        width = self._line_shape[0]
        try:
            inspected = self._columns.inspected(moved, width, self._scoring.scorer.geometry)
        except InputError as error:
            self._outbox.put(Fault("web_moved", f"to line {line}: {error}"))
            return False
        if not self._columns.are_within(self._scoring.scorers, moved, width):
            told = (
                f"the web wandered by more than wander_mm = {self._columns.wander_mm:g} since its selvedges were "
                f"looked for last; they are looked for again from line {line} on, and the halo before and behind is "
                "not inspected"
            )
            self._outbox.put(Fault("web_moved", told))
            return False
        place = ClothPlace(line, moved, inspected)
        self._places.move(place)
        self._outbox.put(ClothMoved(place))
        return True

    def _end_segment(self) -> None:
        while self._scoring.scorer.plan is None and self._head.n_lines:
            self._start_segment()
        if self._scoring.scorer.plan is not None:
            self._end_strip()

    def _end_strip(self) -> None:
        """The open segment ends with the lines taken so far."""
        handover = self._scoring.handover
        if handover is not None and handover.reaches:
            self._finish(handover)
        else:
            self._scoring.give_up_handover()
        self._deliver(self._scoring.scorer.end())
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
                told = f"the engine failed {self._failures_in_a_row} times in a row, last: {problem}"
                if not self._changes.rescue(told):
                    raise EngineError(told)
                self._failures_in_a_row = 0  # asked again after as many more

    def _miss_between(self, missed: MissedLines) -> None:
        """Lines between two segments; an engine that is due within them takes over there."""
        while (change := self._changes.next) is not None and change.line < missed.end_line:
            line = max(change.line, missed.first_line)
            if line > missed.first_line:
                self._miss(replace(missed, end_line=line))
                missed = replace(missed, first_line=line)
            self._take_over(line)
        self._miss(missed)

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
