"""Recipes and filled models for the tests of model, fusion, export and checkpoint."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from golden_weights import SEEDS, named_backbone, named_head, ordered_backbone, ordered_head

from glass_edge.config.recipe import Recipe
from glass_edge.glass.mahalanobis import feature_moments
from glass_edge.glass.model import MeanSquareHead, StyleModel, build_model

PUBLISHED = {
    "level_width": 1536,
    "width": 1536,
    "neighbours": "all",
    "hidden": 1024,
    "adaptor": "xavier",
    "whiten": False,
    "prior": "none",
}


def make_recipe(backbone: str = "tf_efficientnet_lite0", levels: tuple[int, ...] = (4,), **tables: object) -> Recipe:
    values: dict[str, Any] = {
        "style": "twill",
        "data": {"folder": "cloth"},
        "backbone": {"name": backbone, "levels": levels, "weights": "random"},
        "tile": {"height_px": 64, "width_px": 112, "channels": 1},
        **tables,
    }
    return Recipe.model_validate(values)


def random_tiles(count: int, recipe: Recipe, seed: int = 0) -> np.ndarray:
    tile = recipe.tile
    shape = (count, tile.height_px, tile.width_px, tile.channels)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def filled_model(recipe: Recipe, seed: int = 0) -> StyleModel:
    """A model none of whose constants is trivial: statistics, biases, output and whitening are set."""
    model = build_model(recipe)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.backbone.body.state_dict().items():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 1.5, generator=generator)
            elif name.endswith(("running_mean", "bias")):
                tensor.normal_(0, 0.2, generator=generator)
        if model.head.whitening is not None:
            model.fit_whitening(feature_moments(model, [torch.from_numpy(random_tiles(6, recipe, seed + 1))]))
        if isinstance(model.head, MeanSquareHead):
            return model
        head = model.head
        head.adaptor.weight.add_(torch.randn(head.adaptor.weight.shape, generator=generator) * 0.05)
        head.adaptor.bias.normal_(0, 0.1, generator=generator)
        head.discriminator.output.weight.normal_(0, 0.1, generator=generator)
        norm = head.discriminator.norm
        norm.running_mean.normal_(0, 0.5, generator=generator)
        norm.running_var.uniform_(0.5, 2, generator=generator)
        norm.weight.uniform_(0.5, 1.5, generator=generator)
        norm.bias.normal_(0, 0.2, generator=generator)
    return model


def golden_model(name: str, *, ordered: bool) -> StyleModel:
    """The network of a golden file as a `StyleModel`: first set `ordered`, second not."""
    tile = {"height_px": 96, "width_px": 96, "channels": 3, "exposure": "camera"}
    recipe = make_recipe(name, (8, 16), model=PUBLISHED, tile=tile)
    model = build_model(recipe)
    backbone = ordered_backbone(name) if ordered else named_backbone(name)
    head = ordered_head(*SEEDS[name]) if ordered else named_head()
    model.backbone.body.load_state_dict(backbone.body.state_dict())
    model.glass_head.load_state_dict(head.state_dict())
    return model.eval()
