"""The int8 graph: symmetric, per channel, ranges from the tiles, near the float32 one."""

from __future__ import annotations

import io

import numpy as np
import onnx
import openvino as ov
import pytest
import torch
from graph_emulator import emulate
from model_recipes import filled_model, make_recipe, random_tiles
from onnx import numpy_helper

from glass_edge.errors import InputError
from glass_edge.glass.export import export_onnx
from glass_edge.glass.fusion import FusedModel
from glass_edge.glass.onnx_int8 import tensor_ranges, to_int8

TILE = {"height_px": 64, "width_px": 112, "channels": 1, "exposure": "camera"}
RECIPE = make_recipe(
    "resnet18", (8, 16), model={"hidden": 32, "whiten": False, "prior": "none", "width": 64}, tile=TILE
)


@pytest.fixture(scope="module")
def model() -> bytes:
    filled = filled_model(RECIPE)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, tensor in filled.backbone.body.state_dict().items():
            if name.endswith("bn2.weight"):  # zero in a new network: no residual would have any weight
                tensor.uniform_(0.2, 0.6, generator=generator)
    return export_onnx(FusedModel(filled), RECIPE.tile)


@pytest.fixture(scope="module")
def tiles() -> np.ndarray:
    return random_tiles(4, RECIPE, seed=8)


def logits(model: bytes, tiles: np.ndarray) -> np.ndarray:
    compiled = ov.Core().compile_model(
        ov.Core().read_model(io.BytesIO(model)), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
    )
    return np.concatenate([compiled([tile[None]])[0].copy() for tile in tiles])


def test_int8_is_near_float32(model: bytes, tiles: np.ndarray) -> None:
    expected = logits(model, tiles)
    found = emulate(to_int8(model, tiles, float_convolutions=0), tiles)
    assert not np.array_equal(found, expected)
    assert np.abs(found - expected).mean() < 0.1 * expected.std()
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] > 0.999


def test_scales_are_symmetric_and_a_scale_a_channel(model: bytes, tiles: np.ndarray) -> None:
    graph = onnx.load_from_string(to_int8(model, tiles)).graph
    constants = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    original = {one.name: numpy_helper.to_array(one) for one in onnx.load_from_string(model).graph.initializer}
    dequantised = [node for node in graph.node if node.op_type == "DequantizeLinear"]
    assert dequantised
    for node in dequantised:
        integers, scale, zero = node.input
        assert not constants[zero].any()
        assert constants[zero].dtype == np.int8
        if integers in constants:  # weights
            name = integers.removesuffix("_int8")
            assert constants[scale].shape == (len(original[name]),)
            assert np.abs(constants[integers].astype(int)).max() == 127
            back = constants[integers] * constants[scale][:, None, None, None]
            assert (np.abs(back - original[name]) <= 0.501 * constants[scale][:, None, None, None]).all()
            assert name not in constants  # the float weights are gone
        else:
            assert constants[scale].shape == ()


def test_first_and_last_convolutions_stay_float(model: bytes, tiles: np.ndarray) -> None:
    nodes = onnx.load_from_string(to_int8(model, tiles)).graph.node
    convolutions = [node for node in nodes if node.op_type == "Conv"]
    is_int8 = [node.input[1].endswith("_dq") for node in convolutions]
    assert not is_int8[0]
    assert all(is_int8[1 : is_int8.index(False, 1)])
    assert not any(flag for node, flag in zip(convolutions, is_int8, strict=True) if "mix" in node.name)
    assert not is_int8[-1]
    quantised = [node.input[0] for node in nodes if node.op_type == "QuantizeLinear"]
    assert len(quantised) == len(set(quantised))  # a shared input is quantised once
    every = onnx.load_from_string(to_int8(model, tiles, float_convolutions=0)).graph.node
    assert sum(node.op_type == "Conv" and node.input[1].endswith("_dq") for node in every) == sum(is_int8) + 1


def test_a_lite_network_keeps_more_of_its_start(model: bytes) -> None:
    recipe = make_recipe(levels=(4, 8), model={"hidden": 0, "prior": "whitened", "shrinkage": 0.1}, tile=TILE)
    lite = export_onnx(FusedModel(filled_model(recipe)), recipe.tile)
    nodes = onnx.load_from_string(to_int8(lite, random_tiles(2, recipe))).graph.node
    is_int8 = [node.input[1].endswith("_dq") for node in nodes if node.op_type == "Conv"]
    assert is_int8[:7] == [False] * 6 + [True]


def test_ranges_are_those_of_the_tensors(model: bytes, tiles: np.ndarray) -> None:
    stem = next(node for node in onnx.load_from_string(model).graph.node if node.op_type == "Conv").input[0]
    (found,) = tensor_ranges(model, [stem], tiles, 1.0, "model.onnx")
    normalised = (tiles.astype(np.float64) / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    assert found == pytest.approx(np.abs(normalised).max(), rel=1e-5)
    (lower,) = tensor_ranges(model, [stem], tiles, 0.5, "model.onnx")
    assert lower < found


def test_wrong_tiles_are_refused(model: bytes, tiles: np.ndarray) -> None:
    for wrong in (tiles[:0], tiles[:, :32], tiles.astype(np.float32)):
        with pytest.raises(InputError, match="calibration tiles are"):
            to_int8(model, wrong)
    with pytest.raises(InputError, match="use precision f32"):
        to_int8(model, tiles, float_convolutions=17)
