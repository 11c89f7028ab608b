"""Metrics against recorded values of the published program, scikit-learn and brute force."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import expit
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from sklearn.metrics import precision_recall_curve as library_precision_recall

from glass_edge.glass.metrics import auroc, average_precision, labelled_counts
from glass_edge.glass.metrics_curves import Curve, found_curve, precision_recall_curve
from glass_edge.glass.metrics_pixels import PixelPool
from glass_edge.glass.metrics_pro import mvtec_pro, pro_curve, reference_pro
from glass_edge.glass.metrics_regions import count_regions

GOLDEN = Path(__file__).parents[1] / "golden"
EXACT = 1e-9

Maps = NDArray[np.float32]
Masks = NDArray[np.uint8]


def pooled(maps: Maps, masks: Masks) -> PixelPool:
    pool = PixelPool()
    for score_map, mask in zip(maps, masks, strict=True):
        pool.add(score_map, mask)
    return pool


@pytest.mark.parametrize(
    ("file", "labels", "pro"),
    [("metrics.npz", "image_labels", "pro_mvtec_030"), ("traces/metrics.npz", "labels", "pro_textbook")],
)
def test_recorded_values(file: str, labels: str, pro: str) -> None:
    golden = np.load(GOLDEN / file)
    pool = pooled(golden["maps"], golden["masks"])
    assert auroc(golden["image_scores"], golden[labels]) == pytest.approx(float(golden["image_auroc"]), abs=EXACT)
    assert average_precision(golden["image_scores"], golden[labels]) == pytest.approx(
        float(golden["image_ap"]), abs=EXACT
    )
    assert pool.auroc() == pytest.approx(float(golden["pixel_auroc"]), abs=EXACT)
    assert pool.average_precision() == pytest.approx(float(golden["pixel_ap"]), abs=EXACT)
    assert mvtec_pro(pool) == pytest.approx(float(golden[pro]), abs=EXACT)
    assert reference_pro(pool) == pytest.approx(float(golden["pro_reference"]), abs=EXACT)


def lies_on(curve: Curve, x: float, y: float) -> bool:
    """Whether a point lies on one of the straight lines between the corners."""
    for x0, y0, x1, y1 in zip(curve.x, curve.y, curve.x[1:], curve.y[1:], strict=False):
        if x0 - EXACT <= x <= x1 + EXACT and y0 - EXACT <= y <= y1 + EXACT:
            across = (x - x0) * (y1 - y0) - (y - y0) * (x1 - x0)
            if abs(across) <= EXACT:
                return True
    return False


def test_recorded_pro_at_a_lower_limit_and_its_curve() -> None:
    golden = np.load(GOLDEN / "metrics.npz")
    pool = pooled(golden["maps"], golden["masks"])
    assert mvtec_pro(pool, 0.05) == pytest.approx(float(golden["pro_mvtec_005"]), abs=EXACT)
    curve = pro_curve(pool)
    assert len(curve) > 100
    assert all(lies_on(curve, x, y) for x, y in zip(golden["curve_fpr"], golden["curve_pro"], strict=True))


def test_the_hand_worked_map() -> None:
    golden = np.load(GOLDEN / "metrics_tiny.npz")
    pool = pooled(golden["maps"], golden["masks"])
    curve = pro_curve(pool)
    points = list(zip(golden["curve_fpr"], golden["curve_pro"], strict=True))
    assert all(lies_on(curve, x, y) for x, y in points)
    assert {(round(x, 9), round(y, 9)) for x, y in zip(curve.x, curve.y, strict=True)} <= {
        (round(x, 9), round(y, 9)) for x, y in points
    }
    assert mvtec_pro(pool) == pytest.approx(((1 / 13) * 1.25 / 2 + (0.3 - 1 / 13)) / 0.3, abs=EXACT)
    assert pool.auroc() == pytest.approx(float(golden["pixel_auroc"]), abs=EXACT)
    assert pool.average_precision() == pytest.approx(float(golden["pixel_ap"]), abs=EXACT)
    assert reference_pro(pool) == pytest.approx(float(golden["pro_reference"]), abs=EXACT)


few_values = st.sampled_from([-2.5, -1.0, 0.0, 0.1, 0.5, 3.0])


@given(st.lists(st.tuples(few_values | st.floats(-1e3, 1e3, width=32), st.booleans()), min_size=2, max_size=60))
def test_scikit_learn_agrees_also_with_ties(points: list[tuple[float, bool]]) -> None:
    scores, labels = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    if labels.all() or not labels.any():
        assert math.isnan(auroc(scores, labels))
    else:
        assert auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=EXACT)
    if labels.any():
        assert average_precision(scores, labels) == pytest.approx(average_precision_score(labels, scores), abs=EXACT)


def brute_force_curve(maps: Maps, masks: Masks) -> list[tuple[float, float]]:
    regions = []
    for number, mask in enumerate(masks):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [(number, labels == k) for k in range(1, count + 1)]
    points = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        positive = maps >= threshold
        overlap = np.mean([positive[number][region].mean() for number, region in regions])
        points.append((float(positive[masks == 0].mean()), float(overlap)))
    return points


def brute_force_reference(maps: Maps, masks: Masks) -> float:
    """The published program's PRO, threshold by threshold."""
    labels, count = zip(*(ndimage.label(mask, structure=np.ones((3, 3))) for mask in masks), strict=True)
    points = []
    low, high = float(maps.min()), float(maps.max())  # that program's maps are float64 by then
    for threshold in np.arange(low, high, (high - low) / 200):
        positive = maps.astype(np.float64) > threshold
        dilated = [ndimage.binary_dilation(one, np.ones((5, 5))) for one in positive]
        overlaps = [dilated[n][labels[n] == k].mean() for n in range(len(maps)) for k in range(1, count[n] + 1)]
        points.append((positive[masks == 0].mean(), np.mean(overlaps)))
    kept = sorted(point for point in points if point[0] < 0.3)
    if not kept:
        return float("nan")
    x, y = np.array(kept).T
    return float(np.trapezoid(y, (x - x.min()) / (x.max() - x.min() + 1e-10)))


