from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_cloth import PUBLISHED, good_data, paint_good, recipe

from glass_edge.glass.crops import TRAINING_STREAM, CropSampler
from glass_edge.glass.mahalanobis import inner_points
from glass_edge.glass.model import StyleModel, build_model
from glass_edge.glass.step import StepInput
from glass_edge.glass.step_inputs import InputMaker, choose_points
from glass_edge.glass.synthesis import Synthesiser, TrainingBatch
from glass_edge.glass.trainer_features import tile_shape


def inputs(folder: Path, centre: int, **tables: dict[str, Any]) -> tuple[StepInput, StyleModel, TrainingBatch]:
    made = recipe(folder, **tables)
    model = build_model(made)
    sampler = CropSampler(good_data(made).train, tile_shape(made), selvedge_share=0, seed=0)
    batch = Synthesiser(made, sampler).batch(TRAINING_STREAM, 1, 0)
    maker = InputMaker(model, 0.5, None)
    given_centre = torch.zeros(centre, model.n_features) if centre else None
    return maker.make(batch, torch.Generator().manual_seed(4), given_centre), model, batch


def white(model: StyleModel, tiles: Any) -> torch.Tensor:  # noqa: ANN401
    """All points of the tiles, as the model makes them but for the rounding of the quick backbone."""
    with torch.no_grad():
        points = InputMaker(model, 0.5, None).points(tiles)
        assert torch.allclose(points, inner_points(model, torch.from_numpy(tiles)), rtol=1e-4, atol=1e-4)
        return model.glass_head.whiten(points)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return paint_good(tmp_path)


@pytest.mark.parametrize("tables", [{"gas": {"points": 0}}, PUBLISHED], ids=["whitened", "published"])
def test_all_points_are_those_of_the_model_in_order(folder: Path, tables: dict[str, Any]) -> None:
    made, model, batch = inputs(folder, 0, **tables)
    assert batch.mask is not None
    assert torch.equal(made.normal, white(model, batch.good))
    assert torch.equal(made.synthetic, white(model, batch.synthetic))
    assert torch.equal(made.mask, torch.from_numpy(batch.mask).reshape(-1))
    assert made.selection is made.synthetic_selection is None
    assert torch.equal(made.noise, torch.randn(made.normal.shape, generator=torch.Generator().manual_seed(4)) * 0.5)


STACKED: dict[str, Any] = {"backbone": {"name": "tf_efficientnet_lite0"}, "model": {"level_width": 0, "width": 0}}


@pytest.mark.parametrize(
    "tables",
    [
        {},
        {**STACKED, "backbone": {**STACKED["backbone"], "levels": (8, 16)}},
        {**STACKED, "backbone": {**STACKED["backbone"], "levels": (8,)}},
        {**STACKED, "model": {**STACKED["model"], "neighbours": "all"}},
    ],
    ids=["pooled", "stacked", "one level", "all neighbours"],
)
def test_chosen_points_are_points_of_the_model(folder: Path, tables: dict[str, Any]) -> None:
    made, model, batch = inputs(folder, 0, **tables, gas={"points": 20}, training={"points": 16})
    assert batch.mask is not None
    order = torch.randperm(48, generator=torch.Generator().manual_seed(4))[:20]
    assert torch.equal(made.normal, white(model, batch.good)[order])
    everything, mask = white(model, batch.synthetic), torch.from_numpy(batch.mask).reshape(-1)
    rows = [int((everything == point).all(dim=1).nonzero()[0, 0]) for point in made.synthetic]
    assert len(set(rows)) == 16
    assert torch.equal(made.mask, mask[rows])
    assert made.noise.shape == (20, model.n_features)


def test_a_centre_of_each_position_keeps_whole_images(folder: Path) -> None:
    tables: dict[str, Any] = {"gas": {"points": 20, "hypothesis": "hypersphere"}, "training": {"points": 16}}
    made, model, batch = inputs(folder, 16, **tables)
    assert torch.equal(made.normal, white(model, batch.good))
    assert torch.equal(made.synthetic, white(model, batch.synthetic))
    assert (len(made.chosen_normal), len(made.chosen_synthetic), len(made.chosen_mask)) == (20, 16, 16)
    pooled, _, _ = inputs(folder, 1, **tables)
    assert (len(pooled.normal), len(pooled.synthetic)) == (20, 16)
    assert pooled.selection is pooled.synthetic_selection is None
    assert torch.equal(pooled.normal, made.chosen_normal)
    assert torch.equal(pooled.synthetic, made.chosen_synthetic)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(0, 70), st.integers(0, 2**31))
def test_choice_is_bounded_and_fair_to_both_kinds(values: list[bool], most: int, seed: int) -> None:
    mask = torch.tensor(values)
    chosen = choose_points(mask, most, torch.Generator().manual_seed(seed))
    if not 0 < most < len(values):
        assert chosen is None
        return
    assert chosen is not None
    assert len(chosen) == most
    assert (chosen.diff() > 0).all()
    marked, others = int(mask[chosen].sum()), int((~mask[chosen]).sum())
    # neither kind is thinned while the other has more than half
    assert marked == min(sum(values), max(most // 2, most - (len(values) - sum(values))))
    assert marked <= max(most // 2, most - others)
    assert torch.equal(chosen, choose_points(mask, most, torch.Generator().manual_seed(seed)))


def test_every_point_can_be_chosen() -> None:
    mask = torch.arange(12) < 6
    seen = torch.zeros(12, dtype=torch.bool)
    for seed in range(60):
        chosen = choose_points(mask, 4, torch.Generator().manual_seed(seed))
        assert chosen is not None
        seen[chosen] = True
    assert seen.all()
