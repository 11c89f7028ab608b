"""The exported graph, run by OpenVINO, against the checkpoint's unfused path."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from model_recipes import PUBLISHED, filled_model, make_recipe, random_tiles

from glass_edge.config.engine import EngineSettings
from glass_edge.config.recipe import Recipe
from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.openvino_engine import OpenVinoEngine
from glass_edge.glass.checkpoint import CheckpointInfo, as_reference, load_checkpoint, save_checkpoint
from glass_edge.glass.export import export_onnx
from glass_edge.glass.fusion import FusedModel

SMALL = {"hidden": 32, "shrinkage": 0.1}


def run_openvino(graph: bytes, recipe: Recipe, tiles: np.ndarray) -> np.ndarray:
    tile = TileSpec(
        height_px=recipe.tile.height_px,
        width_px=recipe.tile.width_px,
        channels=recipe.tile.channels,
        halo_px=0,
        score_stride_px=recipe.score_stride_px,
        max_halo_error=0.0,
    )
    with OpenVinoEngine(graph, tile, EngineSettings(precision="f32")) as engine:
        return engine.infer(tiles)


@pytest.mark.parametrize(
    "recipe",
    [
        make_recipe(levels=(4,), model=SMALL),
        make_recipe(levels=(2, 4), model=SMALL | {"prior": "adapted"}),
        # an odd number of cells at stride 16, both ways
        make_recipe(
            levels=(8, 16),
            model={"hidden": 32, "whiten": False, "prior": "adapted"},
            tile={"height_px": 80, "width_px": 176, "channels": 3},
        ),
        make_recipe("tf_efficientnet_lite1", (2, 16), model=SMALL | {"level_width": 40, "width": 50}),
        make_recipe("resnet18", (8, 16), model=PUBLISHED, tile={"height_px": 96, "width_px": 160, "channels": 3}),
        make_recipe("resnet18", (4,), model=SMALL | {"width": 90}, training={"method": "mahalanobis"}),
    ],
    ids=lambda recipe: f"{recipe.backbone.name}-{recipe.backbone.levels}-{recipe.method}",
)
def test_openvino_says_what_the_unfused_model_says(recipe: Recipe) -> None:
    model = filled_model(recipe)
    graph = export_onnx(FusedModel(model), recipe.tile)
    tiles = random_tiles(3, recipe, seed=5)
    expected = as_reference(model)(tiles)
    assert expected.std() > 0.01
    found = run_openvino(graph, recipe, tiles)
    assert found.shape == (3, recipe.tile.height_px // recipe.score_stride_px, expected.shape[2])
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-5 * max(1.0, float(np.abs(expected).max())))


def test_form_of_the_graph() -> None:
    recipe = make_recipe(model=SMALL)
    graph = onnx.load_from_string(export_onnx(FusedModel(filled_model(recipe)), recipe.tile))
    (source,), (result,) = graph.graph.input, graph.graph.output
    assert (source.name, result.name) == ("tiles", "logits")
    assert source.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert result.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    sizes = [[one.dim_param or one.dim_value for one in value.type.tensor_type.shape.dim] for value in (source, result)]
    assert sizes == [["n", 64, 112, 1], ["n", 16, 28]]
    assert [(one.domain, one.version) for one in graph.opset_import] == [("", 17)]
    # sizes and pads are constants: what is left is arithmetic on pixels
    expected = {"Transpose", "Cast", "Sub", "Div", "Pad", "Conv", "Clip", "Add", "Slice", "LeakyRelu", "Mul", "Squeeze"}
    # the exposure: a mean a tile, and its reciprocal
    assert {node.op_type for node in graph.graph.node} == expected | {"ReduceMean", "Reciprocal"}
    as_it_is = recipe.model_copy(update={"tile": recipe.tile.model_copy(update={"exposure": "camera"})})
    plain = onnx.load_from_string(export_onnx(FusedModel(filled_model(as_it_is)), recipe.tile))
    assert {node.op_type for node in plain.graph.node} == expected


def test_asymmetric_padding_of_lite_is_kept() -> None:
    recipe = make_recipe(levels=(2,), model=SMALL)
    graph = onnx.load_from_string(export_onnx(FusedModel(filled_model(recipe)), recipe.tile))
    constants = {one.name: onnx.numpy_helper.to_array(one) for one in graph.graph.initializer}
    pads = [constants[node.input[1]].tolist() for node in graph.graph.node if node.op_type == "Pad"]
    assert pads == [[0, 0, 0, 0, 0, 0, 1, 1]]  # the stem: TF-SAME of kernel 3, stride 2 on even sides pads at the end


def test_one_graph_takes_any_number_of_tiles() -> None:
    onnx_reference = pytest.importorskip("onnx.reference")
    # logits of at most 200, which float32 resolves to the bound
    tile = {"height_px": 48, "width_px": 64, "channels": 1, "exposure": "camera"}
    recipe = make_recipe(model=SMALL | {"prior": "whitened"}, tile=tile)
    model = filled_model(recipe)
    session = onnx_reference.ReferenceEvaluator(onnx.load_from_string(export_onnx(FusedModel(model), recipe.tile)))
    tiles = random_tiles(4, recipe)
    for count in (1, 4):
        (logits,) = session.run(None, {"tiles": tiles[:count]})
        np.testing.assert_allclose(logits, as_reference(model)(tiles[:count]), rtol=0, atol=1e-4)


def test_one_checkpoint_gives_the_same_bytes_in_every_process(tmp_path: Path) -> None:
    recipe = make_recipe(levels=(4, 8), model=SMALL | {"width": 64})
    save_checkpoint(tmp_path, filled_model(recipe), recipe, CheckpointInfo(epoch=1, training_data_sha256="0" * 64))
    model, _, _ = load_checkpoint(tmp_path)
    first = export_onnx(FusedModel(model), recipe.tile)
    torch.manual_seed(77)
    assert export_onnx(FusedModel(load_checkpoint(tmp_path)[0]), recipe.tile) == first
    program = (
        "import sys, hashlib; from pathlib import Path\n"
        "from glass_edge.glass.checkpoint import load_checkpoint\n"
        "from glass_edge.glass.export import export_onnx\n"
        "from glass_edge.glass.fusion import FusedModel\n"
        "model, recipe, _ = load_checkpoint(Path(sys.argv[1]))\n"
        "sys.stdout.buffer.write(export_onnx(FusedModel(model), recipe.tile))\n"
    )
    other = subprocess.run([sys.executable, "-c", program, str(tmp_path)], check=True, capture_output=True, cwd="/")
    assert other.stdout == first
    assert str(Path(__file__).parents[2]).encode() not in first
