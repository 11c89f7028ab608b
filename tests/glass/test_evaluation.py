from __future__ import annotations

import json
import tracemalloc
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from glass_edge.fabric.geometry import ClothSpan
from glass_edge.glass.data import ClothStrip
from glass_edge.glass.data_labelled import LabelledStrip
from glass_edge.glass.evaluation import Evaluation
from glass_edge.glass.evaluation_image import cut_tiles, evaluate_image, full_map, pixel_map

LINES, WIDTH, STRIDE = 320, 700, 4


@dataclass(frozen=True)
class Cells:
    """Scores of lines 16..304 and columns 48..640 of an image of 320 x 700."""

    logits: NDArray[np.float32]
    first_line: int = 16
    first_cell: int = 12
    stride_px: int = STRIDE


def strip(mask: NDArray[np.bool_], kind: str = "hole", name: str = "test/hole/1.png") -> LabelledStrip:
    return LabelledStrip(ClothStrip(name, np.zeros((LINES, WIDTH), np.uint8), ClothSpan(40, 656)), kind, mask)


def quiet(seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(0, 0.1, (72, 148)).astype(np.float32)


def nothing() -> NDArray[np.bool_]:
    return np.zeros((LINES, WIDTH), np.bool_)


def alarm(logits: NDArray[np.float32], line: int, column: int, value: float = 5.0) -> None:
    """Set the cell that covers an image pixel."""
    logits[(line - 16) // STRIDE, column // STRIDE - 12] = value


def test_regions_are_found_within_the_slack_and_alarms_beside_them_are_false() -> None:
    mask, logits = nothing(), quiet()
    mask[100:104, 100:104] = True  # alarm cell 8 px right of it: columns 112..115, 8 px beyond column 103 is 111
    alarm(logits, 100, 108)
    mask[200:204, 300:304] = True  # nearest alarm 12 px away
    alarm(logits, 200, 316)
    mask[250:252, 400:404] = True
    mask[254:256, 400:404] = True  # another region: two lines lie between
    alarm(logits, 250, 400)
    judged = evaluate_image(strip(mask), Cells(logits), 1.0)
    assert (judged.counts.regions, judged.counts.regions_found, judged.counts.false_alarms) == (4, 3, 1)
    (missed,) = judged.missed
    assert (missed.left, missed.top, missed.right, missed.bottom) == (300, 200, 304, 204)
    rows, cells = slice(192 // 4 - 4, 212 // 4 - 4), slice(292 // 4 - 12, 312 // 4 - 12)
    assert missed.peak == logits[rows, cells].max()
    assert judged.regions_not_scored == 0
    assert judged.score == 5.0


def test_regions_where_nothing_is_scored_count_as_missed_and_are_named() -> None:
    mask, logits = nothing(), quiet()
    mask[0:6, 100:110] = True  # lines 0..5; scores begin at 16 and reach 8 px further
    mask[4:9, 300:310] = True  # reaches into the slack
    mask[310:320, 200:210] = True  # 304 + 8 = 312: within it
    mask[100:110, 660:670] = True  # beside the scored columns by more than 8 px
    alarm(logits, 16, 300)
    judged = evaluate_image(strip(mask), Cells(logits), 1.0)
    assert judged.counts.regions == 4
    assert judged.counts.regions_found == 1
    assert judged.regions_not_scored == 2
    assert judged.counts.false_alarms == 0


def test_a_threshold_includes_itself_and_small_alarms_can_be_left_out() -> None:
    mask, logits = nothing(), quiet()
    alarm(logits, 100, 100, 1.0)
    alarm(logits, 200, 200, 1.5)
    alarm(logits, 200, 204, 1.5)
    good = strip(mask, "good")
    assert evaluate_image(good, Cells(logits), 1.0).counts.false_alarms == 2
    assert evaluate_image(good, Cells(logits), 1.0, min_area_px=17).counts.false_alarms == 1
    assert evaluate_image(good, Cells(logits), 1.0, min_area_px=33).counts.false_alarms == 0
    assert evaluate_image(good, Cells(logits), 1.6).counts.good_images_alarmed == 0


def test_tiles_are_256_px_squares_128_px_apart_over_the_cloth() -> None:
    mask, logits = nothing(), quiet(3)
    mask[310, 500] = True  # below the scored part: labels nothing
    mask[303, 400] = True
    tiles = cut_tiles(ClothSpan(40, 656), mask, Cells(logits))
    whole = full_map(Cells(logits), (LINES, WIDTH))
    scored = whole > -np.inf
    expected = [
        (whole[y : y + 256, x : x + 256].max(), (mask & scored)[y : y + 256, x : x + 256].any())
        for y in (0, 64)
        for x in (40, 168, 296, 400)
    ]
    assert np.array_equal(tiles.scores, np.array([score for score, _ in expected], np.float32))
    assert tiles.labels.tolist() == [label for _, label in expected]
    assert tiles.labels.any()
    assert not tiles.labels.all()


def test_maps_put_cells_where_they_belong() -> None:
    logits = quiet()
    whole = full_map(Cells(logits), (LINES, WIDTH))
    assert np.isfinite(whole).sum() == 72 * 148 * 16
    for line, column in ((16, 48), (19, 51), (20, 52), (303, 639)):
        assert whole[line, column] == logits[(line - 16) // 4, (column - 48) // 4]
    mask = nothing()
    mask[16, 48] = mask[303, 639] = True
    fine, inside = pixel_map(Cells(logits), mask)
    assert fine.shape == inside.shape == (288, 592)
    assert inside[0, 0]
    assert inside[-1, -1]
    # half-pixel centres: pixel i lies at cell (i + 0.5) / 4 - 0.5
    rows, columns = (np.clip((np.arange(n) + 0.5) / 4 - 0.5, 0, m - 1) for n, m in ((288, 72), (592, 148)))
    expected = ndimage.map_coordinates(logits, np.meshgrid(rows, columns, indexing="ij"), order=1)
    assert np.allclose(fine, expected, atol=1e-5)


def test_figures_equal_scikit_learns_on_the_same_pixels_and_images() -> None:
    rng = np.random.default_rng(5)
    evaluation = Evaluation(threshold=1.0)
    scores, labels, pixels, truth = [], [], [], []
    for index in range(8):
        kind = ("good", "good", "hole", "slub")[index % 4]
        mask, logits = nothing(), quiet(index)
        if kind != "good":
            mask[100:110, 200 : 200 + 10 * (index + 1)] = True
            logits[21:24, 38 : 38 + index] += rng.normal(0.4, 0.4)
        evaluation.add(strip(mask, kind, f"test/{kind}/{index}.png"), Cells(logits))
        scores.append(logits.max())
        labels.append(kind != "good")
        fine, inside = pixel_map(Cells(logits), mask)
        pixels.append(fine.ravel())
        truth.append(inside.ravel())
    figures = evaluation.figures()
    assert figures.image_auroc == pytest.approx(roc_auc_score(labels, scores))
    assert figures.image_ap == pytest.approx(average_precision_score(labels, scores))
    assert figures.pixel_auroc == pytest.approx(roc_auc_score(np.concatenate(truth), np.concatenate(pixels)), abs=1e-6)
    assert figures.pixel_ap == pytest.approx(
        average_precision_score(np.concatenate(truth), np.concatenate(pixels)), abs=1e-6
    )
    assert set(figures.kinds) == {"hole", "slub"}
    assert figures.kinds["hole"].strips == figures.kinds["hole"].regions == 2
    assert figures.all_kinds.regions == 4
    assert (figures.good_strips, figures.tiles) == (4, 8 * 8)
    found = sum(image.counts.regions_found for image in evaluation.images)
    assert figures.region_recall == found / 4
    for kind in ("hole", "slub"):
        chosen = [image for image in evaluation.images if image.kind in ("good", kind)]
        assert figures.kinds[kind].image_auroc == pytest.approx(
            roc_auc_score([image.kind == kind for image in chosen], [image.score for image in chosen])
        )
        tiles = [
            (score, label)
            for image in evaluation.images
            for score, label in zip(image.tiles.scores, image.tiles.labels, strict=True)
            if image.kind == kind or not label
        ]
        assert figures.kinds[kind].tile_auroc == pytest.approx(roc_auc_score(*reversed(list(zip(*tiles, strict=True)))))
    assert figures.all_kinds.image_auroc == figures.image_auroc
    assert figures.all_kinds.tile_auroc == figures.tile_auroc
    good = np.concatenate([image.scores.logits.ravel() for image in evaluation.images if image.kind == "good"])
    assert figures.good_share_alarmed == pytest.approx((good >= 1.0).mean())
    assert {"image_auroc", "tile_auroc", "region_recall", "false_alarms_per_good_strip"} <= set(figures.intervals)
    for name, interval in figures.intervals.items():
        assert interval.low <= getattr(figures, name) <= interval.high
    json.dumps(figures.document(), allow_nan=False)


@pytest.mark.parametrize("min_area_px", [0, 40])
def test_the_sweep_finds_what_judging_at_its_thresholds_finds(min_area_px: int) -> None:
    rng = np.random.default_rng(8)
    evaluation = Evaluation(threshold=1.0, min_area_px=min_area_px)
    strips = []
    for index in range(4):
        mask, logits = nothing(), ndimage.gaussian_filter(rng.normal(0, 3, (72, 148)), 1.2).astype(np.float32)
        if index % 2:
            mask[0:6, 100:110] = True  # where nothing is scored
            mask[120:124, 200 : 204 + 4 * index] = True
            mask[128:130, 206:209] = True  # within the slack of the same alarms
            mask[280:300, 600:660] = True
            logits[26:28, 40:42] += index
        strips.append(strip(mask, "hole" if index % 2 else "good", f"{index}.png"))
        evaluation.add(strips[-1], Cells(logits))
    swept = evaluation.free_response()
    assert swept is not None
    assert len(swept.thresholds) > 20
    most = 0
    for threshold, false_alarms, found in zip(swept.thresholds, swept.false_alarms, swept.found, strict=True):
        again = [
            evaluate_image(one, image.scores, float(threshold), min_area_px=min_area_px)
            for one, image in zip(strips, evaluation.images, strict=True)
        ]
        most = max(most, sum(image.counts.false_alarms for image in again if image.kind == "good"))
        assert false_alarms == most
        assert int(found.sum()) == sum(image.counts.regions_found for image in again)
    figures = evaluation.figures(intervals=False)
    assert figures.recall_at(0.05) == figures.yardsticks[0].found.mean() == swept.at(0.05).found.mean()
    assert figures.all_kinds.found_at == tuple(int(one.found.sum()) for one in figures.yardsticks)
    assert evaluation.free_response() is swept
    assert figures.intervals == {}


def test_memory_grows_by_the_cells_and_not_by_the_pixels() -> None:
    side = 1024  # 1 Mpx, 0.25 MB of cells
    evaluation = Evaluation(threshold=4.0)
    rng = np.random.default_rng(0)

    def add(index: int) -> None:
        mask = np.zeros((side, side), np.bool_)
        mask[400:420, 300:340] = index % 2
        image = LabelledStrip(
            ClothStrip(f"{index}.png", np.zeros((side, side), np.uint8), ClothSpan(0, side)),
            "hole" if index % 2 else "good",
            mask,
        )
        cells = rng.normal(size=(248, 248)).astype(np.float32)
        cells[94:100, 70:80] += 3 * (index % 2)
        evaluation.add(image, Cells(cells, first_line=16, first_cell=4))

    add(0)
    tracemalloc.start()
    for index in range(1, 13):
        add(index)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    figures = evaluation.figures(intervals=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert figures.pixel_auroc is not None
    assert figures.pixel_auroc > 0.85
    assert kept / 12 < 0.40 * 2**20  # 4 MB of pixel scores are not kept
    assert peak - kept < 40 * 2**20  # a few pixel maps of one image at a time


def test_figures_of_one_class_are_not_defined() -> None:
    evaluation = Evaluation(threshold=1.0)
    evaluation.add(strip(nothing(), "good"), Cells(quiet()))
    figures = evaluation.figures()
    assert (figures.image_auroc, figures.image_ap, figures.tile_auroc, figures.pixel_auroc, figures.pixel_pro) == (
        None,
    ) * 5
    assert figures.region_recall is None
    assert figures.false_alarms_per_good_strip == 0
    assert figures.document()["kinds"] == {}
