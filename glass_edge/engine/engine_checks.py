"""What every engine asks of the tiles it is given and of the logits it returns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glass_edge.engine.base import Engine, EngineError, TileShapeError


def require_tiles(engine: Engine, tiles: NDArray[np.uint8], name: str) -> None:
    """Raises TileShapeError, beginning with `name`, unless `engine` takes `tiles`."""
    shape = (engine.tile_height_px, engine.tile_width_px, engine.channels)
    if tiles.dtype != np.uint8 or tiles.ndim != 4 or tiles.shape[1:] != shape:
        raise TileShapeError(f"{name}: tiles are {tiles.dtype} {tiles.shape}; uint8 {('n', *shape)} is needed")
    if not 1 <= len(tiles) <= engine.max_batch:
        raise TileShapeError(f"{name}: {len(tiles)} tiles in a batch; 1 to {engine.max_batch} are possible")


def require_finite(logits: NDArray[np.float32], name: str) -> NDArray[np.float32]:
    """`logits`; raises EngineError where one is no number: it is below every threshold, so cloth would pass unseen."""
    if not np.isfinite(logits).all():
        raise EngineError(f"{name}: NaN or infinity among the logits; use precision f32 or rebuild the bundle")
    return logits
