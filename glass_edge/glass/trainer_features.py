"""Features of good cloth: the points of tiles inside their halo, and what is measured on them before training.

Promises: cells inside the halo alone count, in training as on the line; the measurement is a fixed function of the
strips and the model (tiles side by side, shifted the same way each time). On a CPU tiles pass the network a few at a
time, so that its largest maps stay in the processor's cache: the same numbers in less than half the time; Lite networks
are put into a form that halves it again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from glass_edge.config.recipe import Recipe
from glass_edge.config.recipe_augment import AugmentSettings
from glass_edge.glass.crops import cover
from glass_edge.glass.data import ClothStrip, TileShape
from glass_edge.glass.features import PATCH, FeatureSpec, resize_map, to_points
from glass_edge.glass.model import Grid, StyleModel
from glass_edge.glass.networks import Head
from glass_edge.glass.quick_backbone import quick_backbone
from glass_edge.glass.statistics import PositionMean, StreamingMoments
from glass_edge.glass.trainer_device import products_in

if TYPE_CHECKING:
    from glass_edge.glass.feature_cache import FeatureCache

MOST_TILES = 1024
"""Tiles from which the statistics are made; more cloth is thinned evenly."""
JITTER_PX = 15
"""Tiles side by side are shifted by up to so much: with the tile itself all 16 phases of the grid of 16 px."""
_PIXELS_PER_PASS = 1 << 17
"""So many pixels at once through a backbone on a CPU: the largest map of a Lite then has 12 MB."""
_TILES_PER_PASS = 8
Tick = Callable[[], None]
Item = TypeVar("Item")
Maps = list[Tensor]
"""Maps of some tiles, (n, c, h, w) a level, finest first."""


def tile_shape(recipe: Recipe) -> TileShape:
    """The recipe's tile."""
    tile = recipe.tile
    return TileShape(tile.height_px, tile.width_px, tile.halo_px, tile.channels, recipe.data.selvedge_margin_px)


def inner_grid(model: StyleModel) -> Grid:
    """Rows and columns of score cells inside the halo of a tile."""
    tile, stride = model.recipe.tile, model.score_stride_px
    return (tile.height_px - 2 * tile.halo_px) // stride, (tile.width_px - 2 * tile.halo_px) // stride


