"""How differently two bundles score the same tiles.

Promises: both engines have passed their own parity gates on this machine, and score the golden tiles of both bundles;
cells that one of them does not use (its halo) are not compared; alarms are each bundle's own.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.base import TileShapeError
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.factory import open_engine
from glass_edge.engine.manifest import Manifest
from glass_edge.engine.parity import Judge, Maps


@dataclass(frozen=True, slots=True)
class LogitDifference:
    """Two bundles on the golden tiles of one of them.

    Attributes:
        tiles_of: folder of the bundle whose golden tiles they are.
        tiles, cells: how many were compared.
        max_abs, mean_abs: difference of the unsmoothed logits.
        alarm_cells_a, alarm_cells_b: cells at or above the bundle's own threshold after its own smoothing.
        alarm_cells_changed: cells that are an alarm for one of them only.
    """

    tiles_of: str
    tiles: int
    cells: int
    max_abs: float
    mean_abs: float
    alarm_cells_a: int
    alarm_cells_b: int
    alarm_cells_changed: int


def compare_logits(a: Bundle, b: Bundle, settings: EngineSettings) -> tuple[LogitDifference, LogitDifference]:
    """Run both bundles on the golden tiles of `a`, and on those of `b`.

    Args:
        a, b: loaded, with tiles of one shape, channel layout and score stride.
        settings: of both engines.

    Raises:
        TileShapeError: the tiles differ in shape. Otherwise as `open_engine`.
    """
    shapes = [_shape(one.manifest) for one in (a, b)]
    if shapes[0] != shapes[1]:
        raise TileShapeError(
            f"{a.folder} takes tiles of {shapes[0]}, {b.folder} of {shapes[1]}: their logits cannot be compared; leave "
            "--run out, or give bundles of one tile shape"
        )
    tiles = [one.golden().tiles for one in (a, b)]
    maps = [_infer(one, np.concatenate(tiles), settings) for one in (a, b)]
    halo_px = max(one.manifest.tile.halo_px for one in (a, b))
    judges = [_judge(one.manifest, halo_px) for one in (a, b)]
    error = judges[0].inside(np.abs(maps[0] - maps[1]))
    alarms = [judge.smooth(one) >= judge.threshold_logit for judge, one in zip(judges, maps, strict=True)]
    first = len(tiles[0])
    return (
        _difference(a, np.s_[:first], error, alarms),
        _difference(b, np.s_[first:], error, alarms),
    )


def _difference(of: Bundle, part: slice, error: Maps, alarms: list[NDArray[np.bool_]]) -> LogitDifference:
    a, b = (one[part] for one in alarms)
    return LogitDifference(
        tiles_of=str(of.folder),
        tiles=len(a),
        cells=a.size,
        max_abs=float(error[part].max()),
        mean_abs=float(error[part].mean(dtype=np.float64)),
        alarm_cells_a=int(a.sum()),
        alarm_cells_b=int(b.sum()),
        alarm_cells_changed=int((a != b).sum()),
    )


def _shape(manifest: Manifest) -> str:
    tile = manifest.tile
    return f"{tile.height_px} x {tile.width_px} px, {tile.channels} channel(s), a score every {tile.score_stride_px} px"


def _infer(bundle: Bundle, tiles: NDArray[np.uint8], settings: EngineSettings) -> Maps:
    size = settings.max_batch
    with open_engine(bundle, settings) as engine:
        return np.concatenate([engine.infer(tiles[first : first + size]) for first in range(0, len(tiles), size)])


def _judge(manifest: Manifest, halo_px: int) -> Judge:
    sigma_px, stride_px = manifest.smoothing_sigma_px, manifest.tile.score_stride_px
    return Judge(manifest.threshold.logit, sigma_px, halo_px, stride_px)
