"""An int8 graph computes nearly what the float graph does, and says when it cannot be made."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.bundle_writer import write_bundle
from glass_edge.engine.factory import candidate_precisions, graph_of, open_engine
from glass_edge.engine.golden import GoldenSet
from glass_edge.engine.manifest import (
    GOLDEN_NAME,
    INT8_NAME,
    INT8_WEIGHTS_NAME,
    MODEL_NAME,
    Manifest,
    ParityResult,
    TileSpec,
)
from glass_edge.engine.openvino_engine import OpenVinoEngine
from glass_edge.engine.openvino_int8 import quantise
from glass_edge.engine.openvino_model import Graph, has_int8_instructions, read_graph
from glass_edge.errors import InputError, MissingExtraError

Tiles = NDArray[np.uint8]
INT8 = EngineSettings(precision="int8", max_batch=2)


@pytest.fixture(scope="module")
def quantised(model: bytes, tile: TileSpec, tiles: Tiles) -> Graph:
    pytest.importorskip("nncf", reason="the extra 'int8' is not installed")
    return quantise(Graph(model), tile, tiles)


def test_the_int8_graph_is_near_the_float_graph(
    quantised: Graph, tile: TileSpec, tiles: Tiles, truth: Callable[[Tiles], NDArray[np.float32]]
) -> None:
    kinds = [one.get_type_name() for one in read_graph(quantised, tile).get_ops()]
    assert kinds.count("FakeQuantize") >= 2  # activations and weights of a convolution
    with OpenVinoEngine(quantised, tile, INT8) as engine:
        maps = np.concatenate([engine.infer(tiles[k : k + 1]) for k in range(len(tiles))])
    expected = truth(tiles)
    error = np.abs(maps - expected)
    assert 1e-4 < error.mean() < 0.03 * np.abs(expected).max()  # above: it really computed in 8 bits
    assert np.corrcoef(maps.ravel(), expected.ravel())[0, 1] > 0.99
    assert len(quantised.weights) > 0


def test_a_float_graph_is_not_taken_for_int8(model: bytes, tile: TileSpec) -> None:
    with pytest.raises(InputError, match=r"model\.onnx: not quantised; build the bundle with --precision int8"):
        OpenVinoEngine(model, tile, INT8)


def test_without_tiles_or_nncf(model: bytes, tile: TileSpec, tiles: Tiles, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="no tiles"):
        quantise(Graph(model), tile, tiles[:0])
    monkeypatch.setitem(sys.modules, "nncf", None)  # as if it were not installed
    with pytest.raises(MissingExtraError, match=r"glass-edge\[int8\]"):
        quantise(Graph(model), tile, tiles)


def with_int8(manifest: Manifest, *, passed: bool) -> Manifest:
    int8 = ParityResult(
        runtime="openvino",
        precision="int8",
        max_abs_logit_error=0.1,
        mean_abs_logit_error=0.01,
        tolerance=0.5,
        quantile=0.99,
        alarm_cells_changed=0,
        passed=passed,
    )
    return manifest.model_copy(update={"parity": (*manifest.parity, int8)})


def test_a_bundle_with_an_int8_graph_runs_it(
    tmp_path: Path, manifest: Manifest, model: bytes, golden: GoldenSet, quantised: Graph
) -> None:
    contents = {
        MODEL_NAME: model,
        GOLDEN_NAME: golden.to_bytes(),
        INT8_NAME: quantised.model,
        INT8_WEIGHTS_NAME: quantised.weights,
    }
    bundle = write_bundle(tmp_path, with_int8(manifest, passed=True), contents)
    with open_engine(bundle, INT8) as engine:
        assert engine.facts.precision == "int8"
        assert 0 < np.abs(engine.infer(golden.tiles[:2]) - golden.maps[:2]).max() < 0.5
    assert ("int8" in candidate_precisions(bundle.manifest)) == has_int8_instructions()
    (bundle.folder / INT8_WEIGHTS_NAME).write_bytes(quantised.weights[:-1] + b"\0")
    with pytest.raises(InputError, match=r"model-int8\.bin: SHA-256"):
        graph_of(bundle, "int8")


def test_a_bundle_without_one_says_why(bundle: Bundle, tmp_path: Path, manifest: Manifest) -> None:
    with pytest.raises(InputError, match="no int8 graph: it was not built"):
        open_engine(bundle, INT8)
    failed = Bundle(bundle.folder, with_int8(manifest, passed=False), bundle.manifest_sha256)
    with pytest.raises(InputError, match="no int8 graph: it failed the parity gate"):
        open_engine(failed, INT8)
    assert "int8" not in candidate_precisions(failed.manifest)


@pytest.mark.parametrize(
    ("flags", "has"), [("fpu avx2 avx_vnni", True), ("fpu avx512_vnni", True), ("amx_int8", True), ("avx2 fma", False)]
)
def test_instructions_are_read_from_the_processor(tmp_path: Path, flags: str, has: bool) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text(f"processor\t: 0\nflags\t\t: {flags}\n\nprocessor\t: 1\nflags\t\t: none\n")
    assert has_int8_instructions(info) is has
    assert not has_int8_instructions(tmp_path / "missing")
