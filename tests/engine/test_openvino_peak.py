"""Operations are counted as by hand, and the peak is a rate that engines do not beat."""

from __future__ import annotations

import numpy as np

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.openvino_model import Graph, has_int8_instructions
from glass_edge.engine.openvino_peak import peak_operations_per_s, tile_operations


def test_operations_are_those_of_the_two_convolutions(model: bytes, tile: TileSpec) -> None:
    first = 24 * 48 * 8 * (3 * 3 * 3)  # half the grid of 48 x 96, 8 outputs, 3 x 3 x 3 inputs
    second = 12 * 24 * 1 * (8 * 3 * 3)
    assert tile_operations(Graph(model), tile) == 2 * (first + second)


def test_a_peak_is_found_for_each_precision() -> None:
    settings = EngineSettings(threads=1)
    f32 = peak_operations_per_s("f32", settings, seconds=0.3)
    int8 = peak_operations_per_s("int8", settings, seconds=0.3)
    assert 1e9 < f32 < 1e13
    assert np.isfinite(int8)
    if has_int8_instructions():
        assert int8 > f32
