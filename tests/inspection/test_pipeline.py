"""The threads against real blocks and a real small engine."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Self

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inspection_peers import BlockCamera, ConvEngine, FailingEngine, NanEngine, Notes, Pixels, block, blocks_of
from PIL import Image

from glass_edge.acquisition.camera import Camera, CameraHealth, CameraLostError, EndOfLinesError, LineBlock
from glass_edge.acquisition.recording import ReplayCamera
from glass_edge.calibration.selvedge import find_cloth_span
from glass_edge.config.inspection import InspectionSettings
from glass_edge.engine.base import EngineError
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.fabric.defect import DefectPhase
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.fabric.roll import RollTotals
from glass_edge.inspection.coverage import GapReason
from glass_edge.inspection.one_shot import score_strip, smooth_strip
from glass_edge.inspection.parameters import SpanFinder, StyleParameters
from glass_edge.inspection.pipeline import InspectionPipeline
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.sink import Fault

WIDTH = 150
STYLE = StyleParameters("poplin", halo_px=16, smoothing_sigma_px=4.0, threshold_logit=2.0)
SCALE = WebScale(0.5, 0.25)
WHOLE = ClothSpan(0, WIDTH)
WAIT_S = 30
EDGE = 16  # lines not scored at each end of a segment: the halo; lengths here are multiples of the stride


def _cloth(n: int, seed: int = 0, width: int = WIDTH) -> Pixels:
    return np.random.default_rng(seed).integers(118, 138, (n, width), dtype=np.uint8)


def _pipeline(
    camera: Camera,
    engine: ConvEngine | None = None,
    sink: Notes | None = None,
    *,
    cloth: ClothSpan | SpanFinder = WHOLE,
    live: bool = False,
    margin_mm: float = 0.0,
    **changes: object,
) -> tuple[InspectionPipeline, Notes]:
    sink = sink or Notes()
    changes = {"read_timeout_s": 0.02, "gap_mm": 0.0} | changes
    pipeline = InspectionPipeline(
        camera,
        engine or ConvEngine(tile=(64, 64)),
        sink,
        roll_id="R1",
        style=STYLE,
        scale=SCALE,
        cloth=cloth,
        selvedge_margin_mm=margin_mm,
        settings=InspectionSettings(**changes),
        live=live,
    )
    return pipeline, sink


def _run(camera: Camera, engine: ConvEngine | None = None, **arguments: object) -> tuple[Notes, RollTotals]:
    pipeline, notes = _pipeline(camera, engine, **arguments)
    pipeline.start()
    totals = pipeline.wait(WAIT_S)
    assert not pipeline.is_running
    _check_account(notes, totals)
    return notes, totals


def _fail(
    error: type[BaseException],
    camera: Camera,
    engine: ConvEngine | None = None,
    *,
    match: str = "",
    **arguments: object,
) -> tuple[Notes, InspectionPipeline]:
    pipeline, notes = _pipeline(camera, engine, **arguments)
    pipeline.start()
    with pytest.raises(error, match=match):
        pipeline.wait(WAIT_S)
    assert not pipeline.is_running
    return notes, pipeline


def _gaps(notes: Notes) -> list[tuple[int, int, GapReason]]:
    """The gaps that are not the edges of segments."""
    gaps = [(gap.first_line, gap.end_line, gap.reason) for gap in notes.of("gap")]
    return [gap for gap in gaps if gap[2] is not GapReason.SEGMENT_EDGE]


def _edges(notes: Notes) -> list[tuple[int, int]]:
    return [(gap.first_line, gap.end_line) for gap in notes.of("gap") if gap.reason is GapReason.SEGMENT_EDGE]


def _check_account(notes: Notes, totals: RollTotals) -> None:
    """Scores and gaps follow each other without hole or overlap and are what the totals say."""
    inspected = sum(strip.n_lines for strip in notes.of("scores"))
    missed = sum(gap.end_line - gap.first_line for gap in notes.of("gap"))
    assert (inspected, missed) == (totals.lines_inspected, totals.lines_missed)
    assert inspected + missed == totals.lines_woven
    (roll,) = notes.of("roll_started")
    stretches = sorted((s.first_line, s.end_line) for s in notes.of("scores") + notes.of("gap"))
    at = roll.first_line
    for first, end in stretches:
        assert first == at
        at = end
    assert at == roll.first_line + totals.lines_woven
    assert notes.calls[0][0] in ("roll_started", "fault")
    assert notes.calls[-1][0] == "roll_ended"
    assert len(notes.threads) == 1


def test_a_roll_gives_the_scores_and_defects_of_the_whole_strip() -> None:
    lines = _cloth(700)
    lines[200:230, 40:60] = 220  # crosses tile rows and blocks
    lines[400:404, 100:140] = 220
    notes, totals = _run(BlockCamera(blocks_of(lines, [64, 1, 33], first_line=5000), WIDTH))
    assert (totals.lines_woven, totals.lines_inspected, totals.lines_missed) == (700, 668, 32)
    assert _edges(notes) == [(5000, 5016), (5684, 5700)]
    assert not _gaps(notes)
    whole = smooth_strip(score_strip(ConvEngine(tile=(64, 64)), lines, ClothSpan(0, WIDTH), halo_px=16), 4.0)
    np.testing.assert_allclose(np.concatenate([s.logits for s in notes.of("scores")]), whole.logits, atol=1e-5)
    assert [d.phase for d in notes.of("defect") if d.defect_id == 1][-1] is DefectPhase.END
    ends = [d for d in notes.of("defect") if d.phase is DefectPhase.END]
    assert [d.defect_id for d in ends] == [1, 2] == list(range(1, totals.defects + 1))
    assert ends[0].box_mm.along_mm == pytest.approx(200 * 0.25, abs=4)
    assert ends[0].box_mm.across_mm == pytest.approx(40 * 0.5, abs=5)
    alarmed = np.argwhere(whole.logits >= 2.0)
    assert sum(d.area_mm2 for d in ends) == pytest.approx(len(alarmed) * 16 * 0.125)
    crop = notes.crops[1]
    first, left = crop.box_px.first_line - 5000, crop.box_px.left_px
    assert np.array_equal(crop.image, lines[first : crop.box_px.end_line - 5000, left : crop.box_px.right_px])
    assert np.nanmax(crop.logits) == pytest.approx(ends[0].peak_logit)


def test_each_part_is_used_in_its_own_thread_and_closed() -> None:
    camera, engine = BlockCamera(blocks_of(_cloth(100), [50]), WIDTH), ConvEngine(tile=(64, 64))
    notes, _ = _run(camera, engine)
    assert (camera.opened, camera.closed, engine.closed) == (1, 1, True)
    assert engine.entered_in not in notes.threads | {threading.get_ident()}


def test_progress_counts_what_happened() -> None:
    engine = ConvEngine(tile=(64, 64))
    lines = _cloth(320)
    lines[100:120, 50:70] = 220
    notes, totals = _run(BlockCamera(blocks_of(lines, [40]), WIDTH), engine)
    last = notes.progress_reports[-1]
    assert (last.lines_received, last.lines_inspected, last.lines_missed) == (320, 288, 32)
    assert last.inspected_m == pytest.approx(0.072)
    assert last.tiles == engine.tiles == 4 * 9  # columns inside the halo of the image's edges, rows of 32 lines
    assert last.defects == totals.defects == 1
    assert last.latency_new.count == last.latency_end.count == 1
    assert 0 < last.latency_end.mean_s <= last.latency_end.max_s < WAIT_S


def test_progress_is_reported_while_the_loom_stands() -> None:
    camera = BlockCamera(blocks_of(_cloth(100), [10]), WIDTH, endless=True)
    pipeline, notes = _pipeline(camera, progress_s=0.02)
    with pipeline:
        until = time.monotonic() + WAIT_S
        while len(notes.progress_reports) < 3 and time.monotonic() < until:
            time.sleep(0.01)
    assert len(notes.progress_reports) >= 4
    assert pipeline.progress.lines_inspected == 100 - 2 * EDGE


def test_images_that_are_no_neighbours_are_segments_without_a_gap() -> None:
    first, second = _cloth(92), _cloth(56, 1)
    first[-30:, 60:90] = 220
    second[:30, 60:90] = 220  # touches the defect of the image before, but is other cloth
    items = blocks_of(first, [92], source="a.png") + blocks_of(second, [20], 92, source="b.png")
    notes, totals = _run(BlockCamera(items, WIDTH))
    assert (totals.lines_woven, totals.lines_missed, totals.defects) == (148, 4 * EDGE, 2)
    assert not _gaps(notes)
    assert _edges(notes) == [(0, 16), (76, 92), (92, 108), (132, 148)]
    assert [(s.first_line, s.source) for s in notes.of("segment")] == [(0, "a.png"), (92, "b.png")]
    for start, lines in ((0, first), (92, second)):
        engine = ConvEngine(tile=(64, 64))
        whole = smooth_strip(score_strip(engine, lines, ClothSpan(0, WIDTH), halo_px=16), 4.0).logits
        mine = [s.logits for s in notes.of("scores") if start <= s.first_line < start + len(lines)]
        np.testing.assert_allclose(np.concatenate(mine), whole, atol=1e-5)


def test_a_jump_in_the_line_numbers_is_a_gap_and_a_new_start() -> None:
    lines = _cloth(300)
    items = [*blocks_of(lines[:100], [30]), block(lines[100:200], 170), block(lines[200:], 270)]
    notes, totals = _run(BlockCamera(items, WIDTH))
    assert (totals.lines_woven, totals.lines_missed) == (370, 70 + 4 * EDGE)
    (gap,) = (gap for gap in notes.of("gap") if gap.reason is not GapReason.SEGMENT_EDGE)
    assert (gap.first_line, gap.end_line, gap.reason) == (100, 170, GapReason.CAMERA_GAP)
    assert (gap.along_mm, gap.length_mm) == (25.0, 17.5)
    assert _edges(notes) == [(0, 16), (84, 100), (170, 186), (354, 370)]
    assert len(notes.of("segment")) == 2


def test_bad_blocks_are_faults_and_gaps_and_what_runs_backwards_counts_once() -> None:
    good = _cloth(100)
    items = [
        block(good[:40], 0),
        block(_cloth(10, width=WIDTH + 1), 40),
        block(good[:20], 50),
        block(good[:30], 60),  # 60..69 were counted; 70..89 are new and unusable
        block(good[:5], 10),  # nothing new
        block(np.zeros((0, WIDTH), np.uint8), 90),
        block(good[:40].astype(np.uint16), 90),
        block(good[:40], 130, health=CameraHealth(faults=("a packet was lost",))),
    ]
    notes, totals = _run(BlockCamera(items, WIDTH))
    assert _gaps(notes) == [
        (40, 50, GapReason.BAD_BLOCK),
        (70, 90, GapReason.BAD_BLOCK),
        (90, 130, GapReason.BAD_BLOCK),
    ]
    # 40 and 40 lines between gaps less their edges; the 20 lines between two gaps are all edge.
    assert (totals.lines_woven, totals.lines_inspected) == (170, 16)
    assert (50, 70) in _edges(notes)
    assert [f.kind for f in notes.of("fault")] == ["bad_block"] * 5 + ["camera"]
    assert any("uint16" in fault.message for fault in notes.of("fault"))


def test_a_failing_engine_costs_the_lines_of_its_batches_and_ends_a_defect() -> None:
    lines = _cloth(640)
    lines[:, 70:80] = 240  # a running defect over the whole roll
    engine = FailingEngine(lambda number: number in (10, 11, 20), tile=(64, 64))
    notes, totals = _run(BlockCamera(blocks_of(lines, [50]), WIDTH), engine)
    # 4 columns in batches of 3: two batches a row of 32 lines, the first behind the edge.
    assert _gaps(notes) == [(176, 208, GapReason.ENGINE_ERROR), (336, 368, GapReason.ENGINE_ERROR)]
    assert totals.lines_missed == 64 + 2 * EDGE
    assert totals.defects == 3
    assert [f.kind for f in notes.of("fault")] == ["engine_error"] * 2
    assert "lines 176 to 207" in notes.of("fault")[0].message
    ends = [d for d in notes.of("defect") if d.phase is DefectPhase.END]
    assert [(d.box_px.first_line, d.box_px.end_line) for d in ends] == [(16, 176), (208, 336), (368, 624)]


def test_an_engine_that_fails_again_and_again_ends_the_run_and_every_line_is_accounted_for() -> None:
    engine = FailingEngine(lambda number: number >= 6, tile=(64, 64))
    camera = BlockCamera(blocks_of(_cloth(2000), [50]), WIDTH)
    notes, _ = _fail(EngineError, camera, engine, match="3 times in a row", engine_failures_to_stop=3)
    (totals,) = notes.of("roll_ended")
    _check_account(notes, totals)
    assert totals.lines_woven == camera.lines_read < 2000
    assert totals.lines_inspected == 96
    reasons = [reason for *_, reason in _gaps(notes)]
    assert reasons[:3] == [GapReason.ENGINE_ERROR] * 3
    assert set(reasons[3:]) <= {GapReason.SHUTDOWN}
    assert notes.of("fault")[-1].is_fatal


def test_scores_that_are_no_numbers_are_a_gap() -> None:
    notes, totals = _run(
        BlockCamera(blocks_of(_cloth(320), [50]), WIDTH), NanEngine(lambda number: number == 4, tile=(64, 64))
    )
    assert _gaps(notes) == [(80, 112, GapReason.NON_FINITE_SCORES)]
    assert totals.lines_missed == 32 + 2 * EDGE
    assert all(np.isfinite(strip.logits).all() for strip in notes.of("scores"))
    _fail(
        EngineError,
        BlockCamera(blocks_of(_cloth(640), [50]), WIDTH),
        NanEngine(lambda number: True, tile=(64, 64)),
        match="no numbers",
    )


class _SlowSink(Notes):
    """Holds the defects thread at its first scores until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.go = threading.Event()
        self.held = threading.Event()

    def scores(self, strip: ScoreStrip) -> None:
        self.held.set()
        assert self.go.wait(WAIT_S)
        super().scores(strip)


