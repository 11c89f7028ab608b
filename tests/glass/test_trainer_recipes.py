"""Every variant that a recipe can switch on trains, and trains what it should."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_cloth import PUBLISHED, good_data, paint_good, recipe
from training_watcher import Watcher

from glass_edge.glass.model import build_model
from glass_edge.glass.trainer import Trainer


@pytest.mark.parametrize(
    "tables",
    [
        {},
        PUBLISHED,
        {**PUBLISHED, "gas": {"relative": False, "hypothesis": "hypersphere", "centre": "positional"}},
        {"gas": {"hypothesis": "hypersphere", "points": 20}},
        {"gas": {"hypothesis": "hypersphere", "centre": "positional", "points": 20}},
        {"gas": {"enabled": False}},
        {"gas": {"enabled": False, "hypothesis": "hypersphere"}, "model": {"prior": "none"}},
        {"las": {"enabled": False}},
        {"las": {"enabled": False}, "gas": {"hypothesis": "hypersphere", "points": 20}},
        {"gas": {"ascent": "hidden"}},
        {"gas": {"ascent": "hidden", "hypothesis": "hypersphere", "centre": "positional"}},
        {"gas": {"noise": False}},
        {"gas": {"projection": False}},
        {"gas": {"steps": 0}},
        {"training": {"hard_quantile": 0.0, "points": 30}},
        {"training": {"feature_cache": "disk", "workers": 2}},
        {"model": {"adaptor": "none"}},
    ],
    ids=[
        "whitened",
        "published",
        "published sphere",
        "sphere",
        "positional sphere",
        "las",
        "las sphere",
        "gas",
        "gas sphere",
        "hidden ascent",
        "hidden ascent of a positional sphere",
        "no noise",
        "no projection",
        "no ascent",
        "no hard points",
        "cached",
        "no adaptor",
    ],
)
def test_every_kind_of_recipe_trains(tmp_path: Path, tables: dict[str, Any]) -> None:
    torch.set_num_threads(1)
    made = recipe(paint_good(tmp_path), **tables)
    watcher = Watcher()
    trainer = Trainer(made, good_data(made), watcher)
    trainer.run()
    assert [record.epoch for record in watcher.records] == [1, 2]
    assert [phase for phase, _ in watcher.phases] == ["features of good cloth", "epoch 1 of 2", "epoch 2 of 2"]
    before = build_model(trainer.recipe).glass_head
    after = watcher.states[-1].head
    has_adaptor = trainer.recipe.model.adaptor != "none"
    for name in ("adaptor.weight", "discriminator.hidden.weight", "discriminator.output.weight"):
        is_trained = has_adaptor or not name.startswith("adaptor")
        assert torch.equal(before.state_dict()[name], after[name]) != is_trained, name
        assert torch.equal(watcher.states[0].head[name], after[name]) != is_trained, name
    for record in watcher.records:
        assert record.total == pytest.approx(
            record.normal + trainer.recipe.gas.weight * record.gaussian + record.focal, abs=1e-5
        )
        assert (record.gaussian > 0) == trainer.recipe.gas.enabled
        assert (record.focal > 0) == trainer.recipe.las.enabled
        assert 0 <= record.anomalous_right <= 1
