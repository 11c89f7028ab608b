"""Choosing an epoch without labels: the measure against brute force, the choice, and the tiles it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.ndimage import gaussian_filter, label
from tiny_cloth import good_data, paint_good, recipe, save, weave, whole_width

from glass_edge.errors import InputError
from glass_edge.glass.data import ClothStrip, load_good_data
from glass_edge.glass.model import StyleModel, build_model
from glass_edge.glass.selection import (
    BLOCK_PX,
    WORST_SHARE,
    Candidate,
    Selection,
    Selector,
    block_maxima,
    choose,
    compare,
    defect_peaks,
)
from glass_edge.glass.selection_tiles import held_out_tiles, split_for_selection
from glass_edge.glass.trainer_features import tile_shape

EIGHT = np.ones((3, 3))
values = st.integers(-8, 8)


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@settings(deadline=None)
@given(st.lists(values, min_size=1, max_size=60), st.lists(values, min_size=1, max_size=30), st.integers(0, 2**31))
def test_the_measure_is_the_share_of_pairs_in_which_the_defect_scores_higher(
    good: list[int], peaks: list[int], seed: int
) -> None:
    weights = np.random.default_rng(seed).random(len(peaks)) + 0.01
    weights /= weights.sum()
    found = compare(np.array(good, np.float32), np.array(peaks, np.float32), weights)

    def share_above(threshold: float) -> float:
        return float(sum(weight for peak, weight in zip(peaks, weights, strict=True) if peak > threshold))

    worst = sorted(good, reverse=True)[: int(np.ceil(len(good) * WORST_SHARE))]
    assert found.partial == pytest.approx(np.mean([share_above(one) for one in worst]), abs=1e-9)
    assert found.recall == pytest.approx(share_above(max(good)), abs=1e-9)
    pairs = [
        weight * ((peak > one) + 0.5 * (peak == one))
        for one in good
        for peak, weight in zip(peaks, weights, strict=True)
    ]
    assert found.measure == pytest.approx(sum(pairs) / len(good), abs=1e-9)


@settings(deadline=None)
@given(arrays(np.float32, (3, 7, 9), elements=st.floats(-5, 5, width=32)), st.integers(0, 2**31))
def test_a_defect_counts_by_its_largest_score_and_every_tile_the_same(scores: np.ndarray, seed: int) -> None:
    masks = np.random.default_rng(seed).random(scores.shape) < 0.2
    masks[:, 2, 3] = True
    peaks, weights = defect_peaks(scores, masks)
    expected = []
    for one, mask in zip(scores, masks, strict=True):
        parts, count = label(mask, EIGHT)
        expected += [(one[parts == part].max(), 1 / (3 * count)) for part in range(1, count + 1)]
    np.testing.assert_allclose(sorted(zip(peaks, weights, strict=True)), sorted(expected))
    assert weights.sum() == pytest.approx(1)


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 8))
def test_blocks_hold_every_cell_once(rows: int, columns: int, cells: int) -> None:
    scores = np.random.default_rng(0).permutation(rows * columns).reshape(rows, columns).astype(np.float32)
    maxima = block_maxima(scores, cells)
    assert len(maxima) == max(1, rows // cells) * max(1, columns // cells)
    assert maxima.max() == scores.max()
    for row in range(rows):  # raising any cell raises one block
        for column in range(columns):
            raised = scores.copy()
            raised[row, column] = 1e6
            assert np.count_nonzero(block_maxima(raised, cells) != maxima) == 1


def candidates(measures: Sequence[float]) -> list[Candidate]:
    return [Candidate(epoch, measure, {}, {}) for epoch, measure in enumerate(measures, start=1)]


@settings(deadline=None)
@given(st.lists(st.integers(0, 20), min_size=1, max_size=30), st.integers(0, 5))
def test_the_best_epoch_is_chosen_and_the_later_of_equals(measures: list[int], margin: int) -> None:
    selection: Selection | None = None
    mark = (1, measures[0])
    for one in candidates(measures):
        selection = choose(selection, one, margin)
        if one.measure > mark[1] + margin:
            mark = (one.epoch, one.measure)
    assert selection is not None
    last_of_best = max(epoch for epoch, measure in enumerate(measures, start=1) if measure == max(measures))
    assert (selection.best.epoch, selection.best.measure) == (last_of_best, max(measures))
    assert (selection.mark_epoch, selection.mark) == mark


def test_slow_steady_improvement_counts_in_sum() -> None:
    selection: Selection | None = None
    for one in candidates([0.5, 0.508, 0.516, 0.524, 0.51]):
        selection = choose(selection, one, 0.01)
    assert selection is not None
    assert (selection.mark_epoch, selection.best.epoch) == (3, 4)


def test_held_out_strips_are_divided_and_none_is_used_twice(tmp_path: Path) -> None:
    for held, share in ((3, 0.4), (2, 0.25), (1, 0.1)):
        folder = paint_good(tmp_path / str(held), count=8)
        made = recipe(folder)
        data = load_good_data(folder, tile_shape(made), whole_width, holdout=share, seed=3)
        assert len(data.holdout) == held
        rest, chosen = split_for_selection(data, 3)
        parts = [{strip.name for strip in part} for part in (rest.train, rest.holdout, chosen)]
        assert set.union(*parts) == {strip.name for strip in (*data.train, *data.holdout)}
        assert sum(len(part) for part in parts) == 8
        assert len(chosen) == max(1, held // 2)
        assert parts[1] <= {strip.name for strip in data.holdout}  # the threshold never gets cloth that was trained on
        assert rest.fingerprint == data.fingerprint
        assert [strip.name for strip in split_for_selection(data, 3)[1]] == [strip.name for strip in chosen]
    choices = {strip.name for seed in range(20) for strip in split_for_selection(data, seed)[1]}
    assert len(choices) > 3


def test_two_images_are_too_few_to_choose_an_epoch(tmp_path: Path) -> None:
    made = recipe(paint_good(tmp_path, count=2))
    with pytest.raises(InputError, match=r"needs three good images.*here are 2; give more, or select = 'last'"):
        split_for_selection(good_data(made), 0)


def test_tiles_are_the_same_each_time_and_keep_away_from_the_selvedge(tmp_path: Path) -> None:
    cloth = weave(np.random.default_rng(1), 96, 460)
    cloth[:, :30] = 255  # beside the cloth
    cloth[:, 30:110] = 200  # the selvedge zone
    save(tmp_path / "a.png", cloth)
    zone = {"smoothing_sigma_px": 2.0, "selvedge_zone_px": 80}
    made = recipe(tmp_path, inspection=zone, training={"select_tiles": 8})
    strip = ClothStrip("a.png", cloth, type(whole_width(cloth))(30, 460))
    tiles = held_out_tiles(made, [strip])
    again = held_out_tiles(made, [strip])
    for name in ("good", "synthetic", "masks"):
        np.testing.assert_array_equal(getattr(tiles, name), getattr(again, name))
    assert tiles.good.max() < 190
    assert len(tiles.synthetic) == len(tiles.masks) == 8
    assert len(tiles.good) == 8
    assert tiles.masks.shape[1:] == (4, 4)
    assert tiles.masks.any(axis=(1, 2)).all()
    narrow = held_out_tiles(made, [ClothStrip("a.png", cloth[:, :170], type(whole_width(cloth))(30, 170))])
    assert narrow.good.max() == 200  # no tile without selvedge: the cloth as it is


def filled(model: StyleModel, seed: int) -> StyleModel:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        model.glass_head.discriminator.output.weight.normal_(0, 0.5, generator=generator)
        model.glass_head.adaptor.bias.normal_(0, 0.3, generator=generator)
    return model


def test_the_selector_measures_what_the_whole_model_says(tmp_path: Path) -> None:
    made = recipe(paint_good(tmp_path), training={"select_tiles": 6})
    data = good_data(made)
    model = build_model(made)
    selector = Selector(model, data.holdout)
    first = selector.measure()
    filled(model, 1)  # the head alone changed: that is what an epoch does
    second = selector.measure()
    assert first != second
    tiles = held_out_tiles(made, data.holdout)

    def smoothed(pixels: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            logits = model(torch.from_numpy(pixels))[:, 2:-2, 2:-2].numpy()  # halo 16 px, stride 8 px
        return np.stack([gaussian_filter(one, 2.0 / 8, truncate=4.0) for one in logits])

    blocks = np.concatenate([block_maxima(one, BLOCK_PX // 8) for one in smoothed(tiles.good)])
    expected = compare(blocks, *defect_peaks(smoothed(tiles.synthetic), tiles.masks))
    for name in ("measure", "recall", "partial"):
        assert getattr(second, name) == pytest.approx(getattr(expected, name), abs=1e-6)