class TileMaps:
    """The frozen part of a model, for many tiles."""

    def __init__(self, model: StyleModel) -> None:
        """Get ready; the model stays on its device from here on."""
        self._normalise, self._backbone = model.normalise, quick_backbone(model.backbone)
        self._precision, self._device = model.recipe.training.precision, model.normalise.mean.device
        tile = model.recipe.tile
        fitting = max(1, min(_TILES_PER_PASS, _PIXELS_PER_PASS // (tile.height_px * tile.width_px)))
        self._together = fitting if self._device.type == "cpu" else 1 << 30

    @torch.no_grad()
    def chunks(self, tiles: Tensor) -> Iterator[Maps]:
        """Maps of tiles (n, height, width, channels), values 0..255, in the recipe's precision, a few at a time."""
        for some in torch.split(tiles, self._together):
            with products_in(self._precision, self._device):
                maps: Maps = self._backbone(self._normalise(some.to(self._device, non_blocking=True)))
            yield maps


def map_chunks(model: StyleModel, tiles: Tensor) -> Iterator[Maps]:
    """`TileMaps.chunks` for once."""
    return TileMaps(model).chunks(tiles)


@torch.no_grad()
def gather_points(model: StyleModel, chunks: Iterable[Maps], n_tiles: int, wanted: Tensor | None = None) -> Tensor:
    """Features of the cells inside the halo, ordered tile, row, column.

    Args:
        model: whose features.
        chunks: maps of `n_tiles` tiles together.
        n_tiles: tiles.
        wanted: int64 (k,), the points to make, in any order; None: all.

    Returns:
        float32 (k, n_features), not whitened.
    """
    rows, columns = inner_grid(model)
    edge = model.recipe.tile.halo_px // model.score_stride_px
    count = n_tiles * rows * columns if wanted is None else len(wanted)
    points = torch.empty(count, model.n_features, device=model.normalise.mean.device)
    first = 0
    for maps in chunks:
        levels = [level.float() for level in maps]
        after = first + len(levels[0]) * rows * columns
        if wanted is None:
            points[first:after] = _inside(model.features(levels), edge, rows, columns)
        else:
            here = torch.nonzero((wanted >= first) & (wanted < after))[:, 0]
            if _is_stacked(model.spec):
                points[here] = _stacked(levels, wanted[here] - first, edge, (rows, columns))
            else:
                points[here] = _inside(model.features(levels), edge, rows, columns)[wanted[here] - first]
        first = after
    return points


def _inside(values: Tensor, edge: int, rows: int, columns: int) -> Tensor:
    """Points (n * rows * columns, k) of (n, k, h, w) at least `edge` cells from the border."""
    return to_points(values[..., edge : edge + rows, edge : edge + columns])


def _stacked(levels: Maps, chosen: Tensor, edge: int, grid: Grid) -> Tensor:
    """Some of the points of `_inside`, where features are the finest level's neighbourhoods and the others' cells."""
    rows, columns = grid
    tile, cell = chosen // (rows * columns), chosen % (rows * columns)
    row, column = cell // columns + edge, cell % columns + edge
    size = (int(levels[0].shape[-2]), int(levels[0].shape[-1]))
    windows = F.pad(levels[0], (1, 1, 1, 1)).unfold(2, PATCH, 1).unfold(3, PATCH, 1)  # a view (n, c, h, w, 3, 3)
    parts = [windows.permute(0, 2, 3, 1, 4, 5)[tile, row, column].flatten(1)]
    parts += [resize_map(level, *size).permute(0, 2, 3, 1)[tile, row, column] for level in levels[1:]]
    return torch.cat(parts, dim=1)


def _is_stacked(spec: FeatureSpec) -> bool:
    """Whether nothing is pooled and the finest level alone has neighbourhoods."""
    return spec.level_width is None and spec.width is None and (spec.finest_only or len(spec.channels) == 1)


def tile_batches(
    strips: Sequence[ClothStrip],
    model_tile: TileShape,
    size: int,
    *,
    augment: AugmentSettings | None = None,
    seed: int = 0,
) -> Iterator[Tensor]:
    """Tiles side by side over all cloth (at most `MOST_TILES`), uint8 (n, height, width, channels) a batch.

    With `augment` each is followed by itself varied, see `crops.cover`.
    """
    source = cover(strips, model_tile, MOST_TILES, jitter_px=JITTER_PX, augment=augment, seed=seed)
    while batch := list(islice(source, size)):
        yield torch.from_numpy(np.stack(batch))


@dataclass(frozen=True, slots=True)
class GoodFeatures:
    """Features of good cloth.

    Attributes:
        moments: of all points; None where only their mean was asked for.
        mean: float32 (positions, n_features) for a positional centre, else (1, n_features); not whitened.
    """

    moments: StreamingMoments | None
    mean: Tensor


def measure_good(
    model: StyleModel,
    strips: Sequence[ClothStrip],
    *,
    positional: bool,
    tick: Tick,
    covariance: bool = True,
    cache: FeatureCache | None = None,
) -> GoodFeatures:
    """Moments and mean of the features of good cloth, varied as the recipe says.

    Args:
        model: whose features.
        strips: good cloth.
        positional: the mean of each position.
        tick: called after every batch of the recipe's size.
        covariance: measure the moments; with many features that takes far longer than the features.
        cache: maps of the same strips, read where no tile is varied.

    Raises:
        InputError: features that are not finite, or no tile.
    """
    moments = StreamingMoments(model.n_features)
    rows, columns = inner_grid(model)
    mean = PositionMean(rows * columns, model.n_features)
    for points in _good_points(model, strips, cache):
        if covariance:
            moments.add(points)
        mean.add(points)
        tick()
    if covariance and not positional:
        return GoodFeatures(moments, torch.from_numpy(moments.mean[None]).float())
    return GoodFeatures(moments if covariance else None, mean.mean(pooled=not positional))


def _good_points(model: StyleModel, strips: Sequence[ClothStrip], cache: FeatureCache | None) -> Iterator[Tensor]:
    recipe = model.recipe
    size = recipe.training.batch
    source = TileMaps(model)
    augment = recipe.augment.for_statistics
    if cache is None or augment is not None:
        for tiles in tile_batches(strips, tile_shape(recipe), size, augment=augment, seed=recipe.seed):
            yield gather_points(model, source.chunks(tiles), len(tiles))
        return
    chosen = thinned(range(len(cache)), MOST_TILES)
    for first in range(0, len(chosen), size):
        indices = chosen[first : first + size]
        yield gather_points(model, (cache.maps([index]) for index in indices), len(indices))


def thinned(items: Sequence[Item], most: int) -> Sequence[Item]:
    """All of them, or `most` of them evenly spread."""
    return items if len(items) <= most else [items[number * len(items) // most] for number in range(most)]


def spread_of_adapted(head: Head, moments: StreamingMoments) -> float:
    """Root mean square over the features of the standard deviation of adapted good points.

    About 1 for whitened features and an adaptor that is still the identity (exactly 1 without shrinkage).
    """
    adapt = head.adaptor.weight.detach().double()
    if head.whitening is not None:
        adapt = adapt @ head.whitening.matrix.double()
    covariance = adapt @ torch.from_numpy(moments.covariance()).to(adapt.device) @ adapt.T
    return float(covariance.diagonal().mean().sqrt())
