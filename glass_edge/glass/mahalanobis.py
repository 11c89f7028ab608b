"""The Mahalanobis map: good cloth as one Gaussian in feature space, fitted in closed form.

Promises: one pass over good tiles and no training; the result scores, exports and runs like any other model. Cells in
the tile's halo do not count.

Source: Rippel, Mertens, Merhof, "Modeling the Distribution of Normal Data in Pre-Trained Deep Features for Anomaly
Detection", ICPR 2020; one Gaussian for all positions, because cloth has no fixed pose.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from glass_edge.config.recipe import Recipe
from glass_edge.errors import InputError
from glass_edge.glass.model import StyleModel, build_model
from glass_edge.glass.statistics import StreamingMoments


def inner_points(model: StyleModel, tiles: Tensor) -> Tensor:
    """Features (n, d) of the cells of `tiles` (n, height, width, channels) that lie inside the recipe's halo."""
    points, (rows, columns) = model.points(tiles)
    edge = model.recipe.tile.halo_px // model.score_stride_px
    if not edge:
        return points
    cells = points.view(len(tiles), rows, columns, -1)[:, edge : rows - edge, edge : columns - edge]
    return cells.reshape(-1, points.shape[1])


def feature_moments(model: StyleModel, tiles: Iterable[Tensor]) -> StreamingMoments:
    """Mean and covariance of the features inside the halo, over batches of good tiles.

    Args:
        model: whose features.
        tiles: batches (n, height, width, channels), values 0..255.

    Raises:
        InputError: features that are not finite.
    """
    moments = StreamingMoments(model.n_features)
    for batch in tiles:
        moments.add(inner_points(model, batch))
    return moments


def fit_mahalanobis(recipe: Recipe, tiles: Iterable[Tensor]) -> StyleModel:
    """A model whose logit is the squared Mahalanobis distance to good cloth divided by the number of features.

    Args:
        recipe: any recipe; its method is set to mahalanobis.
        tiles: batches (n, height, width, channels) of good cloth, values 0..255.

    Raises:
        InputError: too few tiles for the covariance, or weights that are missing.
    """
    training = recipe.training.model_copy(update={"method": "mahalanobis"})
    model = build_model(recipe.model_copy(update={"training": training}))
    moments = feature_moments(model, tiles)
    if not moments.n_points:
        raise InputError("no good tiles: give at least one image that is as large as a tile")
    with torch.no_grad():
        model.fit_whitening(moments)
    return model
