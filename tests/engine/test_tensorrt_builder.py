"""Every exported variant is compiled for real, by TensorRT for RTX, on a machine without a GPU.

It stands in for TensorRT, whose libraries are not on PyPI: the same interface, parser and kinds of errors, another
optimiser. That the names used are those of TensorRT 10.16 and 11.4 is test_tensorrt_names.py's matter.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from glass_edge.engine.manifest import TileSpec

if importlib.util.find_spec("tensorrt_rtx") is None:
    pytest.skip("tensorrt-rtx is not installed (wheels for Python 3.11 to 3.13, x86-64)", allow_module_level=True)

pytestmark = pytest.mark.filterwarnings("ignore")
HERE = Path(__file__).parent
DEMO = HERE.parents[1] / "engines" / "demo" / "1"
Build = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    def run(*jobs: dict[str, Any]) -> list[dict[str, Any]]:
        for number, job in enumerate(jobs):
            path = tmp_path / f"{job.pop('name', number)}.onnx"
            path.write_bytes(job["model"])
            job["model"] = str(path)
            job["tile"] = job["tile"].model_dump(mode="json") if isinstance(job["tile"], TileSpec) else job["tile"]
        (tmp_path / "jobs.json").write_text(json.dumps(jobs))
        command = [sys.executable, "-W", "ignore", str(HERE / "rtx_builds.py"), str(tmp_path / "jobs.json")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        results: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
        return results

    return run


def variants(model: bytes, tiles: np.ndarray) -> dict[str, bytes]:
    from glass_edge.glass.onnx_half import to_half
    from glass_edge.glass.onnx_inputs import to_float
    from glass_edge.glass.onnx_int8 import to_int8

    return {"f32": to_float(model), "f16": to_half(model), "int8": to_int8(model, tiles)}


def check_built(result: dict[str, Any], model: bytes) -> None:
    assert "error" not in result, result
    assert result["library"] == "tensorrt-rtx 1.7.1.116"
    assert result["bytes"] > 0.2 * len(model)
    shares = result["shares"]
    assert shares == sorted(shares)
    assert 0 <= shares[0] < 0.5
    assert shares[-1] == 1.0
    assert "Building engine" in result["phases"]


def test_demo_engine_in_every_precision(build: Build) -> None:
    tile = json.loads((DEMO / "manifest.json").read_text())["tile"]
    with np.load(DEMO / "golden.npz") as golden:
        graphs = variants((DEMO / "model.onnx").read_bytes(), golden["tiles"][:2])
    targets = ["SM75", "8.6", "SM120"]
    jobs = [{"name": name, "model": graph, "tile": tile} for name, graph in graphs.items()]
    results = build(*jobs, {"model": graphs["f16"], "tile": tile, "compute_capabilities": targets, "max_batch": 32})
    for result, graph in zip(results, [*graphs.values(), graphs["f16"]], strict=True):
        check_built(result, graph)
    assert len({result["sha256"] for result in results}) == len(results)


@pytest.mark.parametrize("backbone", ["tf_efficientnet_lite0", "wide_resnet50_2"])
def test_exported_networks_in_every_precision(build: Build, backbone: str) -> None:
    sys.path.insert(0, str(HERE.parent / "glass"))
    from model_recipes import filled_model, make_recipe, random_tiles

    from glass_edge.glass.export import export_onnx
    from glass_edge.glass.fusion import FusedModel

    is_lite = backbone.startswith("tf")
    levels = (4, 8) if is_lite else (8, 16)
    model: dict[str, object] = {"hidden": 32, "shrinkage": 0.1, "prior": "adapted"} if is_lite else {}
    if not is_lite:
        model = {"level_width": 256, "width": 256, "neighbours": "all", "hidden": 256, "whiten": False, "prior": "none"}
    size = {"height_px": 64, "width_px": 96, "channels": 3}
    recipe = make_recipe(backbone, levels, model=model, tile=size)
    exported = export_onnx(FusedModel(filled_model(recipe)), recipe.tile)
    tile = TileSpec(**size, halo_px=0, score_stride_px=recipe.score_stride_px, max_halo_error=0.0)
    graphs = variants(exported, random_tiles(2, recipe))
    jobs = [{"name": name, "model": graph, "tile": tile} for name, graph in graphs.items()]
    for result, graph in zip(build(*jobs), graphs.values(), strict=True):
        check_built(result, graph)


def test_bad_graphs_get_an_error_that_names_the_node(build: Build, tile: TileSpec, model: bytes) -> None:
    def changed(change: Callable[[onnx.ModelProto], None]) -> bytes:
        from glass_edge.glass.onnx_inputs import to_float

        graph = onnx.load_from_string(to_float(model))
        change(graph)
        return bytes(graph.SerializeToString())

    def foreign(graph: onnx.ModelProto) -> None:
        node = next(node for node in graph.graph.node if node.op_type == "LeakyRelu")
        node.CopyFrom(helper.make_node("Loom", node.input, node.output, name="weave", domain="mill"))
        graph.opset_import.append(helper.make_opsetid("mill", 1))

    def wrong_channels(graph: onnx.ModelProto) -> None:
        weight = next(one for one in graph.graph.initializer if one.name == "second")
        del weight.dims[:]
        weight.dims.extend([2, 4, 3, 3])

    other = tile.model_copy(update={"width_px": 112})
    coarse = tile.model_copy(update={"score_stride_px": 8})
    results = build(
        {"name": "text", "model": b"no graph at all", "tile": tile},
        {"name": "loom", "model": changed(foreign), "tile": tile},
        {"name": "channels", "model": changed(wrong_channels), "tile": tile},
        {"name": "uint8", "model": model.replace(b"Cast", b"Casx"), "tile": tile},
        {"name": "other", "model": changed(lambda graph: None), "tile": other},
        {"name": "coarse", "model": changed(lambda graph: None), "tile": coarse},
        {"name": "gpu", "model": changed(lambda graph: None), "tile": tile, "compute_capabilities": ["SM61"]},
        {"name": "batch", "model": changed(lambda graph: None), "tile": tile, "optimal_batch": 5},
        {"name": "hw", "model": changed(lambda graph: None), "tile": tile, "hardware_compatibility": "ampere_plus"},
        {"name": "good", "model": changed(lambda graph: None), "tile": tile},
    )
    expected = [
        ("InputError", "text.onnx: MODEL_DESERIALIZE_FAILED: "),
        ("InputError", "loom.onnx: node weave (Loom): "),
        ("InputError", "channels.onnx: node number"),
        ("InputError", "uint8.onnx: "),
        ("TileShapeError", "other.onnx: 'tiles' is DataType.UINT8 (-1, 48, 96, 3); "),
        ("TileShapeError", "coarse.onnx: 'logits' is DataType.FLOAT (-1, 12, 24); "),
        ("InputError", "compute capability 'SM61': tensorrt-rtx 1.7.1.116 knows SM120, SM121, SM75, SM80, SM86, SM89"),
        ("InputError", "optimal batch 5: 1 to the maximum batch, 4, is possible"),
        ("InputError", "hardware compatibility is a matter of TensorRT"),
    ]
    for result, (kind, start) in zip(results, expected, strict=False):
        assert (result.get("error"), result.get("message", "")[: len(start)]) == (kind, start), result
    assert "error" not in results[-1]  # one failure does not spoil the next build


def test_an_exception_in_the_callback_ends_the_build(build: Build, tile: TileSpec, model: bytes) -> None:
    (result,) = build({"model": model, "tile": tile, "fail_at": 0.3})
    assert result["error"] == "Stopped"
    assert result["shares"][-1] == min(share for share in result["shares"] if share >= 0.3)
