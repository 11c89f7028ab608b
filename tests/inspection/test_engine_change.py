"""Another engine takes over while the cloth runs: beside two separate runs, and with every line accounted for."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inspection_peers import BlockCamera, ConvEngine, FailingEngine, Notes, Pixels, blocks_of

from glass_edge.acquisition.camera import LineBlock
from glass_edge.config.inspection import InspectionSettings
from glass_edge.errors import InputError
from glass_edge.fabric.defect import Defect, DefectPhase
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.coverage import GapReason
from glass_edge.inspection.engine_changes import ReadyEngine
from glass_edge.inspection.one_shot import score_strip
from glass_edge.inspection.parameters import ActiveEngine, SpanFinder, StyleParameters
from glass_edge.inspection.pipeline import InspectionPipeline
from glass_edge.inspection.score_strip import ScoreStrip

WIDTH = 150
SCALE = WebScale(0.5, 0.25)
NEVER = 1e9
Cloth = ClothSpan | SpanFinder


def cloth(n: int, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(118, 138, (n, WIDTH), dtype=np.uint8)


def parameters(
    style: str = "poplin", *, halo: int = 16, sigma: float = 0.0, threshold: float = NEVER
) -> StyleParameters:
    return StyleParameters(style, halo, sigma, threshold)


def ready(engine: ConvEngine, style: StyleParameters, span: Cloth | None = None) -> ReadyEngine:
    active = ActiveEngine("2", "0" * 64, engine.facts, engine.score_stride_px, style)
    return ReadyEngine(engine.__enter__(), active, span or ClothSpan(0, WIDTH))


@dataclass
class Run:
    notes: Notes
    rolls: list[tuple[Roll, RollTotals]] = field(default_factory=list)

    @property
    def lines(self) -> list[int]:
        """From where on each engine that took over decided."""
        return [line for line, _, _ in self.notes.of("engine")]

    @property
    def strips(self) -> list[ScoreStrip]:
        return self.notes.of("scores")

    @property
    def ends(self) -> list[Defect]:
        return [defect for defect in self.notes.of("defect") if defect.phase is DefectPhase.END]

    def check_sums(self, end_line: int) -> None:
        """Every line is in one roll, inspected or in a gap."""
        inspected = [(s.first_line, s.end_line) for s in self.strips]
        missed = [(gap.first_line, gap.end_line) for gap in self.notes.of("gap")]
        booked = sorted(inspected + missed)
        assert booked[0][0] == 0
        assert booked[-1][1] == end_line
        assert all(a[1] == b[0] for a, b in itertools.pairwise(booked))
        for (roll, totals), following in itertools.zip_longest(self.rolls, self.rolls[1:]):
            end = end_line if following is None else following[0].first_line
            assert roll.first_line + totals.lines_woven == end
            assert totals.lines_inspected + totals.lines_missed == totals.lines_woven
        assert sum(totals.lines_inspected for _, totals in self.rolls) == sum(b - a for a, b in inspected)


def inspect(
    blocks: Sequence[LineBlock],
    engine: ConvEngine,
    style: StyleParameters,
    acts: dict[int, Callable[[InspectionPipeline], object]],
    *,
    span: Cloth | None = None,
    wander_mm: float = 0.0,
    width: int = WIDTH,
    **changes: object,
) -> Run:
    """Inspect the blocks; before block n is handed over, and when those before are taken in, `acts[n]` is done."""
    run = Run(Notes())
    run.notes.roll_ended = lambda roll, totals: run.rolls.append((roll, totals))  # type: ignore[method-assign]

    def played(number: int, block: LineBlock) -> Callable[[], LineBlock]:
        def play() -> LineBlock:
            if number in acts:
                taken = sum(before.n_lines for before in blocks[:number])
                while pipeline._state.inference.lines_received < taken:
                    time.sleep(0.0005)
                acts[number](pipeline)
            return block

        return play

    pipeline = InspectionPipeline(
        BlockCamera([played(*each) for each in enumerate(blocks)], width),
        engine,
        run.notes,
        roll_id="R1",
        style=style,
        scale=SCALE,
        cloth=span or ClothSpan(0, width),
        wander_mm=wander_mm,
        settings=InspectionSettings(**({"gap_mm": 0.0, "run_gap_mm": 0.0, "read_timeout_s": 0.02} | changes)),
        live=False,
    )
    pipeline.start()
    pipeline.wait(60)
    return run


def assert_scores(strips: Sequence[ScoreStrip], truth: ScoreStrip, first_line: int, end_line: int, at: int) -> None:
    """The strips hold the scores of `truth` (a run that began at line `at`) for the lines from first to end."""
    stride, line = truth.stride_px, first_line
    for strip in strips:
        assert strip.first_line == line
        row = (line - at - truth.first_line) // stride
        expected = truth.logits[row : row + strip.logits.shape[0]]
        left = truth.first_cell - strip.first_cell
        assert np.array_equal(strip.logits[:, left : left + truth.logits.shape[1]], expected)
        line = strip.end_line
    assert line == end_line


@st.composite
def engines(draw: st.DrawFn) -> tuple[dict[str, Any], int]:
    halo = 16 * draw(st.integers(0, 2))
    inner_h, inner_w = (16 * draw(st.integers(1, 4)) for _ in range(2))
    engine = {
        "tile": (inner_h + 2 * halo, inner_w + 2 * halo),
        "stride": draw(st.sampled_from([2, 4, 8, 16])),
        "channels": draw(st.sampled_from([1, 3])),  # the camera is grey
        "reach": draw(st.integers(0, 20)),
        "max_batch": draw(st.integers(1, 4)),
        "depth": draw(st.integers(1, 3)),
        "seed": draw(st.integers(0, 9)),
    }
    return engine, halo


@settings(deadline=None, max_examples=120)
@given(
    old=engines(),
    new=engines(),
    n=st.integers(1, 500),
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=4),
    asks=st.tuples(st.integers(0, 12), st.booleans()),
)
def test_each_side_of_the_border_is_that_of_a_run_of_its_own(
    old: tuple[dict[str, Any], int],
    new: tuple[dict[str, Any], int],
    n: int,
    sizes: list[int],
    asks: tuple[int, bool],
) -> None:
    at_block, ends_roll = asks
    lines = cloth(n)
    next_engine = ConvEngine(**new[0])
    asked: list[int] = []

    def ask(pipeline: InspectionPipeline) -> None:
        style = "twill" if ends_roll else "poplin"
        assert pipeline.engine_changes.offer(ready(next_engine, parameters(style, halo=new[1]))) is None
        asked.append(pipeline.change_roll("R2") if ends_roll else 0)

    engine = ConvEngine(**old[0])
    blocks = blocks_of(lines, sizes)
    run = inspect(blocks, engine, parameters(halo=old[1]), {at_block: ask})
    assert engine.closed
    run.check_sums(n)
    gaps = [(gap.first_line, gap.end_line, gap.reason) for gap in run.notes.of("gap")]
    assert {reason for _, _, reason in gaps} <= {GapReason.SEGMENT_EDGE}
    if not run.lines:  # too little cloth came after it
        assert not asked or n < asked[0] + max(old[0]["tile"][0], new[0]["tile"][0]) + sum(new[0]["tile"])
        assert next_engine.closed == bool(asked)
        return
    (line,) = run.lines
    assert next_engine.closed
    halo, stride = old[1], old[0]["stride"]
    if ends_roll:
        assert line >= asked[0]
        assert [roll.style for roll, _ in run.rolls] == ["poplin", "twill"] if line else ["twill"]
        assert run.rolls[-1][0].first_line == line
        # Where the old engine holds fewer lines than the new halo, and at the start of the cloth, it is a little later.
        too_few = max(0, new[1] + 1 - (old[0]["tile"][0] - halo))
        assert line < max(asked[0] + too_few, halo + 1, new[1]) + stride
    before = [strip for strip in run.strips if strip.end_line <= line]
    after = [strip for strip in run.strips if strip.first_line >= line]
    assert len(before) + len(after) == len(run.strips)
    if before:
        truth = score_strip(ConvEngine(**old[0]), lines, ClothSpan(0, WIDTH), halo_px=halo)
        assert_scores(before, truth, halo, line, 0)
        start = line - new[1]  # its scores begin where the old ones end
    else:
        start = line
    if after:
        truth = score_strip(ConvEngine(**new[0]), lines[start:], ClothSpan(0, WIDTH), halo_px=new[1])
        assert_scores(after, truth, start + new[1], after[-1].end_line, start)
    # Nothing is missed but the two ends of the cloth.
    end_edge = n - (after[-1].end_line if after else line)
    first_edge = halo if before else new[1] if after else 0
    assert sum(end - first for first, end, _ in gaps) == first_edge + end_edge
    if before:
        assert end_edge < new[1] + new[0]["stride"]


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=4),
    jumps=st.sets(st.integers(1, 8), max_size=2),
    acts=st.lists(st.tuples(st.integers(0, 10), st.sampled_from(["same", "other", "roll"])), max_size=6),
)
def test_every_line_is_booked_once_whatever_is_asked_for(
    sizes: list[int], jumps: set[int], acts: list[tuple[int, str]]
) -> None:
    blocks, shift = [], 0
    for number, block in enumerate(blocks_of(cloth(400), sizes)):
        shift += 37 if number in jumps else 0  # the camera loses lines
        line = block.first_line + shift
        blocks.append(LineBlock(block.lines, line, line, block.captured_utc, block.received_monotonic_s))
    offered: list[ConvEngine] = []
    rolls: list[str] = []

    def act(kind: str) -> Callable[[InspectionPipeline], None]:
        def do(pipeline: InspectionPipeline) -> None:
            if kind == "roll":
                rolls.append(f"R{len(rolls) + 2}")
                pipeline.change_roll(rolls[-1])
                return
            shape = [(64, 64), (96, 48), (48, 80)][len(offered) % 3]
            offered.append(ConvEngine(tile=shape, stride=[4, 8, 2][len(offered) % 3], seed=len(offered)))
            style = "poplin" if kind == "same" else f"style{len(offered)}"
            back = pipeline.engine_changes.offer(ready(offered[-1], parameters(style)))
            if back is not None:
                back.engine.__exit__(None, None, None)

        return do

    def all_of(kinds: list[str]) -> Callable[[InspectionPipeline], None]:
        def do(pipeline: InspectionPipeline) -> None:
            for kind in kinds:
                act(kind)(pipeline)

        return do

    at = {number: all_of([kind for where, kind in acts if where == number]) for number, _ in acts}
    engine = ConvEngine(tile=(64, 64))
    run = inspect(blocks, engine, parameters(), at)
    run.check_sums(blocks[-1].end_line)
    assert engine.closed
    assert all(one.closed for one in offered)
    # Each roll is of the style that decided when it began, and no other style decides within it.
    style = "poplin"
    for kind, value in run.notes.calls:
        if kind == "engine":
            _, active, so_far = value
            assert so_far is None or active.parameters.style == style
            style = active.parameters.style
        elif kind == "roll_started":
            assert value.style == style


def test_thresholds_and_defects_follow_at_the_line() -> None:
    lines = cloth(900)
    lines[100:120, 60:80] = 250  # seen by both
    lines[380:520, 60:80] = 170  # across the border; weak: by the new threshold alone a defect
    lines[700:720, 20:40] = 170
    new = ready(ConvEngine(tile=(96, 64), stride=8), parameters(sigma=2.0, threshold=1.0))
    old = parameters(sigma=4.0, threshold=6.0)
    blocks = blocks_of(lines, [50])
    run = inspect(blocks, ConvEngine(tile=(64, 64)), old, {9: lambda pipeline: pipeline.engine_changes.offer(new)})
    (line,) = run.lines
    assert 380 < line < 520
    assert [defect.defect_id for defect in run.ends] == [1, 2, 3]
    first, border, last = (defect.box_px for defect in run.ends)
    assert 92 <= first.first_line <= 108
    assert 112 <= first.end_line <= 128
    assert border.first_line == line  # what the old threshold let pass is no defect before it
    assert 512 <= border.end_line <= 536
    assert 688 <= last.first_line <= 704
    told = [name for name, _ in run.notes.calls]
    at = told.index("engine")
    assert "segment" in told[at : at + 2]
    before = [value for name, value in run.notes.calls[:at] if name == "defect"]
    assert [defect.defect_id for defect in before if defect.phase is DefectPhase.END] == [1]
    ((_, _, so_far),) = run.notes.of("engine")
    assert (so_far.lines_woven, so_far.lines_missed, so_far.defects) == (line, 16, 1)
    ((roll, totals),) = run.rolls
    assert (roll.style, totals.defects, totals.lines_woven) == ("poplin", 3, 900)
    assert run.notes.crops[2].box_px.first_line < line  # the picture shows the cloth before the border too
    run.check_sums(900)


def test_a_defect_across_the_border_ends_there_and_begins_there() -> None:
    lines = cloth(900)
    lines[200:600, 60:72] = 250
    style = parameters(threshold=2.0)
    new = ready(ConvEngine(tile=(96, 64), stride=8), style)
    blocks = blocks_of(lines, [50])
    run = inspect(blocks, ConvEngine(tile=(64, 64)), style, {8: lambda pipeline: pipeline.engine_changes.offer(new)})
    assert [defect.defect_id for defect in run.ends] == [1, 2]
    assert run.ends[0].box_px.end_line == run.ends[1].box_px.first_line == run.lines[0]
    names = [name if name != "defect" else f"{value.phase.value} {value.defect_id}" for name, value in run.notes.calls]
    told = [name for name in names if name in ("engine", "end 1", "new 2")]
    assert told == ["end 1", "engine", "new 2"]


def test_another_style_waits_for_a_roll_and_the_newest_counts() -> None:
    first, second = ConvEngine(tile=(64, 64), seed=1), ConvEngine(tile=(96, 64), seed=2)

    def offer(pipeline: InspectionPipeline) -> None:
        assert pipeline.engine_changes.offer(ready(first, parameters("twill"))) is None
        back = pipeline.engine_changes.offer(ready(second, parameters("canvas")))
        assert back is not None
        assert back.engine is first

    run = inspect(
        blocks_of(cloth(900), [50]),
        ConvEngine(tile=(64, 64)),
        parameters(),
        {4: offer, 12: lambda pipeline: pipeline.change_roll("R2")},
    )
    assert [(roll.roll_id, roll.style) for roll, _ in run.rolls] == [("R1", "poplin"), ("R2", "canvas")]
    assert run.lines == [run.rolls[1][0].first_line]
    assert 600 <= run.lines[0] < 604
    names = [name for name, _ in run.notes.calls if name in ("engine", "roll_started")]
    assert names == ["roll_started", "engine", "roll_started"]
    run.check_sums(900)


def test_a_cut_mark_begins_the_roll_of_the_engine_that_waits() -> None:
    lines = cloth(900)
    lines[300:310, :] = 250
    new = ready(ConvEngine(tile=(96, 64)), parameters("twill"))
    run = inspect(
        blocks_of(lines, [64]),
        ConvEngine(tile=(64, 64)),
        parameters(threshold=2.0),
        {2: lambda pipeline: pipeline.engine_changes.offer(new)},
        cut_mark_width=0.7,
    )
    assert [(roll.roll_id, roll.style) for roll, _ in run.rolls] == [("R1", "poplin"), ("R1-2", "twill")]
    assert run.lines[0] >= 310
    run.check_sums(900)


def test_an_engine_that_no_cloth_follows_is_closed_and_never_decides() -> None:
    late, waits = ConvEngine(seed=1), ConvEngine(seed=2)

    def offer(pipeline: InspectionPipeline) -> None:
        assert pipeline.engine_changes.offer(ready(waits, parameters("twill"))) is None

    kept: list[InspectionPipeline] = []
    run = inspect(blocks_of(cloth(200), [50]), ConvEngine(), parameters(), {1: offer, 2: kept.append})
    assert run.lines == []
    assert waits.closed
    mine = ready(late, parameters("twill"))
    assert kept[0].engine_changes.offer(mine) is mine  # the run has ended: it is mine again


def test_an_engine_takes_over_between_two_stretches_of_cloth() -> None:
    lines = cloth(300)
    blocks = blocks_of(lines[:150], [50]) + blocks_of(lines[150:], [50], first_line=150)
    new = ready(ConvEngine(tile=(96, 64), stride=8), parameters())
    run = inspect(blocks, ConvEngine(tile=(128, 64)), parameters(), {3: lambda p: p.engine_changes.offer(new)})
    assert run.lines == [150]
    assert [segment.first_line for segment in run.notes.of("segment")] == [0, 150]
    run.check_sums(300)


def test_cloth_that_leaves_no_column_to_the_next_engine_is_looked_for_again() -> None:
    lines = np.full((900, WIDTH), 20, np.uint8)
    lines[:, 40:110] = cloth(900)[:, 40:110]
    looks: list[str] = []

    def finds(name: str) -> Callable[[Pixels], ClothSpan]:
        def find(seen: Pixels) -> ClothSpan:
            looks.append(name)
            if name == "new":
                raise InputError("too narrow for this engine")
            return ClothSpan(40, 110)

        return find

    wide = ready(ConvEngine(tile=(160, 160), stride=16), parameters(halo=48), span=finds("new"))
    run = inspect(
        blocks_of(lines, [50]),
        ConvEngine(tile=(64, 64)),
        parameters(),
        {9: lambda pipeline: pipeline.engine_changes.offer(wide)},
        span=finds("old"),
        wander_mm=5.0,
        span_lines=64,
    )
    (line,) = run.lines
    assert {fault.kind for fault in run.notes.of("fault")} == {"web_moved", "no_cloth_found"}
    assert looks[-1] == "new"
    assert any(gap.reason is GapReason.NO_CLOTH_FOUND and gap.first_line == line for gap in run.notes.of("gap"))
    run.check_sums(900)


@pytest.mark.parametrize("wander_px_per_line", [0.0, 0.02])
def test_a_wandering_web_goes_on_wandering_under_the_next_engine(wander_px_per_line: float) -> None:
    width, n = 240, 3000
    lines = np.full((n, width), 20, np.uint8)
    noise = np.random.default_rng(1).integers(118, 138, (n, 140), dtype=np.uint8)
    for line in range(n):
        left = 40 + int(line * wander_px_per_line)
        lines[line, left : left + 140] = noise[line]

    def find(seen: Pixels) -> ClothSpan:
        bright = np.flatnonzero(seen.mean(axis=0) > 70)
        return ClothSpan(int(bright[0]), int(bright[-1]) + 1)

    new = ready(ConvEngine(tile=(96, 96), stride=8), parameters(), span=find)
    run = inspect(
        blocks_of(lines, [70]),
        ConvEngine(tile=(64, 64)),
        parameters(),
        {20: lambda pipeline: pipeline.engine_changes.offer(new)},
        span=find,
        wander_mm=40.0,
        width=width,
        follow_lines=256,
        span_lines=64,
    )
    assert not run.notes.of("fault")
    (line,) = run.lines
    assert 1000 < line < 1500
    run.check_sums(n)
    assert sum(gap.end_line - gap.first_line for gap in run.notes.of("gap")) < 16 + 16 + 8
    segments = run.notes.of("segment")
    assert [segment.first_line for segment in segments] == [0, line]
    moved = segments[1].cloth.left_px - segments[0].cloth.left_px
    assert abs(moved - line * wander_px_per_line) < 16
    at_end = next(strip for strip in run.strips if strip.end_line > n - 100)
    inside = np.flatnonzero(at_end.logits[0] > -50) + at_end.first_cell
    assert abs(inside[0] * 8 - (40 + n * wander_px_per_line + 16)) < 24


def test_an_engine_that_fails_after_it_took_over_costs_reported_lines() -> None:
    new = ready(FailingEngine(lambda batch: batch == 1, tile=(64, 64), max_batch=4), parameters())
    run = inspect(
        blocks_of(cloth(600), [50]),
        ConvEngine(tile=(64, 64)),
        parameters(),
        {5: lambda pipeline: pipeline.engine_changes.offer(new)},
    )
    assert [fault.kind for fault in run.notes.of("fault")] == ["engine_error"]
    run.check_sums(600)


def test_an_engine_that_cannot_be_closed_is_told_and_the_next_goes_on() -> None:
    class Stuck(ConvEngine):
        def __exit__(self, *exc: object) -> None:
            super().__exit__(*exc)
            raise RuntimeError("the driver hangs")

    new = ready(ConvEngine(tile=(64, 64)), parameters())
    run = inspect(
        blocks_of(cloth(600), [50]),
        Stuck(tile=(64, 64)),
        parameters(),
        {5: lambda pipeline: pipeline.engine_changes.offer(new)},
    )
    (fault,) = run.notes.of("fault")
    assert "not closed: the driver hangs" in fault.message
    run.check_sums(600)
    assert not [thread for thread in threading.enumerate() if thread.name == "engine-close"]


def test_a_stop_while_an_engine_takes_over_leaves_no_line_and_no_engine_behind() -> None:
    new = ready(ConvEngine(tile=(320, 64), seed=3), parameters())

    def offer(pipeline: InspectionPipeline) -> None:
        pipeline.engine_changes.offer(new)
        pipeline.stop(0.0)

    engine = ConvEngine(tile=(320, 64))
    run = inspect(blocks_of(cloth(2000), [50]), engine, parameters(), {30: offer})
    assert engine.closed
    assert new.engine.closed  # type: ignore[attr-defined]
    ((roll, totals),) = run.rolls
    run.check_sums(roll.first_line + totals.lines_woven)
