"""What TensorRT wants at the input of a graph.

Promises: the graph computes what it computed; its uint8 input meets a Cast first. TensorRT takes uint8 only as the
type of an input and moves no uint8 pixels about (seen with tensorrt-rtx 1.7: a Transpose of uint8 is an invalid node),
OpenVINO is served by the other order, which moves a quarter of the bytes.
"""

from __future__ import annotations

import onnx

from glass_edge.errors import InputError
from glass_edge.glass.onnx_regions import parse_graph


def to_float(model: bytes, name: str = "model.onnx") -> bytes:
    """The float32 form for TensorRT of an exported graph.

    Raises:
        InputError: no ONNX model, or its input is not used as an exported graph uses it.
    """
    graph = parse_graph(model, name)
    cast_first(graph, name)
    onnx.checker.check_model(graph, full_check=True)
    return bytes(graph.SerializeToString(deterministic=True))


def cast_first(model: onnx.ModelProto, name: str) -> None:
    """Let the Cast precede the Transpose of the input, in place.

    Raises:
        InputError: the input is used in another way.
    """
    source = model.graph.input[0].name
    users = _users(model, source)
    if len(users) == 1 and users[0].op_type == "Cast":
        return
    if len(users) == 1 and users[0].op_type == "Transpose":
        transpose = users[0]
        casts = _users(model, transpose.output[0])
        if len(casts) == 1 and casts[0].op_type == "Cast":
            cast = casts[0]
            moved, result = transpose.output[0], cast.output[0]
            first, second = onnx.NodeProto(), onnx.NodeProto()
            first.CopyFrom(cast)
            second.CopyFrom(transpose)
            first.input[0], first.output[0] = source, moved
            second.input[0], second.output[0] = moved, result
            transpose.CopyFrom(first)
            cast.CopyFrom(second)
            return
    raise InputError(f"{name}: the input is not cast or transposed by one node; export the graph again")


def _users(model: onnx.ModelProto, tensor: str) -> list[onnx.NodeProto]:
    return [node for node in model.graph.node if tensor in node.input]
