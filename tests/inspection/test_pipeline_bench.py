"""The pipeline that is timed is the line's: every line is booked, and tiles are those of the plan."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from inspection_peers import ConvEngine

from glass_edge.acquisition.camera import EndOfLinesError
from glass_edge.config.inspection import InspectionSettings
from glass_edge.engine.manifest import Manifest, ThresholdSpec, TileSpec
from glass_edge.errors import InputError
from glass_edge.inspection.pipeline_bench import EndlessCloth, PipelineFigures, measure_pipeline, web_speed

MANIFEST = Manifest(
    format_version=1,
    style="twill",
    version="1",
    created_utc="2025-01-01T00:00:00Z",
    glass_edge_version="0",
    backbone="small",
    levels=(4,),
    method="glass",
    tile=TileSpec(height_px=64, width_px=96, channels=1, halo_px=16, score_stride_px=4, max_halo_error=0.0),
    smoothing_sigma_px=4.0,
    threshold=ThresholdSpec(logit=100.0, method="by hand", quantile=1.0, n_blocks=0, good_cloth_lines=0),
    training_data_sha256="0" * 64,
    metrics={},
    parity=(),
    files={},
)


def measured(n_lines: int, engine: ConvEngine) -> PipelineFigures:
    piece = np.random.default_rng(3).integers(0, 256, (70, 300), dtype=np.uint8)
    settings = InspectionSettings(crop_memory_mb=1)  # recent lines are kept up to here
    return measure_pipeline(engine, MANIFEST, piece, n_lines, settings)


def test_the_camera_repeats_its_piece() -> None:
    piece = np.arange(50 * 4, dtype=np.uint8).reshape(50, 4)
    seen: list[np.ndarray] = []
    with EndlessCloth(piece, 300) as camera:
        while sum(map(len, seen)) < 300:
            block = camera.read(1.0)
            assert block is not None
            assert block.first_line == sum(map(len, seen))
            seen.append(block.lines)
        with pytest.raises(EndOfLinesError) as end:
            camera.read(1.0)
    assert end.value.end_line == 300
    np.testing.assert_array_equal(np.concatenate(seen), np.concatenate([piece] * 6))


def test_all_lines_go_through_the_plan() -> None:
    engine = ConvEngine()
    figures = measured(1000, engine)
    # 300 px less 16 px at either edge in insides of 64 px: 5 columns; (1000 - 2 * 16) lines in rows of 32
    assert figures.tiles == engine.tiles == 5 * -(-(1000 - 32) // 32)
    assert figures.lines == 1000 - 32
    assert figures.tiles_per_s == figures.tiles / figures.seconds > 0
    assert engine.closed


def test_metres_a_minute_follow_from_tiles() -> None:
    speed = web_speed(MANIFEST, 50.0, width_mm=100.0, mm_per_px=0.1)
    assert (speed.tile_columns, speed.advance_lines) == (16, 32)  # 1000 - 32 px in insides of 64 px
    assert speed.m_per_min == pytest.approx(50 / 16 * 32 * 0.1e-3 * 60)
    with pytest.raises(InputError, match="nothing is left of cloth"):
        web_speed(MANIFEST, 50.0, width_mm=2.0, mm_per_px=0.1)


def test_memory_is_flat_over_ten_thousand_tiles() -> None:
    measured(32 * 200, ConvEngine())  # queues, threads and arenas are there
    before = own_memory_mb()
    figures = measured(32 * 2001, ConvEngine())
    assert figures.tiles == 10_000
    assert own_memory_mb() - before < 8  # 10,000 tiles are 61 MB


def own_memory_mb() -> float:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    found = re.search(r"^RssAnon:\s+(\d+) kB", text, re.MULTILINE)
    assert found
    return int(found[1]) / 1024
