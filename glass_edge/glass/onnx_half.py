"""An exported graph with float16 arithmetic between float32 edges, typed in the graph itself.

Promises: input and output stay what they were (uint8 tiles, float32 logits); every tensor of the network proper
(`onnx_regions`) is float16, everything before and behind it float32, with explicit casts between, so that a runtime
with strongly typed networks computes just this; weights are rounded to nearest; what float16 cannot hold is refused.

What lies in float32, and why: the exposure's mean is a sum over a whole tile, and sums of squares of whitened features
leave float16's range (65504). The first convolutions do too: whitening enlarges what hardly varies, and with it the
rounding of what those features are made of. Measured on the demo's golden tiles (each node rounded once, sums in
float32), largest error of a logit with 0, 1, 2, 3, 5 and 8 convolutions in float32: 0.63, 0.75, 0.33, 0.19, 0.14 and
0.12 (demo), 0.91, 0.86, 0.48, 0.32, 0.20 and 0.16 (demo-greige); the head's convolutions in float32 change nothing.
A ResNet gains nothing so (WideResNet50 of the recorded vectors: 0.006 with none, 0.005 with 1, 3 or 6, of logits up to
1.3; ResNet18 with whitening: 0.26 and 0.24 of 374): only networks that begin with depthwise convolutions keep three.
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from glass_edge.errors import InputError
from glass_edge.glass.onnx_inputs import cast_first
from glass_edge.glass.onnx_regions import constant, has_depthwise_start, initializers, parse_graph, reducible_nodes

FLOAT_CONVOLUTIONS = 3
"""Convolutions of a Lite network's start that stay float32: the knee of what was measured."""
_LARGEST = float(np.finfo(np.float16).max)
_TYPELESS = frozenset({"Shape"})  # takes any type and says nothing of the values
_HALF = "_f16"
_FLOAT = "_f32"


def to_half(model: bytes, name: str = "model.onnx", *, float_convolutions: int | None = None) -> bytes:
    """The float16 form of an exported float32 graph.

    Args:
        model: graph of `export_onnx`.
        name: what errors call it.
        float_convolutions: convolutions from the start that stay float32; None: 3 of a network that begins with
            depthwise ones, 0 of another.

    Raises:
        InputError: no ONNX model, no network in it, or weights beyond float16's range.
    """
    graph = parse_graph(model, name)
    cast_first(graph, name)
    if float_convolutions is None:
        float_convolutions = FLOAT_CONVOLUTIONS if has_depthwise_start(graph) else 0
    half = set(reducible_nodes(graph, name, float_convolutions))
    constants = initializers(graph)
    made_half = {output for index in half for output in graph.graph.node[index].output}
    nodes: list[onnx.NodeProto] = []
    added: dict[str, onnx.TensorProto] = {}
    cast: set[str] = set()

    def as_half(tensor: str) -> str:
        """Name under which a half node finds `tensor`."""
        if not tensor or tensor in made_half:
            return tensor
        other = tensor + _HALF
        if tensor in constants:
            if constants[tensor].data_type != TensorProto.FLOAT:
                return tensor  # sizes and pads
            added.setdefault(other, _rounded(constants[tensor], other, name))
        elif other not in cast:
            cast.add(other)
            nodes.append(helper.make_node("Cast", [tensor], [other], name=other, to=TensorProto.FLOAT16))
        return other

    def as_float(tensor: str) -> str:
        """Name under which a float node finds `tensor`."""
        if tensor not in made_half:
            return tensor
        other = tensor + _FLOAT
        if other not in cast:
            cast.add(other)
            nodes.append(helper.make_node("Cast", [tensor], [other], name=other, to=TensorProto.FLOAT))
        return other

    for index, node in enumerate(graph.graph.node):
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        if index in half:
            copy.input[:] = [as_half(tensor) for tensor in node.input]
        elif node.op_type not in _TYPELESS:
            copy.input[:] = [as_float(tensor) for tensor in node.input]
        nodes.append(copy)
    used = {tensor for node in nodes for tensor in node.input}
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)
    kept = [one for one in graph.graph.initializer if one.name in used]
    del graph.graph.initializer[:]
    graph.graph.initializer.extend([*kept, *added.values()])
    onnx.checker.check_model(graph, full_check=True)
    return bytes(graph.SerializeToString(deterministic=True))


def _rounded(tensor: onnx.TensorProto, new_name: str, name: str) -> onnx.TensorProto:
    values = constant(tensor)
    largest = float(np.abs(values).max(initial=0.0))
    if not largest <= _LARGEST:  # a NaN too
        raise InputError(
            f"{name}: {tensor.name} holds {largest:.3g}, more than float16's {_LARGEST:.0f}; use precision f32"
        )
    return numpy_helper.from_array(values.astype(np.float16), new_name)
