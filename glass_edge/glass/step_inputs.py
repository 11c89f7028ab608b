"""What one training step takes, made from the tiles of a batch.

Promises: a function of the batch and the generator; features are float32 whatever the precision of the backbone. A
point is made, whitened and later adapted only where the step uses it, unless a centre for each position needs whole
images. Draws follow one another in the order: normal points, noise, points of synthetic tiles.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from glass_edge.glass.data import Pixels
from glass_edge.glass.feature_cache import FeatureCache
from glass_edge.glass.gas import draw_noise
from glass_edge.glass.model import StyleModel
from glass_edge.glass.step import StepInput
from glass_edge.glass.synthesis import TrainingBatch
from glass_edge.glass.trainer_features import Maps, TileMaps, gather_points, inner_grid


class InputMaker:
    """Makes the inputs of steps."""

    def __init__(self, model: StyleModel, noise_sigma: float, cache: FeatureCache | None) -> None:
        """Set up.

        Args:
            model: whose features are used; its head whitens.
            noise_sigma: see `gas.GasConfig`.
            cache: maps of good tiles; None: they are computed each time.
        """
        self._model, self._head, self._cache = model, model.glass_head, cache
        self._source = TileMaps(model)
        self._sigma = noise_sigma
        rows, columns = inner_grid(model)
        self._cells = rows * columns

    def points(self, tiles: Pixels, wanted: Tensor | None = None) -> Tensor:
        """Features of tiles inside the halo, not whitened; see `trainer_features.gather_points`."""
        return gather_points(self._model, self._source.chunks(torch.from_numpy(tiles)), len(tiles), wanted)

    @torch.no_grad()
    def make(self, batch: TrainingBatch, generator: torch.Generator, centre: Tensor | None) -> StepInput:
        """Inputs of a step.

        Args:
            batch: tiles.
            generator: of the model's device.
            centre: adapted, see `step.StepInput`.
        """
        settings, device = self._model.recipe, generator.device
        keeps_images = centre is not None and len(centre) > 1
        count = len(batch.good) * self._cells
        chosen = _some(torch.arange(count, device=device), settings.gas.points, generator)
        whole = chosen is None or keeps_images
        normal = gather_points(self._model, self._good_maps(batch), len(batch.good), None if whole else chosen)
        used = count if chosen is None else len(chosen)
        noise = draw_noise((used, normal.shape[1]), self._sigma, generator, device)
        if batch.synthetic is None or batch.mask is None:
            synthetic, mask, spoilt = normal[:0], torch.zeros(0, dtype=torch.bool, device=device), None
        else:
            mask = torch.from_numpy(batch.mask.reshape(-1)).to(device)
            spoilt = choose_points(mask, settings.training.points, generator)
            synthetic = self.points(batch.synthetic, None if keeps_images else spoilt)
            mask = mask if spoilt is None or keeps_images else mask[spoilt]
        return StepInput(
            self._head.whiten(normal),
            self._head.whiten(synthetic),
            mask,
            noise,
            centre,
            selection=chosen if keeps_images else None,
            synthetic_selection=spoilt if keeps_images else None,
        )

    def _good_maps(self, batch: TrainingBatch) -> Iterator[Maps]:
        if self._cache is None:
            yield from self._source.chunks(torch.from_numpy(batch.good))
            return
        for good, origin in zip(batch.good, batch.origins, strict=True):
            if origin is None:  # varied, so it comes but once
                yield from self._source.chunks(torch.from_numpy(good[None]))
            else:
                yield self._cache.maps([self._cache.nearest(origin)])


def choose_points(mask: Tensor, most: int, generator: torch.Generator) -> Tensor | None:
    """Points of synthetic tiles that a step uses, int64, ascending; None: all.

    At most `most` (0: all): half of them masked ones (more where too few others are left), the rest others, both drawn.
    So a step's work is bounded, and neither kind is lost where the other abounds.

    Args:
        mask: bool (n,), where the synthetic defects are.
        most: number of points.
        generator: of the mask's device.
    """
    if not 0 < most < len(mask):
        return None
    marked, others = torch.nonzero(mask)[:, 0], torch.nonzero(~mask)[:, 0]
    share = min(len(marked), max(most // 2, most - len(others)))
    return torch.cat([_shuffled(marked, generator)[:share], _shuffled(others, generator)[: most - share]]).sort().values


def _some(points: Tensor, wanted: int, generator: torch.Generator) -> Tensor | None:
    if not 0 < wanted < len(points):
        return None
    return _shuffled(points, generator)[:wanted]


def _shuffled(points: Tensor, generator: torch.Generator) -> Tensor:
    return points[torch.randperm(len(points), generator=generator, device=points.device)]
