"""Every backbone, with any of its levels, from pixels to the exported graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from model_recipes import filled_model, make_recipe, random_tiles

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.openvino_engine import OpenVinoEngine
from glass_edge.glass.backbones import build_backbone
from glass_edge.glass.checkpoint import as_reference
from glass_edge.glass.export import export_onnx
from glass_edge.glass.fusion import FusedModel, fusion_error

CASES = [
    *(("tf_efficientnet_lite0", levels) for levels in ((16,), (2, 4, 8, 16))),
    ("tf_efficientnet_lite1", (4, 8, 16)),
    *(("resnet18", levels) for levels in ((4,), (16,), (4, 8, 16))),
    ("resnet50", (4, 8, 16)),
    ("resnet101", (8,)),
    ("wide_resnet50_2", (8,)),
]


@pytest.mark.parametrize(("name", "levels"), CASES, ids=lambda value: str(value).replace(" ", ""))
def test_any_levels_of_any_backbone_are_fused_and_exported(name: str, levels: tuple[int, ...]) -> None:
    recipe = make_recipe(
        name,
        levels,
        model={"level_width": 40, "width": 50, "hidden": 12, "whiten": False, "prior": "adapted"},
        tile={"height_px": 48, "width_px": 80, "halo_px": 0, "channels": 1},  # odd grids at stride 16
    )
    model = filled_model(recipe)
    tiles = random_tiles(2, recipe, seed=3)
    expected = as_reference(model)(tiles)
    rows, columns = 48 // levels[0], 80 // levels[0]
    assert expected.shape == (2, rows, columns)
    assert model.score_stride_px == levels[0]
    assert expected.std() > 1e-3 * np.abs(expected).max()
    tolerance = 2e-5 * max(1.0, float(np.abs(expected).max()))
    fused = FusedModel(model)
    assert fusion_error(model, fused, tiles) <= tolerance
    spec = TileSpec(height_px=48, width_px=80, channels=1, halo_px=0, score_stride_px=levels[0], max_halo_error=0.0)
    with OpenVinoEngine(export_onnx(fused, recipe.tile), spec, EngineSettings(precision="f32")) as engine:
        np.testing.assert_allclose(engine.infer(tiles), expected, rtol=0, atol=tolerance)


def test_a_level_alone_is_that_of_the_whole_network() -> None:
    """What is left out before a level or cut off behind it does not change its map."""
    whole = build_backbone("resnet18", (4, 8, 16), "random")
    images = torch.randn(1, 3, 48, 80, generator=torch.Generator().manual_seed(0))
    for stride, expected in zip(whole.levels, whole(images), strict=True):
        alone = build_backbone("resnet18", (stride,), "random", seed=1)
        state = whole.body.state_dict()
        alone.body.load_state_dict({name: state[name] for name in alone.body.state_dict()})
        (level,) = alone(images)
        assert torch.equal(level, expected)
