"""Rows of marks, weak rims and leaning lines, worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inspection_peers import Scores
from scipy import ndimage
from scipy.spatial import ConvexHull

from glass_edge.fabric.defect import Defect, DefectPhase, DefectShape
from glass_edge.fabric.geometry import ClothSpan, MmBox, WebScale
from glass_edge.inspection.blobs import BlobLabeller
from glass_edge.inspection.cloth_place import PlaceTrack
from glass_edge.inspection.score_strip import ScoreStrip
from glass_edge.inspection.tracker import DefectRules, DefectTracker

STRIDE = 4
SCALE = WebScale(0.25, 0.25)  # a cell is 1 mm x 1 mm


def run(logits: Scores, cuts: list[int] | None = None, **changes: float) -> list[Defect]:
    rules = {"threshold_logit": 2.0, "min_area_mm2": 0.0, "gap_mm": 0.0, "update_step_mm": 10.0} | changes
    tracker = DefectTracker(DefectRules(**rules), SCALE, STRIDE)
    tracker.begin(0, PlaceTrack.still(ClothSpan(0, 4000)), 0)
    reports, row = [], 0
    for part in np.split(logits, range(1, len(logits)) if cuts is None else cuts):
        if len(part):
            reports += tracker.push(ScoreStrip(row * STRIDE, (row + len(part)) * STRIDE, STRIDE, 0, part))
            row += len(part)
    assert len(tracker.open_defects()) == tracker.announced - sum(d.phase is DefectPhase.END for d in reports)
    return reports + tracker.flush()


def strip(rows: int, columns: int) -> Scores:
    return np.full((rows, columns), -3, np.float32)


def ends(reports: list[Defect]) -> list[Defect]:
    return [defect for defect in reports if defect.phase is DefectPhase.END and defect.merged_into is None]


@pytest.mark.parametrize("cuts", [None, [], [7, 30, 31, 90]])
def test_marks_along_an_end_are_one_defect_from_the_first_mark_on(cuts: list[int] | None) -> None:
    logits = strip(120, 30)
    for row in range(10, 90, 10):  # eight marks of 2 mm, 8 mm apart
        logits[row : row + 2, 12:14] = 4
    logits[40:42, 25] = 4  # a speck beside it
    reports = run(logits, cuts, run_gap_mm=8.0)
    row, speck = ends(reports)
    assert (row.defect_id, speck.defect_id) == (1, 2) or (row.defect_id, speck.defect_id) == (2, 1)
    row, speck = sorted((row, speck), key=lambda defect: -defect.parts)
    assert (row.parts, row.shape, row.area_mm2) == (8, DefectShape.WARP_LINE, pytest.approx(8 * 4))
    assert (row.box_mm.along_mm, row.box_mm.length_mm, row.box_mm.width_mm) == pytest.approx((10, 72, 2))
    assert (speck.parts, speck.shape) == (1, DefectShape.POINT)
    assert [d.phase for d in reports].count(DefectPhase.NEW) == 2


def test_marks_further_apart_or_beside_each_other_stay_apart() -> None:
    logits = strip(60, 30)
    logits[5:7, 10:12] = 4
    logits[16:18, 10:12] = 4  # 9 mm further
    logits[16:18, 24:26] = 4
    assert len(ends(run(logits, run_gap_mm=8.0))) == 3
    assert len(ends(run(logits, run_gap_mm=9.0))) == 2
    assert len(ends(run(logits, run_gap_mm=0.0))) == 3
    logits[16:18, 10:26] = -3
    logits[16:18, 14:16] = 4  # 2 mm to the right: 6 mm together, wider than a row
    assert len(ends(run(logits, run_gap_mm=9.0))) == 2


def test_wide_faults_are_not_joined_along_the_web() -> None:
    logits = strip(60, 30)
    logits[5:15, 5:20] = 4
    logits[20:30, 5:20] = 4
    assert [defect.parts for defect in ends(run(logits, run_gap_mm=20.0))] == [1, 1]


@pytest.mark.parametrize("cuts", [None, []])
def test_marks_along_a_pick_merge_into_the_first(cuts: list[int] | None) -> None:
    logits = strip(60, 90)
    for column in range(5, 85, 10):
        logits[20:22, column : column + 3] = 4
    logits[40:52, 5:8] = 4
    reports = run(logits, cuts, run_gap_mm=7.0)
    pick, other = ends(reports)
    assert (pick.defect_id, pick.parts, pick.shape) == (1, 8, DefectShape.WEFT_LINE)
    assert (pick.box_mm.across_mm, pick.box_mm.width_mm, pick.box_mm.length_mm) == pytest.approx((5, 73, 2))
    assert other.parts == 1
    merged = [defect for defect in reports if defect.merged_into is not None]
    assert {defect.merged_into for defect in merged} <= {1}
    news = [d.defect_id for d in reports if d.phase is DefectPhase.NEW]
    assert sorted(news) == sorted(d.defect_id for d in reports if d.phase is DefectPhase.END)


def test_a_run_of_metres_is_one_event_stream_that_grows_and_is_told_running() -> None:
    logits = strip(4000, 8)
    for row in range(0, 4000, 20):
        logits[row : row + 5, 3] = 4
    reports = run(logits, list(range(16, 4000, 16)), run_gap_mm=16.0, running_mm=1000.0)
    assert [d.phase for d in reports].count(DefectPhase.NEW) == 1
    lengths = [d.box_mm.length_mm for d in reports]
    assert lengths == sorted(lengths)
    assert reports[-1].box_mm.length_mm == pytest.approx(3985)
    assert [d.is_running for d in reports] == [length >= 1000 for length in lengths]
    assert reports[-1].parts == 200


def figures(reports: list[Defect]) -> list[tuple[float, ...]]:
    return sorted((*vars_of(defect.box_mm), defect.parts, round(defect.area_mm2)) for defect in ends(reports))


def vars_of(box: MmBox) -> tuple[float, float, float, float]:
    return box.along_mm, box.across_mm, box.length_mm, box.width_mm


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 5000), gap_mm=st.sampled_from([0.0, 2.0]), cuts=st.lists(st.integers(0, 96), max_size=8))
def test_what_joins_is_the_same_whatever_the_pieces(seed: int, gap_mm: float, cuts: list[int]) -> None:
    random = np.random.default_rng(seed)
    logits = strip(96, 96)
    for row, column in np.ndindex(12, 12):  # marks far enough apart to be components of their own
        if random.random() < 0.2:
            top, left = 8 * row + random.integers(2), 8 * column + random.integers(2)
            logits[top : top + random.integers(1, 5), left : left + random.integers(1, 5)] = 4
    rows = {"gap_mm": gap_mm, "run_gap_mm": 9.0}
    whole = figures(run(logits, [], **rows))
    assert figures(run(logits, None, **rows)) == whole
    assert figures(run(logits, sorted(cuts), **rows)) == whole


def test_a_mark_that_ends_last_joins_both_beside_it() -> None:
    logits = strip(30, 60)
    logits[10:12, 5:8] = logits[10:12, 25:28] = 4
    logits[10:14, 15:18] = 4
    (pick,) = ends(run(logits, run_gap_mm=8.0))
    assert (pick.parts, pick.box_mm.width_mm) == (3, 23)


def test_a_mark_counts_though_it_is_complete_only_when_the_gap_has_passed() -> None:
    logits = strip(30, 60)
    logits[10:11, 1:8] = 4  # too wide for a row along the web: it waits for what lies beside it alone
    logits[12:15, 15:18] = 4  # together 5 mm along, and complete 3 mm later
    (pick,) = ends(run(logits, gap_mm=3.0, run_gap_mm=8.0))
    assert pick.parts == 2


@pytest.mark.parametrize("cuts", [None, []])
def test_a_mark_goes_on_with_a_row_by_where_it_begins_not_by_when_it_is_announced(cuts: list[int] | None) -> None:
    logits = strip(40, 30)
    logits[10:12, 12] = 4
    logits[18:24, 12] = 1.5
    logits[23, 12] = 4  # announced 11 rows behind the mark before, though it begins 6 rows behind it
    (row,) = ends(run(logits, cuts, hysteresis_logit=1.0, run_gap_mm=8.0))
    assert (row.parts, row.box_mm.length_mm) == (2, 14)
    logits[23, 12] = 1.5
    logits[10:12, 12], logits[18:24, 12] = 4, 4
    (row,) = ends(run(logits, cuts, min_area_mm2=2.0, run_gap_mm=6.0))
    assert row.parts == 2
    logits = strip(40, 30)
    logits[10:20, 12] = 1.5
    logits[19, 12] = logits[12:14, 14] = 4  # the one that begins first is announced last
    (row,) = ends(run(logits, cuts, hysteresis_logit=1.0, run_gap_mm=8.0))
    assert row.parts == 2


def test_a_faint_streak_keeps_no_mark_beside_it_open() -> None:
    logits = strip(400, 30)
    logits[:, 12] = 1.5
    logits[5:395:40, 14] = 4
    tracker = DefectTracker(DefectRules(2.0, 0.0, 0.0, 10.0, hysteresis_logit=1.0, run_gap_mm=8.0), SCALE, STRIDE)
    tracker.begin(0, PlaceTrack.still(ClothSpan(0, 4000)), 0)
    for row, line in enumerate(logits):
        tracker.push(ScoreStrip(row * STRIDE, (row + 1) * STRIDE, STRIDE, 0, line[None]))
        since_mark = (row - 5) % 40
        assert len(tracker.open_defects()) == (row >= 5 and since_mark <= 17), row
    assert tracker.announced == 10


@pytest.mark.parametrize("cuts", [None, []])
def test_two_arms_that_meet_are_one_part(cuts: list[int] | None) -> None:
    logits = strip(30, 30)
    logits[5:15, [5, 9]] = 4
    logits[15, 5:10] = 4
    for run_gap_mm in (0.0, 8.0):  # the arms are two defects, or one, before they meet
        reports = run(logits, cuts, run_gap_mm=run_gap_mm)
        (arch,) = ends(reports)
        assert (arch.parts, arch.area_mm2) == (1, pytest.approx(25))
        assert all(defect.parts == 1 for defect in reports if run_gap_mm == 0.0)  # the arm that ends is one, too


def test_weak_cells_belong_to_a_defect_only_beside_strong_ones() -> None:
    logits = strip(30, 30)
    logits[5:10, 5:15] = 1.5  # weak all over: no defect
    logits[15:20, 5:15] = 1.5
    logits[17, 7] = 2.5
    (found,) = ends(run(logits, hysteresis_logit=1.0))
    assert (found.box_mm.along_mm, found.box_mm.length_mm, found.area_mm2) == pytest.approx((15, 5, 50))
    (core,) = ends(run(logits))
    assert core.area_mm2 == pytest.approx(1)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 5000), cuts=st.lists(st.integers(0, 40), max_size=8))
def test_hysteresis_is_that_of_the_whole_strip(seed: int, cuts: list[int]) -> None:
    logits = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(40, 30)), 1.0).astype(np.float32) * 4
    found = ends(run(logits, sorted(cuts), threshold_logit=2.0, hysteresis_logit=1.0))
    labels, n = ndimage.label(logits >= 1.0, structure=np.ones((3, 3)))
    strong = [label for label in range(1, n + 1) if logits[labels == label].max() >= 2.0]
    assert sorted(round(d.area_mm2) for d in found) == sorted(int((labels == label).sum()) for label in strong)


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 5000), cuts=st.lists(st.integers(0, 50), max_size=8))
def test_the_hull_of_a_component_is_that_of_all_its_cells(seed: int, cuts: list[int]) -> None:
    logits = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(50, 24)), 1.2).astype(np.float32)
    labeller = BlobLabeller(0.1)
    closed = []
    for part in np.split(logits, sorted(cuts)):
        closed += labeller.push(part).closed
    closed += labeller.flush().closed
    labels, n = ndimage.label(logits >= 0.1, structure=np.ones((3, 3)))
    areas = []
    for label in range(1, n + 1):
        rows, columns = np.nonzero(labels == label)
        corners = np.concatenate([np.stack([columns + a, rows + b], axis=1) for a in (0, 1) for b in (0, 1)])
        areas.append((len(rows), rows.min(), columns.min(), ConvexHull(corners).volume))
    found = [(b.area, b.first_row, b.first_column, ConvexHull(b.hull).volume) for b in closed]
    np.testing.assert_allclose(np.array(sorted(found)), np.array(sorted(areas)))


def test_a_leaning_line_has_its_own_length_and_direction() -> None:
    logits = strip(120, 60)
    for row in range(10, 110):
        logits[row, 20 + row // 5] = 4  # 1 mm to the right each 5 mm
    (line,) = ends(run(logits))
    assert line.oriented is not None
    assert line.shape is DefectShape.WARP_LINE
    assert line.oriented.direction_deg == pytest.approx(np.degrees(np.arctan(1 / 5)), abs=1.0)
    assert line.oriented.length_mm == pytest.approx(np.hypot(100, 20), rel=0.02)
    assert line.oriented.width_mm < 3
