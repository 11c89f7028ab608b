"""The float16 graph: typed as promised, near the float32 one on the demo's golden tiles, refused where it cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import pytest
from graph_emulator import emulate
from model_recipes import PUBLISHED, filled_model, make_recipe, random_tiles
from onnx import TensorProto, numpy_helper

from glass_edge.engine.golden import GoldenSet
from glass_edge.engine.manifest import Manifest
from glass_edge.errors import InputError
from glass_edge.glass.export import export_onnx
from glass_edge.glass.fusion import FusedModel
from glass_edge.glass.onnx_half import to_half
from glass_edge.glass.onnx_inputs import to_float

DEMO = Path(__file__).parents[2] / "engines"


def demo(style: str) -> tuple[bytes, GoldenSet, Manifest]:
    folder = DEMO / style / "1"
    manifest = Manifest.model_validate(json.loads((folder / "manifest.json").read_text()))
    golden = GoldenSet.from_bytes((folder / "golden.npz").read_bytes(), manifest.tile, style)
    return (folder / "model.onnx").read_bytes(), golden, manifest


def tensor_types(model: bytes) -> dict[str, int]:
    graph = onnx.shape_inference.infer_shapes(onnx.load_from_string(model), strict_mode=True).graph
    values = [*graph.value_info, *graph.input, *graph.output]
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {one.name: one.data_type for one in graph.initializer}


@pytest.fixture(scope="module")
def small() -> bytes:
    recipe = make_recipe(levels=(4, 8), model={"hidden": 32, "shrinkage": 0.1, "prior": "adapted"})
    return export_onnx(FusedModel(filled_model(recipe)), recipe.tile)


def test_edges_are_float32_and_the_network_between_is_float16(small: bytes) -> None:
    half = to_half(small)
    types, before = tensor_types(half), tensor_types(small)
    assert (types["tiles"], types["logits"]) == (TensorProto.UINT8, TensorProto.FLOAT)
    nodes = onnx.load_from_string(half).graph.node
    convolutions = [types[node.output[0]] for node in nodes if node.op_type == "Conv"]
    wide = sum(node.op_type == "Conv" for node in onnx.load_from_string(small).graph.node) - 2  # the logit's two
    expected = [TensorProto.FLOAT] * 3 + [TensorProto.FLOAT16] * (wide - 3) + [TensorProto.FLOAT] * 2
    assert convolutions == expected
    for node in nodes:
        is_square = node.op_type == "Mul" and node.input[0] == node.input[1]
        if is_square or node.op_type in {"ReduceMean", "Reciprocal", "Sub", "Div", "LeakyRelu", "Squeeze", "Resize"}:
            assert types[node.output[0]] == TensorProto.FLOAT, node.name
    assert TensorProto.FLOAT16 not in before.values()
    assert len(half) < 0.7 * len(small)  # most of the weights are halves now


def test_the_same_graph_gives_the_same_bytes(small: bytes) -> None:
    assert to_half(small) == to_half(small)


@pytest.mark.parametrize("style", ["demo", "demo-greige"])
def test_float16_decides_as_the_checkpoint_does(style: str) -> None:
    model, golden, manifest = demo(style)
    threshold, edge = manifest.threshold.logit, manifest.tile.halo_px // manifest.tile.score_stride_px
    tiles, maps = golden.tiles[[0, 6, 8]], golden.maps[[0, 6, 8]]
    inside = np.s_[:, edge:-edge, edge:-edge]
    errors = {}
    for count in (0, 3):
        found = emulate(to_half(model, float_convolutions=count), tiles)
        errors[count] = np.abs(found - maps)[inside]
    flips = np.count_nonzero((found >= threshold) != (maps >= threshold))
    assert flips <= 1 + 0.01 * np.count_nonzero(maps >= threshold)
    assert errors[3].max() < 2e-3 * np.abs(maps).max()
    assert errors[3].mean() < 0.015
    assert errors[3].mean() < 0.6 * errors[0].mean()  # what the float32 start is for


def test_float32_form_is_the_same_function(small: bytes) -> None:
    recipe = make_recipe(levels=(4, 8))
    tiles = random_tiles(2, recipe, seed=3)
    assert np.array_equal(emulate(to_float(small), tiles), emulate(small, tiles))
    first = onnx.load_from_string(to_float(small)).graph.node[0]
    assert (first.op_type, list(first.input)) == ("Cast", ["tiles"])
    assert to_float(to_float(small)) == to_float(small)


def test_resnet_with_pooling_and_hidden_layer() -> None:
    tile = {"height_px": 64, "width_px": 96, "channels": 3}
    recipe = make_recipe("resnet18", (8, 16), model=PUBLISHED | {"level_width": 64, "width": 64}, tile=tile)
    model = export_onnx(FusedModel(filled_model(recipe)), recipe.tile)
    tiles = random_tiles(1, recipe)
    expected = emulate(model, tiles)
    assert to_half(model) == to_half(model, float_convolutions=0)  # of a ResNet the start gains nothing
    np.testing.assert_allclose(emulate(to_half(model), tiles), expected, atol=0.02 * np.abs(expected).max())


def test_weights_beyond_float16_are_refused(small: bytes) -> None:
    graph = onnx.load_from_string(small)
    weight = next(one for one in graph.graph.initializer if one.name == "head.levels.0.neighbourhood.weight")
    values = numpy_helper.to_array(weight).copy()
    values.flat[7] = 1e5
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    with pytest.raises(InputError, match=r"head\.levels\.0\.neighbourhood\.weight holds 1e\+05"):
        to_half(graph.SerializeToString(), "bundle/model.onnx")


def test_what_is_no_exported_graph_is_refused(small: bytes) -> None:
    for convert in (to_half, to_float):
        with pytest.raises(InputError, match=r"^x\.onnx: not a valid ONNX model"):
            convert(b"no graph", "x.onnx")
    with pytest.raises(InputError, match="nothing is left to compute with fewer bits"):
        to_half(small, float_convolutions=99)
    graph = onnx.load_from_string(small)
    graph.graph.node.append(onnx.helper.make_node("Identity", ["tiles"], ["unused"]))
    with pytest.raises(InputError, match="input is not cast or transposed by one node"):
        to_float(graph.SerializeToString())
