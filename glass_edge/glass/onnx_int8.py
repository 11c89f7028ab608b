"""An exported graph with int8 convolutions, said by explicit QuantizeLinear and DequantizeLinear nodes.

Promises: symmetric (zero points are 0), one scale a tensor for activations and one an output channel for weights;
input and output stay what they were. The first convolutions, the last ones (the head's) and everything before and
behind them stay float32: whitened features and their squares need more bits than int8 has.

Ranges come from good tiles, run through the graph with OpenVINO. Measured on the demo's golden tiles with the graph's
own arithmetic: ranges cut at the 0.9999 or 0.999 quantile make the largest error of a logit two to ten times that of
ranges that reach the maximum, and gain at most a third in the mean; with 1, 3, 6 and 9 convolutions in float32 the mean
error is 4.1, 1.8, 0.20 and 0.05. Whitened Lite heads stay beyond the parity gate's tolerance so (largest error 10);
without whitening it is small (ResNet18, random weights: 4 % of the logits' spread). For TensorRT only: OpenVINO's own
run of such a graph is far from what the nodes say (0.09 instead of 0.004 there).
"""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import onnx
import openvino as ov
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from glass_edge.errors import InputError
from glass_edge.glass.onnx_inputs import cast_first
from glass_edge.glass.onnx_regions import (
    CONVOLUTION,
    constant,
    has_depthwise_start,
    initializers,
    parse_graph,
    reducible_nodes,
)

FLOAT_CONVOLUTIONS = 6
"""Convolutions of a Lite network's start that stay float32: from here on its mean error is below one logit."""
_LEVELS = 127  # -127 to 127: symmetric


def to_int8(
    model: bytes,
    tiles: NDArray[np.uint8],
    name: str = "model.onnx",
    *,
    float_convolutions: int | None = None,
    quantile: float = 1.0,
) -> bytes:
    """The int8 form of an exported float32 graph.

    Args:
        model: graph of `export_onnx`.
        tiles: good cloth, uint8 (n, height, width, channels) of the graph's tile.
        name: what errors call the graph.
        float_convolutions: convolutions from the start that stay float32; None: 6 of a network that begins with
            depthwise ones, 1 of another.
        quantile: of the magnitudes in each tile; the largest over the tiles is the range. 1: the maximum.

    Raises:
        InputError: no ONNX model, nothing to quantise in it, or tiles of another shape.
    """
    graph = parse_graph(model, name)
    cast_first(graph, name)
    if float_convolutions is None:
        float_convolutions = FLOAT_CONVOLUTIONS if has_depthwise_start(graph) else 1
    targets = _targets(graph, name, float_convolutions)
    sources = list(dict.fromkeys(graph.graph.node[index].input[0] for index in targets))
    ranges = dict(zip(sources, tensor_ranges(model, sources, tiles, quantile, name), strict=True))
    constants = initializers(graph)
    nodes: list[onnx.NodeProto] = []
    added = [numpy_helper.from_array(np.zeros((), np.int8), "int8_zero")]
    chosen = set(targets)
    for index, node in enumerate(graph.graph.node):
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        if index in chosen:
            source, weight = node.input[0], node.input[1]
            if source in ranges:
                scale = numpy_helper.from_array(_scale(ranges.pop(source)), f"{source}_scale")
                added.append(scale)
                nodes += _quantised(source, scale.name)
            values = constant(constants[weight]).astype(np.float32)
            if f"{weight}_int8" not in {one.name for one in added}:
                added += _integer_weights(values, weight)
                nodes.append(_dequantised_weights(weight))
            copy.input[0], copy.input[1] = f"{source}_dq", f"{weight}_dq"
        nodes.append(copy)
    used = {tensor for node in nodes for tensor in node.input}
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    kept = [one for one in graph.graph.initializer if one.name in used]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend([*kept, *added])
    onnx.checker.check_model(graph, full_check=True)
    return bytes(graph.SerializeToString(deterministic=True))


def tensor_ranges(
    model: bytes, tensors: Sequence[str], tiles: NDArray[np.uint8], quantile: float, name: str
) -> list[float]:
    """Largest magnitude of each tensor (or the quantile of it) over `tiles`.

    Raises:
        InputError: no tiles, or of another shape than the graph's.
    """
    core = ov.Core()
    graph = core.read_model(io.BytesIO(model))
    source = graph.inputs[0]
    if tiles.dtype != np.uint8 or not len(tiles) or not source.partial_shape.compatible(ov.PartialShape(tiles.shape)):
        raise InputError(
            f"{name}: calibration tiles are {tiles.dtype} {tiles.shape}; uint8 {source.partial_shape} is needed"
        )
    graph.reshape({source: ov.PartialShape([1, *tiles.shape[1:]])})
    outputs = [graph.add_outputs(tensor)[0] for tensor in tensors]
    compiled = core.compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    largest = np.zeros(len(tensors))
    ports = [compiled.output(output.any_name) for output in outputs]
    for tile in tiles:
        request.infer([tile[None]])
        for k, port in enumerate(ports):
            magnitudes = np.abs(request.get_tensor(port).data)
            value = magnitudes.max() if quantile >= 1 else np.quantile(magnitudes, quantile)
            largest[k] = max(largest[k], float(value))
    return [float(value) for value in largest]


def _targets(graph: onnx.ModelProto, name: str, float_convolutions: int) -> list[int]:
    """Positions of the convolutions to quantise: those that lead to another one."""
    inner = reducible_nodes(graph, name, float_convolutions)
    needed: set[str] = set()
    found = []
    for index in reversed(inner):
        node = graph.graph.node[index]
        leads_on = not needed.isdisjoint(node.output)
        if node.op_type == CONVOLUTION and leads_on:
            found.append(index)
        if node.op_type == CONVOLUTION or leads_on:
            needed.update(node.input)
    if not found:
        raise InputError(f"{name}: no convolution between the first and the last ones to quantise; use precision f32")
    return found[::-1]


def _scale(largest: float) -> NDArray[np.float32]:
    return np.asarray(max(largest, 1e-6) / _LEVELS, np.float32)


def _quantised(source: str, scale: str) -> list[onnx.NodeProto]:
    return [
        helper.make_node("QuantizeLinear", [source, scale, "int8_zero"], [f"{source}_q"], name=f"{source}_q"),
        helper.make_node(
            "DequantizeLinear", [f"{source}_q", scale, "int8_zero"], [f"{source}_dq"], name=f"{source}_dq"
        ),
    ]


def _integer_weights(values: NDArray[np.float32], weight: str) -> list[onnx.TensorProto]:
    """Integers, scales and zero points of weights (out, in, k, k), a scale an output channel."""
    largest = np.abs(values).reshape(len(values), -1).max(axis=1)
    scale = (np.where(largest > 0, largest, 1.0) / _LEVELS).astype(np.float32)
    integers = np.rint(values / scale[:, None, None, None]).astype(np.int8)
    return [
        numpy_helper.from_array(integers, f"{weight}_int8"),
        numpy_helper.from_array(scale, f"{weight}_scale"),
        numpy_helper.from_array(np.zeros(len(values), np.int8), f"{weight}_zero"),
    ]


def _dequantised_weights(weight: str) -> onnx.NodeProto:
    inputs = [f"{weight}_int8", f"{weight}_scale", f"{weight}_zero"]
    return helper.make_node("DequantizeLinear", inputs, [f"{weight}_dq"], name=f"{weight}_dq", axis=0)
