"""A web that wanders, through the threads, against where it was drawn."""

from __future__ import annotations

import numpy as np
import pytest
from inspection_peers import BlockCamera, ConvEngine, Notes, Pixels, blocks_of

from glass_edge.config.inspection import InspectionSettings
from glass_edge.errors import InputError
from glass_edge.fabric.defect import DefectPhase
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.inspection.cloth_place import OUTSIDE_LOGIT
from glass_edge.inspection.coverage import GapReason
from glass_edge.inspection.parameters import StyleParameters
from glass_edge.inspection.pipeline import InspectionPipeline

WIDTH = 320
CLOTH_PX = 200
STYLE = StyleParameters("poplin", halo_px=16, smoothing_sigma_px=4.0, threshold_logit=2.0)
SCALE = WebScale(0.5, 0.25)


def find_dark(lines: Pixels) -> ClothSpan:
    dark = np.flatnonzero(lines.mean(axis=0) < 200)
    if not dark.size:
        raise InputError("only white is seen")
    return ClothSpan(int(dark[0]), int(dark[-1]) + 1)


def web(left_px: np.ndarray, cloth_px: int = CLOTH_PX) -> Pixels:
    """Cloth that begins at `left_px` of each line, on a white table that the engine takes for one defect."""
    columns = np.arange(WIDTH)
    noise = np.random.default_rng(3).integers(118, 138, (len(left_px), WIDTH), dtype=np.uint8)
    inside = (columns >= left_px[:, None]) & (columns < left_px[:, None] + cloth_px)
    return np.where(inside, noise, np.uint8(250)).astype(np.uint8)


def inspect(lines: Pixels, sizes: list[int], *, wander_mm: float) -> Notes:
    notes = Notes()
    pipeline = InspectionPipeline(
        BlockCamera(blocks_of(lines, sizes), WIDTH),
        ConvEngine(tile=(64, 64)),
        notes,
        roll_id="R1",
        style=STYLE,
        scale=SCALE,
        cloth=find_dark,
        selvedge_margin_mm=0.0,
        wander_mm=wander_mm,
        settings=InspectionSettings(span_lines=64, follow_lines=64, gap_mm=0.0, read_timeout_s=0.02),
        live=False,
    )
    pipeline.start()
    totals = pipeline.wait(60)
    assert totals.lines_woven == len(lines)
    inspected = sum(strip.n_lines for strip in notes.of("scores"))
    missed = sum(gap.end_line - gap.first_line for gap in notes.of("gap"))
    assert (inspected, missed) == (totals.lines_inspected, totals.lines_missed)
    return notes


def sway(n: int, amplitude_px: float, period_lines: float) -> np.ndarray:
    return np.round(60 + amplitude_px * np.sin(2 * np.pi * np.arange(n) / period_lines)).astype(int)


def test_a_table_beside_wandering_cloth_never_alarms_and_positions_count_from_the_live_selvedge() -> None:
    left = sway(3000, 14, 3000)
    lines = web(left)
    for line in (700, 1500, 2300):  # spots 60 px inside of the selvedge of their line
        lines[line : line + 12, left[line] + 60 : left[line] + 72] = 250
    notes = inspect(lines, [128], wander_mm=10.0)
    assert len(notes.of("segment")) == 1
    assert not notes.of("fault")
    ends = [defect for defect in notes.of("defect") if defect.phase is DefectPhase.END]
    assert len(ends) == 3
    for defect, line in zip(ends, (700, 1500, 2300), strict=True):
        assert defect.box_mm.along_mm == pytest.approx(line * 0.25, abs=4.0)
        # the box is wider than the spot by the smoothing; its middle is the spot's. The selvedge lags a few pixels.
        middle = defect.box_mm.across_mm + defect.box_mm.width_mm / 2
        assert middle == pytest.approx(66 * 0.5, abs=2.5)


def test_without_following_the_table_does_alarm() -> None:
    notes = inspect(web(sway(3000, 24, 3000)), [128], wander_mm=0.0)
    assert notes.of("defect")


@pytest.mark.parametrize("amplitude_px", [14, 40])
def test_what_is_found_does_not_depend_on_the_blocks(amplitude_px: int) -> None:
    lines = web(sway(1500, amplitude_px, 6000))
    lines[900:912, 150:160] = 250
    runs = [inspect(lines, sizes, wander_mm=10.0) for sizes in ([1500], [1], [37, 5, 200])]
    strips = []
    for notes in runs:
        scores = notes.of("scores")
        strips.append(np.concatenate([strip.logits for strip in scores if strip.first_cell == scores[0].first_cell]))
    assert np.array_equal(strips[0], strips[1])
    assert np.array_equal(strips[0], strips[2])
    told = [
        [(d.phase, d.box_px, d.box_mm, d.peak_logit) for d in notes.of("defect")]
        + [(segment.first_line, segment.cloth) for segment in notes.of("segment")]
        for notes in runs
    ]
    assert told[0] == told[1] == told[2]


def test_a_web_that_leaves_the_room_begins_a_new_stretch_and_loses_only_the_edges() -> None:
    left = np.round(np.linspace(40, 100, 3000)).astype(int)
    notes = inspect(web(left), [100], wander_mm=8.0)
    segments = notes.of("segment")
    assert len(segments) > 1
    assert [fault.kind for fault in notes.of("fault")] == ["web_moved"] * (len(segments) - 1)
    assert "wander_mm = 8" in notes.of("fault")[0].message
    assert {gap.reason for gap in notes.of("gap")} == {GapReason.SEGMENT_EDGE}
    assert sum(gap.end_line - gap.first_line for gap in notes.of("gap")) == 32 * len(segments)
    assert not notes.of("defect")
    for segment in segments:
        assert segment.cloth.left_px == pytest.approx(left[segment.first_line], abs=4)


def test_cloth_that_ends_is_told_and_looked_for_again() -> None:
    left = np.full(1500, 60)
    lines = web(left)
    lines[600:1100] = 250
    notes = inspect(lines, [100], wander_mm=8.0)
    gaps = [gap for gap in notes.of("gap") if gap.reason is GapReason.NO_CLOTH_FOUND]
    assert gaps
    assert all(gap.first_line > 600 and gap.end_line <= 1100 + 64 for gap in gaps)
    assert [fault.kind for fault in notes.of("fault")].count("no_cloth_found") == 2
    assert notes.of("segment")[-1].first_line >= 1100 - 64


def test_the_strip_outside_of_the_live_span_is_silent() -> None:
    left = sway(1500, 14, 3000)
    notes = inspect(web(left), [128], wander_mm=10.0)
    for strip in notes.of("scores"):
        for row in range(strip.logits.shape[0]):
            line = strip.first_line + 4 * row
            heard = np.flatnonzero(strip.logits[row] != OUTSIDE_LOGIT) + strip.first_cell
            assert heard[0] * 4 >= left[line] + 6  # the engine's reach
            assert heard[-1] * 4 + 4 <= left[line] + CLOTH_PX - 6