def test_a_live_camera_that_is_too_fast_loses_lines_and_says_so() -> None:
    sink = _SlowSink()

    def until_everything_stands() -> None:
        assert sink.held.wait(WAIT_S)
        time.sleep(0.2)

    lines = _cloth(3000)
    pause = [lambda: time.sleep(0.02)] * 20
    items = [
        *blocks_of(lines[:1000], [20]),
        until_everything_stands,
        *[block(lines[at : at + 20], at) for at in range(1000, 2000, 20)],
        sink.go.set,
        *pause,
        *[block(lines[at : at + 20], at) for at in range(2000, 3000, 20)],
    ]
    camera = BlockCamera(items, WIDTH)
    notes, totals = _run(camera, sink=sink, live=True, block_queue=4, strip_queue=4)
    overruns = [gap for gap in notes.of("gap") if gap.reason is GapReason.OVERRUN]
    assert overruns
    assert totals.lines_woven == camera.lines_read == 3000
    edge_lines = sum(end - first for first, end in _edges(notes))
    assert totals.lines_missed - edge_lines == sum(gap.end_line - gap.first_line for gap in overruns) > 0
    assert any(gap.first_line < 2000 <= gap.end_line for gap in overruns)
    assert [f.kind for f in notes.of("fault")] == ["overrun"] * len(overruns)


