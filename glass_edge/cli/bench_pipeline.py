"""Parts of `glass-edge bench` beyond the engine alone: arithmetic, the whole pipeline, metres a minute.

Promises: engine and pipeline alternate, each with an engine of its own; the pipeline's camera never waits; memory is
the process's own (anonymous pages), read after the first and after the last round.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glass_edge.config.engine import EngineSettings
from glass_edge.config.inspection import InspectionSettings
from glass_edge.engine.base import Engine
from glass_edge.engine.bench import BatchFigures, throughput
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.factory import graph_of, open_engine
from glass_edge.engine.openvino_peak import peak_operations_per_s, tile_operations
from glass_edge.inspection.pipeline_bench import measure_pipeline, web_speed

_ROUNDS = 3
_GIGA = 1e9


def arithmetic_report(
    bundle: Bundle, settings: EngineSettings, precision: str, figures: Sequence[BatchFigures]
) -> dict[str, Any]:
    """Operations a tile and a second, beside the measured peak."""
    operations = tile_operations(graph_of(bundle, precision), bundle.manifest.tile)
    best = max(one.tiles_per_s for one in figures) * operations
    peak = peak_operations_per_s(precision, settings)
    return {
        "precision": precision,
        "gflop_per_tile": operations / _GIGA,
        "gflop_per_s": best / _GIGA,
        "peak_gflop_per_s": peak / _GIGA,
        "share_of_peak": best / peak,
    }


def pipeline_report(
    bundle: Bundle,
    settings: EngineSettings,
    engine: Engine,
    tiles: NDArray[np.uint8],
    *,
    width_mm: float,
    mm_per_px: float,
    seconds: float,
) -> dict[str, Any]:
    """The whole inspection in turn with the engine alone.

    Args:
        bundle: what inspects.
        settings: of both engines.
        engine: entered, nothing in flight.
        tiles: golden tiles; cloth is put together from the undamaged ones.
        width_mm: of the cloth.
        mm_per_px: of a pixel.
        seconds: for each side, all rounds together.
    """
    alone: list[float] = []
    whole: list[float] = []
    memory: list[float] = []
    defects = n_tiles = 0
    speed = web_speed(bundle.manifest, 1.0, width_mm, mm_per_px)
    cloth = _cloth(tiles, round(width_mm / mm_per_px))
    for _ in range(_ROUNDS):
        alone.append(throughput(engine, tiles, engine.max_batch, seconds / _ROUNDS))
        rows = max(2, round(alone[-1] * seconds / _ROUNDS / speed.tile_columns))
        one = open_engine(bundle, settings)
        figures = measure_pipeline(one, bundle.manifest, cloth, rows * speed.advance_lines, InspectionSettings())
        whole.append(figures.tiles_per_s)
        defects, n_tiles = figures.defects, n_tiles + figures.tiles
        memory.append(_own_memory_mb())
    ratios = [theirs / own for own, theirs in zip(alone, whole, strict=True)]
    rate = statistics.median(whole)
    return {
        "rounds": _ROUNDS,
        "tiles": n_tiles,
        "engine_tiles_per_s": statistics.median(alone),
        "pipeline_tiles_per_s": rate,
        "ratio": statistics.median(ratios),
        "ratio_low": min(ratios),
        "ratio_high": max(ratios),
        "defects": defects,
        "memory_growth_mb": memory[-1] - memory[0],
        "web": dataclasses.asdict(web_speed(bundle.manifest, rate, width_mm, mm_per_px)),
    }


def _cloth(tiles: NDArray[np.uint8], width_px: int) -> NDArray[np.uint8]:
    """Cloth of the first tile, repeated by mirroring so that there are no seams; uint8 (2 x height, width[, 3])."""
    tile = tiles[0]
    row = np.concatenate([tile, tile[:, ::-1]], axis=1)
    wide = np.tile(row, (1, -(-width_px // row.shape[1]), 1))[:, :width_px]
    cloth = np.concatenate([wide, wide[::-1]])
    return np.ascontiguousarray(cloth[:, :, 0] if cloth.shape[2] == 1 else cloth)


def _own_memory_mb() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) / 1024
    return 0.0