def area(points: list[tuple[float, float]], limit: float) -> float:
    total = 0.0
    for (x0, y0), (x1, y1) in itertools.pairwise(points):
        if x0 >= limit:
            break
        end = min(x1, limit)
        height = y1 if end == x1 else y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        total += (end - x0) * (y0 + height) / 2
    return total / limit


@settings(max_examples=60, deadline=None)
@given(
    maps=hnp.arrays(np.float32, (3, 6, 7), elements=few_values | st.floats(-5, 5, width=16)),
    masks=hnp.arrays(np.uint8, (3, 6, 7), elements=st.integers(0, 1)),
    limit=st.sampled_from([0.05, 0.3, 0.5, 1.0]),
)
def test_brute_force_pro_agrees(maps: Maps, masks: Masks, limit: float) -> None:
    pool = pooled(maps, masks)
    if masks.all() or not masks.any():
        assert math.isnan(mvtec_pro(pool, limit))
        return
    points = brute_force_curve(maps, masks)
    curve = pro_curve(pool)
    assert all(lies_on(curve, x, y) for x, y in points)
    exact = {(round(x, 9), round(y, 9)) for x, y in points}
    assert {(round(x, 9), round(y, 9)) for x, y in zip(curve.x, curve.y, strict=True)} <= exact
    assert mvtec_pro(pool, limit) == pytest.approx(area(points, limit), abs=EXACT)


@settings(max_examples=25, deadline=None)
@given(
    maps=hnp.arrays(np.float32, (2, 9, 11), elements=few_values | st.floats(-5, 5, width=16)),
    masks=hnp.arrays(np.uint8, (2, 9, 11), elements=st.sampled_from([0, 0, 0, 1])),
)
@example(  # rounding decides whether the last threshold is the largest score itself
    maps=np.where(np.arange(198).reshape(2, 9, 11) == 0, np.float32(3), np.float32(2.5390625)),
    masks=(np.arange(198).reshape(2, 9, 11) > 0).astype(np.uint8),
)
def test_the_reference_pro_is_that_of_the_published_program(maps: Maps, masks: Masks) -> None:
    found = reference_pro(pooled(maps, masks))
    if not masks.any() or masks.all() or maps.min() == maps.max():
        assert math.isnan(found)
        return
    assert found == pytest.approx(brute_force_reference(maps, masks), abs=EXACT, nan_ok=True)


def test_the_reference_pro_of_logits_spreads_its_thresholds_over_their_sigmoids() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(3, 30, 30)).astype(np.float32)
    masks = np.zeros(maps.shape, np.uint8)
    masks[:, 4:9, 4:12] = 1
    maps[:, 4:9, 4:12] += 1.5
    of_logits = reference_pro(pooled(maps, masks), logits=True)
    assert of_logits == pytest.approx(brute_force_reference(expit(maps.astype(np.float64)), masks), abs=1e-6)
    assert abs(of_logits - reference_pro(pooled(maps, masks))) > 1e-4


@given(st.lists(st.tuples(few_values, st.booleans()), min_size=2, max_size=60), st.integers(2, 20))
def test_curves_are_those_of_scikit_learn(points: list[tuple[float, bool]], most: int) -> None:
    scores, labels = np.array([p[0] for p in points]), np.array([p[1] for p in points])
    counts = labelled_counts(scores, labels)
    roc, precision_recall = found_curve(counts), precision_recall_curve(counts)
    if labels.all() or not labels.any():
        assert len(roc) == 0
    else:
        fpr, tpr, _ = roc_curve(labels, scores, drop_intermediate=False)
        assert all(lies_on(roc, x, y) for x, y in zip(fpr, tpr, strict=True))
        assert np.trapezoid(roc.y, roc.x) == pytest.approx(counts.auroc(), abs=EXACT)
        for threshold, x, y in zip(roc.thresholds, roc.x, roc.y, strict=True):
            called = scores >= threshold
            assert (called[~labels].mean(), called[labels].mean()) == pytest.approx((x, y), abs=EXACT)
        thinned = roc.thinned(most)
        assert len(thinned) <= max(most, 2)
        assert (thinned.x[0], thinned.y[0], thinned.x[-1], thinned.y[-1]) == (0, 0, 1, 1)
        assert set(zip(thinned.x, thinned.y, strict=True)) <= set(zip(roc.x, roc.y, strict=True))
    if labels.any():
        precision, recall, thresholds = library_precision_recall(labels, scores)
        known = {(t, round(r, 9), round(p, 9)) for t, r, p in zip(thresholds, recall, precision, strict=False)}
        ours = zip(precision_recall.thresholds, precision_recall.x, precision_recall.y, strict=True)
        assert {(t, round(r, 9), round(p, 9)) for t, r, p in ours} <= known


