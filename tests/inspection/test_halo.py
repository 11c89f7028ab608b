from __future__ import annotations

import numpy as np
import pytest
from inspection_peers import ConvEngine

from glass_edge.inspection.halo import halo_error

LINES = np.random.default_rng(0).integers(0, 256, (300, 260), dtype=np.uint8)


@pytest.mark.parametrize("channels", [1, 3])
def test_no_error_when_the_halo_covers_the_reach(channels: int) -> None:
    engine = ConvEngine(tile=(96, 96), reach=16, channels=channels)
    error = halo_error(engine, engine.score, LINES, halo_px=16)
    assert error.max_abs < 2e-5
    assert error.n_cells == (75 - 8) * (65 - 8)  # the halo of the strip's edges is not scored


def test_a_halo_too_small_shows_its_error_within_the_bound_of_the_lost_weight() -> None:
    engine = ConvEngine(tile=(96, 96), reach=24)
    small = halo_error(engine, engine.score, LINES, halo_px=0)
    middle = halo_error(engine, engine.score, LINES, halo_px=16)
    full = halo_error(engine, engine.score, LINES, halo_px=32)
    assert small.max_abs > middle.max_abs > 100 * full.max_abs
    assert small.mean_abs < small.max_abs
    # All weight that a tile's border can hide, times the largest pixel value after the mean is taken off.
    assert small.max_abs <= 128 * 0.1
    assert middle.max_abs > 1e-3
