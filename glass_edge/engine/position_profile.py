"""What a place in the tile adds to the scores of good cloth.

Promises: an offset a row and an offset a column of the tile, each told from chance (else 0); taken off, the same cloth
scores alike wherever it lies in a tile; cells of the halo, which nobody uses, stay as they were.

A network that fills with zeros beyond a tile's border scores cloth near it otherwise than cloth in the middle. The
halo hides most of that; how much is left depends on the backbone, and is measured here on good cloth.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glass_edge.engine.base import Engine
from glass_edge.engine.manifest import PositionProfile
from glass_edge.engine.wrapped import WrappedEngine

LEAST_TILES = 8
_STANDARD_ERRORS = 3.0


def estimate_profile(
    logits: NDArray[np.float32],
    halo_cells: int,
    *,
    independent: float | None = None,
    along: bool = True,
    across: bool = True,
) -> PositionProfile | None:
    """Offsets of rows and columns, from tiles of good cloth at random places.

    Main effects of a two-way table (rows and columns of the tile), over tiles by the median, so that a fault in some
    tile does not count.

    Args:
        logits: float32 (tiles, rows, cells); origins share no grid.
        halo_cells: cells at the border that are not used.
        independent: tiles that fit side by side into the cloth they were cut from; None: all.
        along, across: whether the tiles' origins vary along and across; where they do not, the place in the tile cannot
            be told from the place in the picture.

    Returns:
        None: there are too few tiles, or no place differs from the others by more than chance.
    """
    tiles, n_rows, n_columns = logits.shape
    independent = tiles if independent is None else min(tiles, independent)
    if independent < LEAST_TILES:
        return None
    inside = logits[:, halo_cells : n_rows - halo_cells, halo_cells : n_columns - halo_cells].astype(np.float64)
    levelled = inside - np.median(inside, axis=(1, 2), keepdims=True)
    rows = _effect(levelled.mean(axis=2), independent) * along
    columns = _effect(levelled.mean(axis=1), independent) * across
    if not rows.any() and not columns.any():
        return None
    before = float(levelled.mean(axis=0).std())
    after = float((levelled.mean(axis=0) - rows[:, None] - columns[None, :]).std())
    padded_rows, padded_columns = np.zeros(n_rows), np.zeros(n_columns)
    padded_rows[halo_cells : n_rows - halo_cells] = rows
    padded_columns[halo_cells : n_columns - halo_cells] = columns
    return PositionProfile(
        rows=tuple(round(float(value), 4) for value in padded_rows),
        columns=tuple(round(float(value), 4) for value in padded_columns),
        tiles=tiles,
        spread_before=before,
        spread_after=after,
        spread_of_scores=float(levelled.std()),
    )


def _effect(means: NDArray[np.float64], independent: float) -> NDArray[np.float64]:
    """Medians over tiles, float64 (places,), about their own median; those within chance of it are 0."""
    effect = np.median(means, axis=0)
    effect -= np.median(effect)
    deviation = 1.4826 * np.median(np.abs(means - np.median(means, axis=0)), axis=0)
    error = 1.2533 * deviation / np.sqrt(independent)  # of a median
    return np.where(np.abs(effect) > _STANDARD_ERRORS * error, effect, 0.0)


class LevelledEngine(WrappedEngine):
    """An engine whose logits are less the profile; otherwise the engine it wraps.

    Args:
        engine: not entered.
        profile: of its tile.
    """

    def __init__(self, engine: Engine, profile: PositionProfile) -> None:
        super().__init__(engine)
        rows, columns = np.array(profile.rows, np.float32), np.array(profile.columns, np.float32)
        self._offsets = rows[:, None] + columns[None, :]

    def collect(self) -> NDArray[np.float32]:
        """See `Engine.collect`."""
        return super().collect() - self._offsets
