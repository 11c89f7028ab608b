from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inspection_peers import Scores
from scipy import ndimage

from glass_edge.fabric.defect import Defect, DefectPhase, DefectShape
from glass_edge.fabric.geometry import ClothSpan, WebScale
from glass_edge.inspection.cloth_place import PlaceTrack
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.tracker import DefectRules, DefectTracker

SCALE = WebScale(0.2, 0.5)
STRIDE = 4
CELL_MM2 = 16 * 0.1
WIDE = ClothSpan(0, 4000)


def _rules(**changes: object) -> DefectRules:
    return DefectRules(
        **({"threshold_logit": 0.0, "min_area_mm2": 0.0, "gap_mm": 0.0, "update_step_mm": 5.0} | changes)
    )


def _run(
    tracker: DefectTracker,
    logits: Scores,
    cuts: Sequence[int],
    *,
    first_line: int = 0,
    n_lines: int | None = None,
    cloth: ClothSpan = WIDE,
    first_cell: int = 0,
) -> list[Defect]:
    n_lines = n_lines or len(logits) * STRIDE
    tracker.begin(first_line, PlaceTrack.still(cloth), first_cell)
    reports, row = [], 0
    for part in np.split(logits, cuts):
        if len(part):
            end = min((row + len(part)) * STRIDE, n_lines)
            strip = ScoreStrip(first_line + row * STRIDE, first_line + end, STRIDE, first_cell, part)
            reports += tracker.push(strip)
            row += len(part)
    return reports + tracker.flush()


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 10_000),
    shape=st.tuples(st.integers(1, 50), st.integers(1, 25)),
    threshold=st.sampled_from([0.2, 0.8, 1.4]),
    min_cells=st.sampled_from([0, 2, 6]),
    data=st.data(),
)
def test_each_defect_of_the_whole_strip_has_one_new_and_one_end(
    seed: int, shape: tuple[int, int], threshold: float, min_cells: int, data: st.DataObject
) -> None:
    logits = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.0).astype(np.float32)
    logits /= max(1e-6, logits.std())
    cuts = sorted(data.draw(st.lists(st.integers(0, shape[0]), max_size=10)))
    tracker = DefectTracker(_rules(threshold_logit=threshold, min_area_mm2=min_cells * CELL_MM2), SCALE, STRIDE)
    reports = _run(tracker, logits, cuts)

    lives: dict[int, list] = {}
    for defect in reports:
        lives.setdefault(defect.defect_id, []).append(defect)
    assert sorted(lives) == list(range(1, len(lives) + 1))
    for life in lives.values():
        phases = [defect.phase for defect in life]
        assert phases[0] is DefectPhase.NEW
        assert phases[-1] is DefectPhase.END
        assert set(phases[1:-1]) <= {DefectPhase.UPDATE}
        if life[-1].merged_into is not None:
            survivor = lives[life[-1].merged_into][-1]
            assert survivor.defect_id < life[-1].defect_id
            assert survivor.area_mm2 >= life[-1].area_mm2
            assert survivor.box_px.union(life[-1].box_px) == survivor.box_px
    ended = [life[-1] for life in lives.values() if life[-1].merged_into is None]

    labels, _ = ndimage.label(logits >= threshold, structure=np.ones((3, 3)))
    expected = []
    for label, (rows, columns) in enumerate(ndimage.find_objects(labels), start=1):
        area = int((labels == label).sum())
        if area >= min_cells:
            peak = float(logits[labels == label].max())
            expected.append((rows.start * 4, rows.stop * 4, columns.start * 4, columns.stop * 4, area, peak))
    found = [
        (
            d.box_px.first_line,
            d.box_px.end_line,
            d.box_px.left_px,
            d.box_px.right_px,
            round(d.area_mm2 / CELL_MM2),
            d.peak_logit,
        )
        for d in ended
    ]
    assert sorted(found) == sorted(expected)