def test_a_replay_waits_for_a_slow_receiver_and_loses_nothing() -> None:
    sink = _SlowSink()
    camera = BlockCamera(blocks_of(_cloth(2000), [20]), WIDTH)
    pipeline, _ = _pipeline(camera, sink=sink, block_queue=2, strip_queue=2)
    with pipeline:
        assert sink.held.wait(WAIT_S)
        time.sleep(0.2)
        assert camera.lines_read < 500  # it was held back
        sink.go.set()
        totals = pipeline.wait(WAIT_S)
    assert (totals.lines_inspected, totals.lines_missed) == (2000 - 2 * EDGE, 2 * EDGE)


def test_a_stop_request_drains_what_was_taken_in() -> None:
    camera = BlockCamera(blocks_of(_cloth(200), [20]), WIDTH, endless=True)
    pipeline, notes = _pipeline(camera)
    with pipeline:
        until = time.monotonic() + WAIT_S
        while camera.lines_read < 200 and time.monotonic() < until:
            time.sleep(0.005)
        pipeline.stop()
        totals = pipeline.wait(WAIT_S)
    assert (totals.lines_inspected, totals.lines_missed) == (200 - 2 * EDGE, 2 * EDGE)
    assert not _gaps(notes)
    _check_account(notes, totals)
    assert camera.closed == 1