def test_good_pixels_are_made_anew_when_asked_for() -> None:
    rng = np.random.default_rng(1)
    maps, masks = rng.normal(size=(4, 20, 20)).astype(np.float32), rng.integers(0, 2, (4, 20, 20)).astype(np.bool_)
    made: list[int] = []

    def again(index: int) -> tuple[Maps, NDArray[np.bool_]]:
        made.append(index)
        return maps[index], masks[index]

    pool = PixelPool()
    for index in range(4):
        pool.add(maps[index], masks[index], again=lambda index=index: again(index))
    kept = pooled(maps, masks)
    assert not made
    for figure in (PixelPool.auroc, PixelPool.average_precision, mvtec_pro, reference_pro):
        assert figure(pool) == figure(kept)
    assert made == [0, 1, 2, 3] * 2  # once for the counts, once for the reference's PRO


def test_maps_of_different_sizes_pool() -> None:
    rng = np.random.default_rng(3)
    pool, scores, labels = PixelPool(), [], []
    for shape in ((5, 9), (16, 4), (1, 30)):
        one, mask = rng.normal(size=shape).astype(np.float32), rng.integers(0, 2, shape)
        pool.add(one, mask)
        scores.append(one.ravel())
        labels.append(mask.ravel())
    assert pool.auroc() == pytest.approx(roc_auc_score(np.concatenate(labels), np.concatenate(scores)), abs=EXACT)


def test_what_is_not_defined_is_nan() -> None:
    empty = PixelPool()
    good = pooled(np.zeros((1, 4, 4), np.float32), np.zeros((1, 4, 4), np.uint8))
    bad = pooled(np.zeros((1, 4, 4), np.float32), np.ones((1, 4, 4), np.uint8))
    for pool in (empty, good, bad):
        assert math.isnan(pool.auroc())
        assert math.isnan(mvtec_pro(pool))
    assert math.isnan(good.average_precision())
    assert bad.average_precision() == 1.0
    mask = np.eye(4, dtype=np.uint8)
    assert math.isnan(reference_pro(pooled(np.zeros((1, 4, 4), np.float32), mask[None])))
    assert pooled(np.zeros((1, 4, 4), np.float32), mask[None]).auroc() == 0.5


def test_wrong_input_is_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        PixelPool().add(np.zeros((3, 3), np.float32), np.zeros((3, 4), np.uint8))
    with pytest.raises(ValueError, match="NaN"):
        PixelPool().add(np.full((3, 3), np.nan, np.float32), np.zeros((3, 3), np.uint8))
    with pytest.raises(ValueError, match="binarise"):
        PixelPool().add(np.zeros((3, 3), np.float32), np.full((3, 3), 255, np.uint8))
    with pytest.raises(ValueError, match="one shape"):
        auroc([0.1, 0.2], [1])
    with pytest.raises(ValueError, match="fpr_limit"):
        mvtec_pro(PixelPool(), 0.0)


def test_regions_found_and_false_alarms() -> None:
    mask = np.zeros((20, 30), np.uint8)
    mask[2:4, 2:4] = 1
    mask[4, 4] = 1  # touches at a corner: the same region
    mask[10, 20] = 1
    score = np.zeros((20, 30), np.float32)
    score[4, 4] = 2.0  # hits the first region
    score[10, 22:25] = 1.5  # two pixels beside the second
    score[17, 5] = 3.0  # false
    score[18, 6] = 3.0  # the same false alarm, at a corner
    good = np.zeros_like(mask)
    counts = count_regions([score, score * 0, score], [mask, good, good], threshold=1.5)
    assert (counts.regions, counts.regions_found) == (2, 1)
    assert counts.false_alarms == 2 + 3
    assert (counts.defect_images, counts.defect_images_found) == (1, 1)
    assert (counts.good_images, counts.good_images_alarmed) == (2, 1)
    assert counts.region_recall == 0.5
    assert counts.false_alarms_per_image == pytest.approx(5 / 3)
    widened = count_regions([score], [mask], threshold=1.5, slack_px=2)
    assert (widened.regions, widened.regions_found, widened.false_alarms) == (2, 2, 1)
    missed = count_regions([score], [mask], threshold=2.5)
    assert (missed.regions_found, missed.defect_images_found, missed.false_alarms) == (0, 0, 1)
    assert math.isnan(count_regions([], [], 0.0).region_recall)
    with pytest.raises(ValueError, match="one shape"):
        count_regions([score], [mask[:5]], 1.0)
