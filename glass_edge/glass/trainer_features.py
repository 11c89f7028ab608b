"""Features of good cloth: the points of tiles inside their halo, and what is measured on them before training.

Promises: cells inside the halo alone count, in training as on the line; the measurement is a fixed function of the
strips and the model (tiles side by side, shifted the same way each time).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from glass_edge.config.recipe import Recipe
from glass_edge.glass.crops import cover
from glass_edge.glass.data import ClothStrip, TileShape
from glass_edge.glass.mahalanobis import inner_points
from glass_edge.glass.model import Grid, StyleModel
from glass_edge.glass.networks import Head
from glass_edge.glass.statistics import PositionMean, StreamingMoments

MOST_TILES = 1024
"""Tiles from which the statistics are made; more cloth is thinned evenly."""
_JITTER_PX = 15  # with the tile itself all 16 phases of the grid of 16 px
Tick = Callable[[], None]


def tile_shape(recipe: Recipe) -> TileShape:
    """The recipe's tile."""
    tile = recipe.tile
    return TileShape(tile.height_px, tile.width_px, tile.halo_px, tile.channels, recipe.data.selvedge_margin_px)


def inner_grid(model: StyleModel) -> Grid:
    """Rows and columns of score cells inside the halo of a tile."""
    tile, stride = model.recipe.tile, model.score_stride_px
    return (tile.height_px - 2 * tile.halo_px) // stride, (tile.width_px - 2 * tile.halo_px) // stride


def tile_batches(strips: Sequence[ClothStrip], model_tile: TileShape, size: int) -> Iterator[Tensor]:
    """Tiles side by side over all cloth (at most `MOST_TILES`), uint8 (n, height, width, channels) a batch."""
    source = cover(strips, model_tile, MOST_TILES, jitter_px=_JITTER_PX)
    while batch := list(islice(source, size)):
        yield torch.from_numpy(np.stack(batch))


@dataclass(frozen=True, slots=True)
class GoodFeatures:
    """Features of good cloth.

    Attributes:
        moments: of all points.
        mean: float32 (positions, n_features) for a positional centre, else (1, n_features); not whitened.
    """

    moments: StreamingMoments
    mean: Tensor


def measure_good(model: StyleModel, strips: Sequence[ClothStrip], *, positional: bool, tick: Tick) -> GoodFeatures:
    """Moments and mean of the features of good cloth; `tick` is called after every batch of `model.recipe`.

    Raises:
        InputError: features that are not finite, or no tile.
    """
    moments = StreamingMoments(model.n_features)
    rows, columns = inner_grid(model)
    positions = PositionMean(rows * columns, model.n_features) if positional else None
    for tiles in tile_batches(strips, tile_shape(model.recipe), model.recipe.training.batch):
        points = inner_points(model, tiles)
        moments.add(points)
        if positions is not None:
            positions.add(points)
        tick()
    mean = torch.from_numpy(moments.mean[None]).float() if positions is None else positions.mean(pooled=False)
    return GoodFeatures(moments, mean)


def spread_of_adapted(head: Head, moments: StreamingMoments) -> float:
    """Root mean square over the features of the standard deviation of adapted good points.

    About 1 for whitened features and an adaptor that is still the identity (exactly 1 without shrinkage).
    """
    adapt = head.adaptor.weight.detach().double()
    if head.whitening is not None:
        adapt = adapt @ head.whitening.matrix.double()
    covariance = adapt @ torch.from_numpy(moments.covariance()).to(adapt.device) @ adapt.T
    return float(covariance.diagonal().mean().sqrt())