@pytest.mark.parametrize("live", [False, True])
def test_a_stop_without_time_to_drain_reports_the_rest(live: bool) -> None:
    sink = _SlowSink()
    camera = BlockCamera(blocks_of(_cloth(4000), [20]), WIDTH, endless=True)
    pipeline, notes = _pipeline(camera, sink=sink, live=live, block_queue=8, strip_queue=2)
    with pipeline:
        assert sink.held.wait(WAIT_S)
        pipeline.stop(0.0)
        sink.go.set()
        totals = pipeline.wait(WAIT_S)
    assert totals.lines_woven == camera.lines_read
    _check_account(notes, totals)
    assert GapReason.SHUTDOWN in [gap.reason for gap in notes.of("gap")]
    assert live or {reason for *_, reason in _gaps(notes)} == {GapReason.SHUTDOWN}


def test_a_lost_camera_ends_the_run_after_its_lines_were_inspected() -> None:
    camera = BlockCamera([*blocks_of(_cloth(200), [20]), CameraLostError("the cable was pulled")], WIDTH)
    notes, _ = _fail(CameraLostError, camera, match="cable was pulled")
    (totals,) = notes.of("roll_ended")
    assert (totals.lines_inspected, totals.lines_missed) == (200 - 2 * EDGE, 2 * EDGE)
    assert not _gaps(notes)
    assert notes.of("fault")[-1].is_fatal


