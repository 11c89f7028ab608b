"""Golden tiles: the evidence an engine is accepted on.

Promises: a set that loads has tiles and maps of the bundle's shapes, and every value of the maps is finite.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.engine.base import TileShapeError
from glass_edge.engine.manifest import TileSpec
from glass_edge.errors import InputError


@dataclass(frozen=True, slots=True)
class GoldenSet:
    """Tiles and what the checkpoint says about them.

    Attributes:
        tiles: uint8 (n, height, width, channels).
        maps: float32 (n, height // stride, width // stride), unsmoothed logits of the checkpoint, not of an engine.
    """

    tiles: NDArray[np.uint8]
    maps: NDArray[np.float32]

    def check(self, tile: TileSpec, name: str = "golden set") -> None:
        """Raises InputError when shapes, dtypes or values are not those of `tile`; the message begins with `name`."""
        tile_shape = (tile.height_px, tile.width_px, tile.channels)
        grid = (tile.height_px // tile.score_stride_px, tile.width_px // tile.score_stride_px)
        if self.tiles.dtype != np.uint8 or self.tiles.ndim != 4 or self.tiles.shape[1:] != tile_shape:
            raise TileShapeError(
                f"{name}: tiles are {self.tiles.dtype} {self.tiles.shape}; uint8 {('n', *tile_shape)} is needed"
            )
        if self.maps.dtype != np.float32 or self.maps.shape != (len(self.tiles), *grid):
            raise TileShapeError(
                f"{name}: maps are {self.maps.dtype} {self.maps.shape}; float32 {(len(self.tiles), *grid)} is needed"
            )
        if not len(self.tiles):
            raise InputError(f"{name}: no tiles; an engine cannot be accepted without evidence")
        if not np.isfinite(self.maps).all():
            raise InputError(f"{name}: the maps hold NaN or infinity; rebuild the bundle from a sound checkpoint")

    def to_bytes(self) -> bytes:
        """The set as a compressed .npz file; equal sets give equal bytes."""
        stream = io.BytesIO()
        np.savez_compressed(stream, tiles=self.tiles, maps=self.maps)
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes, tile: TileSpec, name: str) -> GoldenSet:
        """Inverse of `to_bytes`, checked against `tile`.

        Raises:
            InputError: no .npz, an array is missing or has another shape; the message begins with `name`.
        """
        try:
            with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
                golden = cls(tiles=arrays["tiles"], maps=arrays["maps"])
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, AttributeError, TypeError) as error:
            raise InputError(
                f"{name}: not a golden set ({error}); an .npz file with 'tiles' and 'maps' is needed"
            ) from error
        golden.check(tile, name)
        return golden