def test_a_defect_in_millimetres_by_hand() -> None:
    logits = np.full((10, 6), -3, np.float32)
    logits[2:4, 1:5] = [[2, 2, 2, 2], [2, 4, 2, 2]]
    tracker = DefectTracker(_rules(), SCALE, STRIDE, roll_first_line=1000)
    *_, end = _run(tracker, logits, [3], first_line=1200, first_cell=25, cloth=ClothSpan(102, 122))
    # Cells 26..29 are columns 104..119; rows 2..3 are lines 1208..1215.
    assert (end.box_px.left_px, end.box_px.right_px) == (104, 120)
    assert (end.box_px.first_line, end.box_px.end_line) == (1208, 1216)
    assert end.box_mm.across_mm == pytest.approx(2 * 0.2)
    assert end.box_mm.along_mm == pytest.approx(208 * 0.5)
    assert (end.box_mm.width_mm, end.box_mm.length_mm) == pytest.approx((16 * 0.2, 8 * 0.5))
    assert end.area_mm2 == pytest.approx(8 * 16 * 0.1)
    assert end.peak_logit == 4
    assert end.peak_score == pytest.approx(1 / (1 + np.exp(-4)))
    assert end.mean_score == pytest.approx((7 / (1 + np.exp(-2)) + 1 / (1 + np.exp(-4))) / 8)
    assert end.shape is DefectShape.POINT


def test_boxes_end_where_the_cloth_and_the_segment_end() -> None:
    logits = np.full((3, 3), 1, np.float32)
    tracker = DefectTracker(_rules(), SCALE, STRIDE)
    *_, end = _run(tracker, logits, [], n_lines=9, cloth=ClothSpan(2, 11))
    assert (end.box_px.left_px, end.box_px.right_px, end.box_px.first_line, end.box_px.end_line) == (2, 11, 0, 9)


def test_it_is_announced_when_it_is_large_enough_and_updated_by_the_step() -> None:
    logits = np.full((40, 3), -1, np.float32)
    logits[2:36, 1] = 1
    tracker = DefectTracker(_rules(min_area_mm2=3 * CELL_MM2, update_step_mm=20.0), SCALE, STRIDE)
    reports = _run(tracker, logits, range(1, 40))
    # A row is 2 mm long: announced with the third cell (6 mm), then at 26, 46 and 66 mm; it ends at 34 cells, 68 mm.
    phases = [(d.phase.value, round(d.box_mm.length_mm, 6)) for d in reports]
    assert phases == [("new", 6), ("update", 26), ("update", 46), ("update", 66), ("end", 68)]
    assert reports[-1].shape is DefectShape.WARP_LINE


def test_a_dotted_line_is_one_defect_within_the_gap_and_many_beyond_it() -> None:
    logits = np.full((41, 3), -1, np.float32)
    logits[::4, 1] = 1  # three rows of 2 mm between two dots
    joined = _run(DefectTracker(_rules(gap_mm=6.0), SCALE, STRIDE), logits, [1, 7, 9, 10, 30])
    assert [d.phase.value for d in joined].count("new") == 1
    apart = _run(DefectTracker(_rules(gap_mm=5.9), SCALE, STRIDE), logits, [1, 7, 9, 10, 30])
    assert [d.phase.value for d in apart].count("new") == 11
    assert joined[-1].area_mm2 == pytest.approx(11 * CELL_MM2)


def test_a_defect_of_hundreds_of_metres_is_one_id_and_ids_go_on_after_a_break() -> None:
    tracker = DefectTracker(_rules(update_step_mm=1000.0), SCALE, STRIDE)
    piece = np.full((50, 4), -1, np.float32)
    piece[:, 2] = 1
    tracker.begin(0, PlaceTrack.still(ClothSpan(0, 16)), 0)
    reports = []
    for k in range(1000):
        reports += tracker.push(ScoreStrip(k * 200, (k + 1) * 200, STRIDE, 0, piece))
        assert len(tracker.open_defects()) == 1
    reports += tracker.flush()
    assert {d.defect_id for d in reports} == {1}
    assert len(reports) == 1 + 99 + 1
    assert reports[-1].box_mm.length_mm == pytest.approx(100_000)
    assert not tracker.open_defects()
    again = _run(tracker, piece, [], first_line=200_000)
    assert {d.defect_id for d in again} == {2}
    assert tracker.announced == 2