class _FailingSink(Notes):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind

    def _note(self, kind: str, value: object) -> None:
        if kind == self._kind:
            raise OSError("the disk is full")
        super()._note(kind, value)


@pytest.mark.parametrize("kind", ["roll_started", "segment", "scores", "defect", "gap", "fault", "roll_ended"])
def test_a_failing_sink_ends_the_run_without_a_hang(kind: str) -> None:
    lines = _cloth(4000)
    lines[200:230, 40:60] = 220
    items = [*blocks_of(lines[:1000], [20]), *blocks_of(lines[1100:], [20], 1100)]
    items[60] = block(np.zeros((20, 3), np.uint8), items[60].first_line)
    _fail(OSError, BlockCamera(items, WIDTH), sink=_FailingSink(kind), match="disk", block_queue=2, strip_queue=2)


@pytest.mark.parametrize("at", [0, 1, 7])
def test_an_error_that_no_engine_should_raise_ends_the_run_with_every_line_accounted_for(at: int) -> None:
    engine = FailingEngine(lambda number: number == at, MemoryError("no memory"), tile=(64, 64))
    camera = BlockCamera(blocks_of(_cloth(4000), [20]), WIDTH)
    notes, _ = _fail(MemoryError, camera, engine, match="no memory", block_queue=2, strip_queue=2)
    (totals,) = notes.of("roll_ended")
    _check_account(notes, totals)
    assert totals.lines_woven == camera.lines_read


class _BrokenEngine(ConvEngine):
    def __enter__(self) -> Self:
        raise EngineError("cannot load the plan")


class _BrokenCamera(BlockCamera):
    def __enter__(self) -> Self:
        raise CameraLostError("nobody answers")


def test_an_engine_or_a_camera_that_does_not_open_ends_the_run() -> None:
    camera = BlockCamera(blocks_of(_cloth(40), [20]), WIDTH)
    _fail(EngineError, camera, _BrokenEngine(tile=(64, 64)), match="cannot load")
    assert camera.opened == 0
    notes, _ = _fail(CameraLostError, _BrokenCamera([], WIDTH), match="nobody answers")
    assert not notes.of("roll_started")


