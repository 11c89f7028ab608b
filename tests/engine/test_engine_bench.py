"""Figures add up and the comparison sees what differs (no time is asserted)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.bench import compare, measure_engine
from glass_edge.engine.machine import describe_machine
from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.openvino_engine import OpenVinoEngine
from glass_edge.errors import InputError

Tiles = NDArray[np.uint8]
SETTINGS = EngineSettings(precision="f32", max_batch=4)


@pytest.fixture(scope="module")
def torch_scorer(model: bytes) -> TorchScorer:
    return TorchScorer(model)


class TorchScorer:
    """The graph's weights in PyTorch; counts the batches it was given."""

    def __init__(self, model: bytes) -> None:
        import onnx

        graph = onnx.load_from_string(model).graph
        self.weights = {t.name: torch.from_numpy(onnx.numpy_helper.to_array(t).copy()) for t in graph.initializer}
        self.batches: list[Tiles] = []

    def __call__(self, tiles: Tiles) -> NDArray[np.float32]:
        self.batches.append(tiles)
        w = self.weights
        x = (torch.from_numpy(tiles).permute(0, 3, 1, 2).float() - w["mean"]) * w["scale"]
        x = torch.nn.functional.conv2d(x, w["first"], w["bias"], stride=2, padding=1)
        x = torch.nn.functional.leaky_relu(x, 0.2)
        result: NDArray[np.float32] = torch.nn.functional.conv2d(x, w["second"], stride=2, padding=1)[:, 0].numpy()
        return result


def test_figures_of_an_engine(model: bytes, tile: TileSpec, tiles: Tiles) -> None:
    with OpenVinoEngine(model, tile, SETTINGS) as engine:
        figures = measure_engine(engine, tiles, batch=3, seconds=0.05)
        engine.infer(tiles[:1])  # nothing was left in flight
    assert figures.batch == 3
    assert figures.n_latency >= 3
    assert figures.n_throughput >= 3 * SETTINGS.depth
    assert 0 < figures.latency_p50_ms <= figures.latency_p95_ms <= figures.latency_p99_ms <= figures.latency_max_ms
    assert figures.tiles_per_s > 0


def test_both_sides_get_the_same_batches(model: bytes, tile: TileSpec, tiles: Tiles, torch_scorer: TorchScorer) -> None:
    torch_scorer.batches.clear()
    with OpenVinoEngine(model, tile, SETTINGS) as engine:
        result = compare(engine, torch_scorer, tiles, batch=4, seconds=0.05)
    assert result.rounds >= 3
    assert len(torch_scorer.batches) == 3 + 2 * result.rounds  # 11 tiles are three batches, each seen once before
    assert all(batch.shape == (4, 48, 96, 3) for batch in torch_scorer.batches)
    np.testing.assert_array_equal(torch_scorer.batches[2][:3], tiles[8:])
    np.testing.assert_array_equal(torch_scorer.batches[2][3], tiles[0])
    assert result.max_abs_logit_difference < 2e-5
    assert result.ratio == pytest.approx(result.engine_tiles_per_s / result.reference_tiles_per_s)
    assert result.ratio_low <= result.ratio_high


def test_a_difference_between_the_sides_is_reported(
    model: bytes, tile: TileSpec, tiles: Tiles, torch_scorer: TorchScorer
) -> None:
    with OpenVinoEngine(model, tile, SETTINGS) as engine:
        off = compare(engine, lambda batch: torch_scorer(batch) + 0.25, tiles, batch=2, seconds=0.01)
        assert off.max_abs_logit_difference == pytest.approx(0.25, abs=1e-4)
        with pytest.raises(InputError, match="another checkpoint"):
            compare(engine, lambda batch: torch_scorer(batch)[:, ::2], tiles, batch=2, seconds=0.01)


def test_impossible_wishes_are_refused(model: bytes, tile: TileSpec, tiles: Tiles) -> None:
    with OpenVinoEngine(model, tile, SETTINGS) as engine:
        with pytest.raises(InputError, match=r"batch = 5.*1 to 4"):
            measure_engine(engine, tiles, batch=5, seconds=1)
        with pytest.raises(InputError, match="seconds = 0"):
            measure_engine(engine, tiles, batch=1, seconds=0)


def test_the_machine_is_named() -> None:
    machine = describe_machine(("numpy", "no-such-library"))
    assert machine.versions["numpy"] == np.__version__
    assert "no-such-library" not in machine.versions
    assert machine.cores >= 1
    assert machine.cpu in Path("/proc/cpuinfo").read_text() or machine.cpu == "unknown"
