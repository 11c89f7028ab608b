"""Maps of good tiles, computed once: the backbone is frozen, so they never change.

Promises: the maps of a tile are those the backbone gives for it alone, bit for bit, whenever and in whatever order
tiles are asked for, so a continued run reads what the uninterrupted one read. Of an image that holds a single tile the
cache has that tile. Of a strip it has tiles side by side over the cloth, each shifted at random by up to 15 px (the
same way each time), and a crop is replaced by the nearest of them: another draw of good cloth, with all its features
exact. (Cutting crops from maps of whole strips would need crops on the backbone's grid, and so show every strip's weave
in one phase.)
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from glass_edge.glass.crops import Origin, cover_origins, cut
from glass_edge.glass.data import ClothStrip
from glass_edge.glass.map_store import MapStore
from glass_edge.glass.model import StyleModel
from glass_edge.glass.trainer_features import JITTER_PX, MOST_TILES, Maps, TileMaps, thinned, tile_shape


class FeatureCache:
    """Maps of good tiles, filled as they are asked for.

    Attributes:
        origins: strip, first line and first column of each tile.
    """

    def __init__(self, model: StyleModel, strips: Sequence[ClothStrip], folder: Path | None) -> None:
        """Make room for the maps of all tiles.

        Args:
            model: its backbone is asked; it stays where it is, on its device.
            strips: good cloth.
            folder: of the mapped file; None: in memory.

        Raises:
            InputError: there is no room, or a strip holds no tile.
        """
        self._source, self._strips = TileMaps(model), strips
        self._device = model.normalise.mean.device
        self._tile = tile_shape(model.recipe)
        self.origins = good_places(strips, model)
        self._where = np.array(self.origins)
        self._of_strip = {int(strip): np.flatnonzero(self._where[:, 0] == strip) for strip in set(self._where[:, 0])}
        first = self._compute(0)
        shapes = [(int(level.shape[1]), int(level.shape[2]), int(level.shape[3])) for level in first]
        self._store = MapStore(len(self.origins), shapes, first[0].dtype, folder)
        self._store.write(0, first)
        self._known = np.arange(len(self.origins)) == 0

    @classmethod
    def of_recipe(cls, model: StyleModel, strips: Sequence[ClothStrip], folder: Path | None) -> FeatureCache | None:
        """The cache of `training.feature_cache`, None for 'off'; `folder` (of the run) is for 'disk'."""
        kind = model.recipe.training.feature_cache
        if kind == "off":
            return None
        place = None if kind == "memory" else folder or Path(tempfile.gettempdir())
        return cls(model, strips, place)

    def __len__(self) -> int:
        return len(self.origins)

    def nearest(self, origin: Origin) -> int:
        """Index of the tile that lies nearest to a crop; the crop itself in an image that holds no other."""
        own = self._of_strip[origin[0]]
        away = np.abs(self._where[own, 1:] - np.array(origin[1:])).sum(axis=1)
        return int(own[np.argmin(away)])

    def maps(self, indices: Sequence[int]) -> Maps:
        """Maps of tiles, (n, c, h, w) a level, on the model's device, in its recipe's precision."""
        for index in indices:
            if not self._known[index]:
                self._store.write(index, self._compute(index))
                self._known[index] = True
        return [level.to(self._device, non_blocking=True) for level in self._store.read(indices)]

    def _compute(self, index: int) -> Maps:
        strip, row, column = self.origins[index]
        tile = cut(self._strips[strip], self._tile, row, column)
        (maps,) = self._source.chunks(torch.from_numpy(np.ascontiguousarray(tile))[None])
        return [level.cpu() for level in maps]


def good_places(strips: Sequence[ClothStrip], model: StyleModel) -> list[Origin]:
    """Tiles that stand for all good cloth: every image that holds one tile, and of longer ones `MOST_TILES`, evenly
    spread, or one of each where they are more.
    """
    origins = cover_origins(strips, tile_shape(model.recipe), jitter_px=JITTER_PX)
    counts = Counter(strip for strip, _, _ in origins)
    kept = set(thinned([origin for origin in origins if counts[origin[0]] > 1], MOST_TILES))
    first_of = {origin[0]: origin for origin in reversed(origins)}
    missing = first_of.keys() - {strip for strip, _, _ in kept}  # those of one tile among them
    kept.update(first_of[strip] for strip in missing)
    return [origin for origin in origins if origin in kept]
