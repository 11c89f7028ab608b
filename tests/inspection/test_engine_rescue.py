"""An engine that fails gives way to another one: what was missed, what was scored, and by whom."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inspection_peers import BlockCamera, ConvEngine, FailingEngine, NanEngine, Notes, blocks_of

from glass_edge.config.inspection import InspectionSettings
from glass_edge.engine.base import Engine, EngineError
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.inspection.coverage import GapReason
from glass_edge.inspection.engine_changes import EngineChanges, ReadyEngine
from glass_edge.inspection.one_shot import score_strip
from glass_edge.inspection.parameters import ActiveEngine, StyleParameters
from glass_edge.inspection.pipeline import InspectionPipeline
from glass_edge.inspection.roll_changes import RollChanges

WIDTH, HALO, TILE, STRIDE = 150, 16, (64, 64), 4
ROW = TILE[0] - 2 * HALO


def ready(engine: ConvEngine, style: str = "poplin") -> ReadyEngine:
    active = ActiveEngine("1", "0" * 64, engine.facts, engine.score_stride_px, StyleParameters(style, HALO, 0.0, 1e9))
    return ReadyEngine(engine.__enter__(), active, ClothSpan(0, WIDTH))


@dataclass
class Help:
    """The station's side: an engine that is brought at the nth question, and what was asked."""

    changes: EngineChanges
    other: ReadyEngine
    at_question: int = 1
    keeps: bool = False
    questions: int = 0
    kept: Engine | None = None

    def rescue(self, problem: str) -> bool:
        assert "times in a row" in problem
        self.questions += 1
        if self.questions == self.at_question:
            assert self.changes.fall_back(self.other)
        return self.questions <= self.at_question

    def keep(self, engine: Engine, successor: ReadyEngine) -> bool:
        assert successor is self.other
        self.kept = engine if self.keeps else None
        return self.keeps


def run(engine: ConvEngine, lines: np.ndarray, sizes: list[int], to_stop: int) -> tuple[InspectionPipeline, Notes]:
    notes = Notes()
    pipeline = InspectionPipeline(
        BlockCamera([lambda block=block: block for block in blocks_of(lines, sizes)], WIDTH),
        engine,
        notes,
        roll_id="R1",
        style=StyleParameters("poplin", HALO, 0.0, 1e9),
        scale=WebScale(0.5, 0.25),
        cloth=ClothSpan(0, WIDTH),
        settings=InspectionSettings(gap_mm=0.0, run_gap_mm=0.0, read_timeout_s=0.02, engine_failures_to_stop=to_stop),
        live=False,
    )
    return pipeline, notes


def cloth(n: int) -> np.ndarray:
    return np.random.default_rng(3).integers(118, 138, (n, WIDTH), dtype=np.uint8)


@settings(deadline=None, max_examples=60)
@given(
    failing=st.tuples(st.integers(0, 30), st.booleans()),
    to_stop=st.integers(1, 4),
    at_question=st.integers(1, 3),
    keeps=st.booleans(),
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=3),
)
def test_it_fails_from_some_row_on_and_the_other_engine_goes_on_from_a_row_border(
    failing: tuple[int, bool], to_stop: int, at_question: int, keeps: bool, sizes: list[int]
) -> None:
    (from_batch, is_nan), n = failing, 1600
    lines = cloth(n)
    shape = {"tile": TILE, "stride": STRIDE, "max_batch": 8, "depth": 1}  # a row of tiles is a batch

    def fails(batch: int) -> bool:
        return batch >= from_batch

    engine = NanEngine(fails, **shape) if is_nan else FailingEngine(fails, **shape)
    other = ConvEngine(tile=(96, 64), stride=8, seed=5)
    pipeline, notes = run(engine, lines, sizes, to_stop)
    helper = Help(pipeline.engine_changes, ready(other), at_question, keeps)
    pipeline.engine_changes.help = helper
    pipeline.start()
    totals = pipeline.wait(60)
    assert helper.questions == at_question
    assert other.closed
    assert engine.closed != keeps
    assert (helper.kept is engine) == keeps
    ((line, active, _),) = notes.of("engine")
    assert active is helper.other.active
    gaps = [(gap.first_line, gap.end_line, gap.reason) for gap in notes.of("gap")]
    strips = [(strip.first_line, strip.end_line) for strip in notes.of("scores")]
    booked = sorted([gap[:2] for gap in gaps] + strips)
    assert booked[0][0] == 0
    assert booked[-1][1] == n
    assert all(one[1] == two[0] for one, two in itertools.pairwise(booked))
    assert totals.lines_woven == n
    # One stretch failed: from the first failing row to the border; no longer than the questions and the handover need.
    reason = GapReason.NON_FINITE_SCORES if is_nan else GapReason.ENGINE_ERROR
    failed = [gap for gap in gaps if gap[2] is reason]
    first = HALO + from_batch * ROW
    assert failed[0][0] == first
    assert failed[-1][1] == line
    assert to_stop * at_question * ROW <= line - first <= (to_stop * at_question + 4) * ROW
    assert {gap[2] for gap in gaps} == {GapReason.SEGMENT_EDGE, reason}
    # From the border on the scores are those of the other engine alone.
    start = line - HALO
    truth = score_strip(ConvEngine(tile=(96, 64), stride=8, seed=5), lines[start:], ClothSpan(0, WIDTH), halo_px=HALO)
    for strip in notes.of("scores"):
        if strip.first_line >= line:
            row = (strip.first_line - start - truth.first_line) // 8
            expected = truth.logits[row : row + strip.logits.shape[0]]
            left = truth.first_cell - strip.first_cell
            assert np.array_equal(strip.logits[:, left : left + truth.logits.shape[1]], expected)
    if keeps:
        engine.__exit__(None, None, None)


def test_without_help_it_ends_after_as_many_failures_as_it_always_did() -> None:
    engine = FailingEngine(lambda batch: batch >= 3, tile=TILE, stride=STRIDE, max_batch=8, depth=1)
    pipeline, notes = run(engine, cloth(900), [50], 4)
    pipeline.start()
    with pytest.raises(EngineError, match="the engine failed 4 times in a row"):
        pipeline.wait(60)
    assert len([gap for gap in notes.of("gap") if gap.reason is GapReason.ENGINE_ERROR]) == 4
    assert engine.closed


def test_who_may_fall_back_and_when() -> None:
    changes = EngineChanges(RollChanges(), "poplin")
    one, two, twill = (ready(ConvEngine(tile=TILE), style) for style in ("poplin", "poplin", "twill"))
    assert not changes.rescue("it failed")  # nobody helps
    assert not changes.keep(one.engine, two)
    assert not changes.fall_back(twill)  # another style decides
    assert changes.offer(twill) is None  # it waits for a roll
    assert changes.fall_back(one)
    assert changes.rescue("it failed")  # that one is on its way
    assert not changes.fall_back(two)
    assert changes.waits_for_roll  # and goes on waiting
    assert changes.take().ready is one
    changes.begin_roll(100, "R2")
    assert not changes.fall_back(two)  # the twill is about to decide
    assert changes.take().ready is twill
    changes.close()
    assert not changes.fall_back(twill)
    for each in (one, two, twill):
        each.engine.__exit__(None, None, None)
