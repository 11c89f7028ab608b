"""A timed engine gives the scores of the one inside, and a time for each batch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.base import Engine, EngineError, TileShapeError
from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.openvino_engine import OpenVinoEngine
from glass_edge.engine.timed import TimedEngine

Tiles = NDArray[np.uint8]


def test_scores_and_errors_are_those_of_the_engine_inside(
    model: bytes, tile: TileSpec, tiles: Tiles, truth: Callable[[Tiles], NDArray[np.float32]]
) -> None:
    told_s: list[float] = []
    inside = OpenVinoEngine(model, tile, EngineSettings(precision="f32", max_batch=4, depth=2))
    contract: Engine = TimedEngine(inside, told_s.append)
    assert (contract.facts, contract.tile_width_px) == (inside.facts, inside.tile_width_px)
    with contract as engine:
        engine.submit(tiles[:2])
        engine.submit(tiles[2:4])
        scores = np.concatenate([engine.collect(), engine.collect()])
        np.testing.assert_allclose(scores, truth(tiles[:4]), atol=2e-5)
        assert len(told_s) == 2
        assert all(0 < seconds < 60 for seconds in told_s)
        with pytest.raises(TileShapeError):
            engine.submit(tiles[:1, :16])
        with pytest.raises(EngineError):
            engine.collect()
        engine.infer(tiles[:1])
        assert len(told_s) == 3
