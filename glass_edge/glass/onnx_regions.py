"""Which nodes of an exported graph may be computed with fewer bits.

Promises: `reducible_nodes` holds the network proper (everything between the first convolution and the last that has
more than one output channel, both included); what levels the exposure and normalises before it, and the sum of squares
and the logit behind it, are never in it.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from glass_edge.errors import InputError

CONVOLUTION = "Conv"
_START = 3


def parse_graph(model: bytes, name: str) -> onnx.ModelProto:
    """An ONNX model from its bytes; the aliases that the exporter makes of equal constants are resolved.

    Raises:
        InputError: no ONNX model; the message begins with `name`.
    """
    try:
        graph = onnx.load_from_string(model)
        onnx.checker.check_model(graph)
    except Exception as error:  # protobuf and the checker share no base class but this one
        reason = str(error).strip().splitlines()
        raise InputError(f"{name}: not a valid ONNX model: {reason[0] if reason else type(error).__name__}") from error
    known = initializers(graph)
    alias = {
        node.output[0]: node.input[0]
        for node in graph.graph.node
        if node.op_type == "Identity" and node.input[0] in known
    }
    nodes = [node for node in graph.graph.node if node.output[0] not in alias]
    for node in nodes:
        node.input[:] = [alias.get(tensor, tensor) for tensor in node.input]
    kept = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del graph.graph.node[:]
    graph.graph.node.extend(kept)
    return graph


def initializers(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    """Constants by name."""
    return {one.name: one for one in model.graph.initializer}


def constant(tensor: onnx.TensorProto) -> NDArray[np.generic]:
    """A constant's values."""
    values: NDArray[np.generic] = numpy_helper.to_array(tensor)
    return values


def has_depthwise_start(model: onnx.ModelProto) -> bool:
    """True when one of the first three convolutions is depthwise, as in the Lite networks and in no ResNet."""
    convolutions = [node for node in model.graph.node if node.op_type == CONVOLUTION][:_START]
    groups = [one.i for node in convolutions for one in node.attribute if one.name == "group"]
    return any(group > 1 for group in groups)


def reducible_nodes(model: onnx.ModelProto, name: str, float_convolutions: int = 0) -> list[int]:
    """Positions in `model.graph.node`, in the graph's order, of the network proper.

    Args:
        model: with its nodes in the order of computation.
        name: what errors call it.
        float_convolutions: convolutions left out at the start, and what leads to them.

    Raises:
        InputError: the graph has no more convolutions with more than one output channel than are left out.
    """
    nodes = list(model.graph.node)
    constants = initializers(model)
    wide = {
        index
        for index, node in enumerate(nodes)
        if node.op_type == CONVOLUTION and node.input[1] in constants and constants[node.input[1]].dims[0] > 1
    }
    if len(wide) <= float_convolutions:
        raise InputError(
            f"{name}: {len(wide)} convolutions, of which {float_convolutions} stay float32: nothing is left to compute "
            "with fewer bits; use precision f32"
        )
    first = sorted(wide)[float_convolutions]
    behind: set[str] = set()  # tensors a convolution leads to
    after = set()
    for index, node in enumerate(nodes):
        if index in wide or not behind.isdisjoint(node.input):
            behind.update(node.output)
            after.add(index)
    needed: set[str] = set()  # tensors that lead to a wide convolution
    before = set()
    for index in range(len(nodes) - 1, -1, -1):
        if index in wide or not needed.isdisjoint(nodes[index].output):
            needed.update(nodes[index].input)
            before.add(index)
    return sorted(index for index in after & before if index >= first)