def test_a_colour_camera_before_a_grey_engine_is_refused_and_grey_feeds_a_colour_engine() -> None:
    colour = np.repeat(_cloth(60)[:, :, None], 3, axis=2)
    camera = BlockCamera(blocks_of(colour, [20]), WIDTH, channels=3)
    _fail(InputError, camera, match="set the camera to grey")
    grey_notes, _ = _run(BlockCamera(blocks_of(_cloth(60), [20]), WIDTH), ConvEngine(tile=(64, 64), channels=3))
    camera = BlockCamera(blocks_of(colour, [20]), WIDTH, channels=3)
    colour_notes, _ = _run(camera, ConvEngine(tile=(64, 64), channels=3))
    for a, b in zip(grey_notes.of("scores"), colour_notes.of("scores"), strict=True):
        assert np.array_equal(a.logits, b.logits)


class _NoClothError(GlassEdgeError):
    pass


def _find_dark(lines: Pixels) -> ClothSpan:
    """Cloth is darker than the white beside it."""
    assert len(lines) >= 16
    dark = np.flatnonzero(lines.mean(axis=0) < 200)
    if not dark.size:
        raise _NoClothError("only white is seen")
    return ClothSpan(int(dark[0]), int(dark[-1]) + 1)


@pytest.mark.parametrize("sizes", [[1], [50], [7, 64, 3], [500]])
def test_the_cloth_is_found_in_the_first_lines_of_each_segment_whatever_the_blocks(sizes: list[int]) -> None:
    strip = np.full((500, WIDTH), 250, np.uint8)
    strip[130:, 30:140] = _cloth(370)[:, 30:140]
    other = np.full((40, WIDTH), 250, np.uint8)
    other[:, 45:95] = _cloth(40)[:, 45:95]
    empty = np.full((25, WIDTH), 250, np.uint8)
    items = blocks_of(strip, sizes) + blocks_of(other, sizes, 500) + blocks_of(empty, sizes, 540)
    notes, _totals = _run(BlockCamera(items, WIDTH), cloth=_find_dark, span_lines=64, margin_mm=10.0)
    assert _gaps(notes) == [
        (0, 64, GapReason.NO_CLOTH_FOUND),
        (64, 128, GapReason.NO_CLOTH_FOUND),
        (540, 565, GapReason.NO_CLOTH_FOUND),
    ]
    assert _edges(notes) == [(128, 144), (484, 500), (500, 516), (524, 540)]
    assert notes.of("gap")[0].detail == "only white is seen"
    assert [(s.first_line, s.cloth, s.inspected) for s in notes.of("segment")] == [
        (128, ClothSpan(30, 140), ClothSpan(52, 120)),  # 10 mm are 20 px, more than the halo; whole cells inside
        (500, ClothSpan(45, 95), ClothSpan(68, 72)),
    ]
    first = notes.of("scores")[0]
    assert (first.first_cell, first.logits.shape[1]) == (52 // 4, 120 // 4 - 52 // 4)
    assert [f.kind for f in notes.of("fault")] == ["no_cloth_found"] * 2


def test_a_span_or_margin_that_does_not_fit_ends_the_run() -> None:
    def camera() -> BlockCamera:
        return BlockCamera(blocks_of(_cloth(60), [20]), WIDTH)

    _fail(InputError, camera(), match="camera line of 150 px", cloth=ClothSpan(0, 151))
    notes, _ = _fail(InputError, camera(), match="nothing is left", cloth=ClothSpan(10, 140), margin_mm=40)
    (totals,) = notes.of("roll_ended")
    assert totals.lines_missed == totals.lines_woven > 0


def test_a_long_defect_keeps_the_picture_of_its_first_part() -> None:
    lines = _cloth(6000)
    lines[100:, 70:80] = 240
    notes, totals = _run(
        BlockCamera(blocks_of(lines, [100]), WIDTH), crop_lines=300, crop_memory_mb=1, crop_margin_mm=0
    )
    assert totals.defects == 1
    crop = notes.crops[1]
    assert 95 <= crop.box_px.first_line <= 100
    assert crop.box_px.end_line - crop.box_px.first_line == 300


def test_no_lines_at_all_is_no_roll() -> None:
    pipeline, notes = _pipeline(BlockCamera([], WIDTH))
    with pipeline:
        totals = pipeline.wait(WAIT_S)
    assert totals.lines_woven == 0
    assert not notes.calls
    assert len(notes.progress_reports) == 1


def test_wait_gives_up_when_asked_to_and_an_error_in_the_caller_stops_the_threads() -> None:
    pipeline, _ = _pipeline(BlockCamera([], WIDTH, endless=True))
    with pytest.raises(TimeoutError, match="still runs"), pipeline:
        pipeline.wait(0.05)
    assert not pipeline.is_running


def _save(folder: Path, name: str, lines: Pixels) -> Path:
    path = folder / name
    Image.fromarray(lines).save(path)
    return path


def test_a_folder_of_strips_with_damaged_files_is_accounted_for_from_the_first_to_the_last_line(tmp_path: Path) -> None:
    for number in range(5):
        path = _save(tmp_path, f"{number}.png", _cloth(72, number))
        if number in (0, 2, 4):
            data = path.read_bytes()
            path.write_bytes(data[: len(data) // 2])
    notes, totals = _run(ReplayCamera(tmp_path, block_lines=40))
    assert (totals.lines_woven, totals.lines_inspected) == (360, 2 * (72 - 2 * EDGE))
    assert notes.of("roll_started")[0].first_line == 0
    assert _gaps(notes) == [(at, at + 72, GapReason.CAMERA_GAP) for at in (0, 144, 288)]
    details = [gap.detail for gap in notes.of("gap") if gap.reason is GapReason.CAMERA_GAP]
    assert all(f"{number}.png: damaged" in detail for number, detail in zip((0, 2, 4), details, strict=True))
    assert [segment.source for segment in notes.of("segment")] == ["1.png", "3.png"]
    assert [any(name in fault.message for fault in notes.of("fault")) for name in ("0.png", "2.png", "4.png")] == [
        True
    ] * 3


def test_a_folder_of_nothing_but_damaged_strips_is_one_gap(tmp_path: Path) -> None:
    path = _save(tmp_path, "a.png", _cloth(70))
    path.write_bytes(path.read_bytes()[:2000])
    _, totals = _run(ReplayCamera(tmp_path))
    assert (totals.lines_woven, totals.lines_missed) == (70, 70)


@pytest.mark.parametrize("n_lines", [3, 16, 300])
def test_the_selvedge_search_of_the_calibration_fits(tmp_path: Path, n_lines: int) -> None:
    lines = np.full((n_lines, WIDTH * 4), 255, np.uint8)
    lines[:, 200:] = _cloth(n_lines, 0, 400)
    _save(tmp_path, "a.png", lines)
    notes, totals = _run(ReplayCamera(tmp_path), cloth=find_cloth_span)
    assert totals.lines_inspected == max(0, n_lines - 2 * EDGE)
    (segment,) = notes.of("segment")
    assert abs(segment.cloth.left_px - 200) <= 4
    assert segment.cloth.right_px == WIDTH * 4


def test_lines_too_narrow_to_find_selvedges_in_end_the_run_and_fixed_columns_help() -> None:
    def camera() -> BlockCamera:
        return BlockCamera(blocks_of(_cloth(20, width=20), [7]), 20)

    notes, _ = _fail(
        InputError, camera(), match=r"20 px are too narrow.*left_px = 0, right_px = 20", cloth=find_cloth_span
    )
    assert notes.of("roll_ended")[0].lines_missed == notes.of("roll_ended")[0].lines_woven > 0
    _fail(InputError, camera(), match="halo of 16 px", cloth=ClothSpan(0, 20))
    wide = BlockCamera(blocks_of(_cloth(12, width=40), [5]), 40)  # short and narrow, but not too narrow: all edge
    notes, totals = _run(wide, cloth=find_cloth_span)
    assert (totals.lines_missed, _edges(notes)) == (12, [(0, 12)])


def test_lines_from_the_cameras_first_on_are_missed_when_it_does_not_hand_them_over() -> None:
    lines = _cloth(200)
    items = [block(lines[:100], 30), EndOfLinesError(end_line=150, faults=("the last image is damaged",))]
    notes, totals = _run(BlockCamera(items, WIDTH, first_line=10))
    assert _gaps(notes) == [(10, 30, GapReason.CAMERA_GAP), (130, 150, GapReason.CAMERA_GAP)]
    assert totals.lines_woven == 140
    assert notes.of("gap")[-1].detail == notes.of("fault")[-1].message == "the last image is damaged"
    items = [block(lines[:100], 30, health=CameraHealth(missed_lines=5))]
    notes, totals = _run(BlockCamera(items, WIDTH))  # a camera that does not know where it starts
    assert _gaps(notes) == [(25, 30, GapReason.CAMERA_GAP)]


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 1000),
    sizes=st.lists(st.integers(1, 90), min_size=1, max_size=12),
    events=st.lists(st.sampled_from(["go", "jump", "segment", "bad", "back"]), min_size=1, max_size=12),
    fails=st.sets(st.integers(0, 30), max_size=4),
    advance=st.sampled_from([None, 16]),
)
def test_whatever_happens_the_account_of_the_web_is_exact(
    seed: int, sizes: list[int], events: list[str], fails: set[int], advance: int | None
) -> None:
    rng = np.random.default_rng(seed)
    items, line = [], int(rng.integers(0, 1000))
    for event, n in zip(events, sizes * len(events), strict=False):
        lines = _cloth(n, seed)
        lines[n // 2 :, 20:40] = 230
        if event == "jump":
            line += int(rng.integers(1, 50))
        if event == "back":
            items.append(block(lines, max(0, line - n // 2)))
            line = max(line, max(0, line - n // 2) + n)
            continue
        if event == "bad":
            lines = lines[:, :-1]
        items.append(block(lines, line, starts_segment=event == "segment"))
        line += n
    engine = FailingEngine(lambda number: number in fails, tile=(64, 64))
    notes, totals = _run(BlockCamera(items, WIDTH), engine, advance_px=advance, engine_failures_to_stop=100)
    first = notes.of("roll_started")[0].first_line
    assert totals.lines_woven == line - first
    lives: dict[int, list] = {}
    for defect in notes.of("defect"):
        lives.setdefault(defect.defect_id, []).append(defect.phase)
    assert len(lives) == totals.defects
    for phases in lives.values():
        assert phases[0] is DefectPhase.NEW
        assert phases[-1] is DefectPhase.END
        assert set(phases[1:-1]) <= {DefectPhase.UPDATE}


class LostCamera(BlockCamera):
    """Says why no lines come."""

    def __init__(self, items: list[object], told: list[tuple[str, ...]]) -> None:
        super().__init__(items, WIDTH)
        self._told = told

    def take_faults(self) -> tuple[str, ...]:
        return self._told.pop(0) if self._told else ()


def test_a_camera_that_is_away_is_told_before_it_is_back() -> None:
    """The blocks behind the loss are handed over only once the fault has reached the sink."""
    arrived = threading.Event()

    class Watching(Notes):
        def fault(self, fault: Fault) -> None:
            super().fault(fault)
            arrived.set()

    lines = _cloth(200)
    blocks = blocks_of(lines, [50])
    seen: list[bool] = []

    def wait() -> LineBlock:
        seen.append(arrived.wait(WAIT_S))
        return blocks[2]

    camera = LostCamera([*blocks[:2], None, wait, blocks[3]], [("the cable was pulled",)])
    pipeline, notes = _pipeline(camera, sink=Watching())
    pipeline.start()
    totals = pipeline.wait(WAIT_S)
    assert seen == [True]
    _check_account(notes, totals)
    assert totals.lines_woven == 200
    assert [fault.message for fault in notes.of("fault")] == ["the cable was pulled"]
    assert len(notes.of("segment")) == 1  # nothing was missed, so the cloth goes on
