"""Rolls that change while the cloth runs: no line lost, none in two rolls, positions from each roll's start."""

from __future__ import annotations

import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inspection_peers import BlockCamera, ConvEngine, Notes, Pixels, blocks_of

from glass_edge.acquisition.camera import LineBlock
from glass_edge.config.inspection import InspectionSettings
from glass_edge.fabric.defect import DefectPhase
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.coverage import GapReason
from glass_edge.inspection.parameters import StyleParameters
from glass_edge.inspection.pipeline import InspectionPipeline
from glass_edge.inspection.roll_changes import RollChange, RollChanges

WIDTH = 150
STYLE = StyleParameters("poplin", halo_px=16, smoothing_sigma_px=4.0, threshold_logit=2.0)
SCALE = WebScale(0.5, 0.25)


def cloth(n: int) -> Pixels:
    return np.random.default_rng(0).integers(118, 138, (n, WIDTH), dtype=np.uint8)


class ChangingCamera(BlockCamera):
    """Asks for a change of the roll before it hands over a block."""

    def __init__(self, items: list[LineBlock], changes: dict[int, str]) -> None:
        super().__init__(items, WIDTH)
        self._changes = changes
        self._n = 0
        self.pipeline: InspectionPipeline | None = None
        self.lines: list[int] = []

    def read(self, timeout_s: float) -> LineBlock | None:
        if (roll_id := self._changes.get(self._n)) is not None:
            assert self.pipeline is not None
            self.lines.append(self.pipeline.change_roll(roll_id))
        self._n += 1
        return super().read(timeout_s)


def inspect(camera: BlockCamera, **changes: object) -> tuple[Notes, list[tuple[Roll, RollTotals]]]:
    notes, rolls = Notes(), []
    notes.roll_ended = lambda roll, totals: rolls.append((roll, totals))  # type: ignore[method-assign]
    pipeline = InspectionPipeline(
        camera,
        ConvEngine(tile=(64, 64)),
        notes,
        roll_id="R1",
        style=STYLE,
        scale=SCALE,
        cloth=ClothSpan(0, WIDTH),
        settings=InspectionSettings(gap_mm=0.0, run_gap_mm=0.0, read_timeout_s=0.02, **changes),
        live=False,
    )
    if isinstance(camera, ChangingCamera):
        camera.pipeline = pipeline
    pipeline.start()
    pipeline.wait(60)
    return notes, rolls


@settings(deadline=None, max_examples=25)
@given(
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=4),
    jumps=st.sets(st.integers(1, 8), max_size=2),
    changes=st.dictionaries(st.integers(0, 10), st.sampled_from(["A", "B", "C"]), max_size=4),
)
def test_every_line_is_in_exactly_one_roll(sizes: list[int], jumps: set[int], changes: dict[int, str]) -> None:
    blocks, shift = [], 0
    for number, block in enumerate(blocks_of(cloth(400), sizes)):
        shift += 37 if number in jumps else 0  # the camera loses lines
        line = block.first_line + shift
        blocks.append(LineBlock(block.lines, line, line, block.captured_utc, block.received_monotonic_s))
    camera = ChangingCamera(blocks, changes)
    notes, rolls = inspect(camera)
    assert rolls[0][0].first_line == 0
    for (roll, totals), (following, _) in pairwise(rolls):
        assert roll.first_line + totals.lines_woven == following.first_line
    assert rolls[-1][0].first_line + rolls[-1][1].lines_woven == blocks[-1].end_line
    assert sum(totals.lines_inspected for _, totals in rolls) == sum(strip.n_lines for strip in notes.of("scores"))
    missed = sum(gap.end_line - gap.first_line for gap in notes.of("gap"))
    assert sum(totals.lines_missed for _, totals in rolls) == missed


def test_a_roll_begins_within_a_row_of_the_line_at_which_it_was_asked_for() -> None:
    lines = cloth(600)
    lines[100:108, 60:72] = 250
    lines[452:460, 60:72] = 250
    camera = ChangingCamera(blocks_of(lines, [50]), {6: "R2"})
    notes, rolls = inspect(camera)
    assert [roll.roll_id for roll, _ in rolls] == ["R1", "R2"]
    start = rolls[1][0].first_line
    assert camera.lines[0] <= start < camera.lines[0] + 4
    first, second = [d for d in notes.of("defect") if d.phase is DefectPhase.END]
    assert (first.defect_id, second.defect_id) == (1, 1)
    assert first.box_mm.along_mm == first.box_px.first_line * 0.25
    assert second.box_mm.along_mm == (second.box_px.first_line - start) * 0.25
    assert [totals.defects for _, totals in rolls] == [1, 1]
    reasons = {gap.reason for gap in notes.of("gap")}
    assert reasons == {GapReason.SEGMENT_EDGE}  # nothing is lost at the change
    assert sum(gap.end_line - gap.first_line for gap in notes.of("gap")) == 32


def test_a_defect_over_the_border_ends_in_one_roll_and_begins_in_the_next() -> None:
    lines = cloth(600)
    lines[100:500, 60:72] = 250
    notes, rolls = inspect(ChangingCamera(blocks_of(lines, [50]), {6: "R2"}))
    ends = [d for d in notes.of("defect") if d.phase is DefectPhase.END]
    assert ends[0].box_px.end_line == ends[1].box_px.first_line == rolls[1][0].first_line


def test_a_change_that_no_line_follows_is_told() -> None:
    notes, rolls = inspect(ChangingCamera(blocks_of(cloth(200), [100]), {2: "R2"}))
    assert [roll.roll_id for roll, _ in rolls] == ["R1"]
    assert [fault.kind for fault in notes.of("fault")] == ["roll_without_cloth"]


def test_a_cut_mark_begins_a_roll_behind_it_once() -> None:
    lines = cloth(900)
    lines[300:310, :] = 250
    lines[600:610, 20:60] = 250  # not over the whole width
    notes, rolls = inspect(BlockCamera(blocks_of(lines, [64]), WIDTH), cut_mark_width=0.7)
    assert [roll.roll_id for roll, _ in rolls] == ["R1", "R1-2"]
    assert 310 <= rolls[1][0].first_line < 400
    assert not notes.of("fault")
    _, alone = inspect(BlockCamera(blocks_of(lines, [64]), WIDTH))
    assert len(alone) == 1


def test_changes_keep_their_order_whoever_asks() -> None:
    changes = RollChanges()
    threads = [threading.Thread(target=changes.ask, args=(RollChange(9 - k, f"R{k}"),)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = []
    while changes.next is not None:
        lines.append(changes.take().line)
    assert lines == sorted(lines)
    assert len(lines) == 8


@pytest.mark.parametrize("at", [0, 1])
def test_a_change_before_the_first_scores_names_the_first_roll(at: int) -> None:
    _notes, rolls = inspect(ChangingCamera(blocks_of(cloth(200), [10]), {at: "R2"}))
    assert rolls[-1][0].roll_id == "R2"
    assert sum(totals.lines_woven for _, totals in rolls) == 200
