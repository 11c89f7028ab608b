"""Regions found over false alarms, against a count at each threshold by other means."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from glass_edge.glass.metrics_froc import MOST_FALSE_ALARMS, JudgedMap, free_response

SIDE = 4
levels = st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0, 3.0])
maps = hnp.arrays(np.float32, (7, 9), elements=levels)


def judged(logits: NDArray[np.float32], regions: tuple[NDArray[np.bool_], ...] = ()) -> JudgedMap:
    """Cells of 4 px; the last row covers two lines, the last column one."""
    rows, cells = logits.shape
    heights, widths = np.full(rows, SIDE), np.full(cells, SIDE)
    heights[-1], widths[-1] = 2, 1
    return JudgedMap(logits, heights, widths, tuple(np.flatnonzero(region) for region in regions))


def alarms(image: JudgedMap, threshold: float, min_area_px: int) -> NDArray[np.int32]:
    """Number of the alarm of each cell, 0 for those that do not count; by SciPy."""
    labels, count = ndimage.label(image.logits >= threshold, structure=np.ones((3, 3)))
    sizes = np.outer(image.heights_px, image.widths_px)
    counted = [k for k in range(1, count + 1) if sizes[labels == k].sum() >= min_area_px]
    return np.where(np.isin(labels, counted), labels, 0)


areas = st.sampled_from([0, 17, 40])


@settings(max_examples=80, deadline=None)
@given(good=st.lists(maps, min_size=1, max_size=3), bad=maps, region=st.integers(0, 8), area=areas)
def test_every_point_is_what_counting_gives(
    good: list[NDArray[np.float32]], bad: NDArray[np.float32], region: int, area: int
) -> None:
    regions = [np.zeros(bad.shape, np.bool_) for _ in range(3)]
    regions[0][2:4, region : region + 2] = True
    regions[1][6, region] = True  # regions[2]: nothing of it is scored
    strips, defective = [judged(one) for one in good], judged(bad, tuple(regions))
    curve = free_response(strips, [defective], min_area_px=area)
    assert (np.diff(curve.thresholds) < 0).all()
    assert curve.found.shape == (len(curve.thresholds), 3)
    most = 0
    for threshold, false_alarms, found in zip(curve.thresholds, curve.false_alarms, curve.found, strict=True):
        most = max(most, sum(len({*alarms(one, threshold, area).ravel().tolist()} - {0}) for one in strips))
        assert false_alarms == most
        hit = alarms(defective, threshold, area) > 0
        assert found.tolist() == [bool(hit[region].any()) for region in regions]
    scores = {float(bad[region].max()) for region in regions[:2]}
    reached = curve.thresholds[-1]
    assert {score for score in scores if score >= reached} <= set(curve.thresholds.tolist())


def test_yardsticks_take_the_highest_threshold_that_finds_most() -> None:
    good = [np.zeros((20, 30), np.float32) for _ in range(20)]
    good[0][3, 3], good[1][5, 5], good[2][2:4, 2:4] = 3.0, 2.0, 1.0
    bad = np.zeros((20, 30), np.float32)
    regions = []
    for index, score in enumerate((4.0, 2.5, 1.5, 0.5)):
        bad[10, 5 * index + 2] = score
        region = np.zeros(bad.shape, np.bool_)
        region[9:12, 5 * index + 1 : 5 * index + 4] = True
        regions.append(region)
    curve = free_response([judged(one) for one in good], [judged(bad, tuple(regions))])
    none, one_in_20, two = curve.at(0.0), curve.at(0.05), curve.at(0.1)
    assert (none.false_alarms, none.threshold, none.found.tolist()) == (0, 4.0, [True, False, False, False])
    assert (one_in_20.false_alarms, one_in_20.threshold) == (1, 2.5)
    assert (two.false_alarms, two.threshold, two.found.tolist()) == (2, 1.5, [True, True, True, False])
    at_one = curve.at(1.0)
    assert (at_one.threshold, int(at_one.found.sum())) == (0.5, 4)
    assert curve.region_recall.tolist() == sorted(curve.region_recall)
    assert (np.diff(curve.false_alarms) >= 0).all()


def test_regions_below_every_good_strip_are_not_found_at_no_false_alarm() -> None:
    good, bad = np.full((6, 6), 1.0, np.float32), np.zeros((6, 6), np.float32)
    region = np.zeros((6, 6), np.bool_)
    region[2, 2] = True
    yardstick = free_response([judged(good)], [judged(bad, (region,))]).at(0.05)
    assert (yardstick.threshold, yardstick.found.tolist()) == (None, [False])


@pytest.mark.parametrize("regions", [3, 900])
def test_the_sweep_stays_short_and_ends_at_many_false_alarms(regions: int) -> None:
    rng = np.random.default_rng(regions)
    good = [judged(rng.normal(size=(64, 200)).astype(np.float32)) for _ in range(4)]
    bad = rng.normal(2, 1, (64, 200)).astype(np.float32)
    near = [np.array([index]) for index in rng.choice(bad.size, regions, replace=False)]
    image = judged(bad)
    curve = free_response(good, [JudgedMap(bad, image.heights_px, image.widths_px, tuple(near))])
    assert len(curve.thresholds) <= 400
    per_strip = curve.false_alarms_per_good_strip
    assert per_strip[-2] <= MOST_FALSE_ALARMS < per_strip[-1]
    highest = sorted((float(one.logits.max()) for one in good), reverse=True)
    assert set(np.float32(highest)) <= set(curve.thresholds)
