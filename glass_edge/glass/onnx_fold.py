"""Folding the arithmetic on constants that tracing leaves in a graph.

Promises: the graph computes what it computed; sizes and pads that were worked out from constants are constants
afterwards (runtimes that want constant pads refuse anything else); weights are not touched.
"""

from __future__ import annotations

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

_FOLDABLE = frozenset({"Cast", "Concat", "ConstantOfShape", "Reshape", "Slice", "Transpose"})
_LARGEST = 64  # entries; sizes and pads are small, weights are not


def fold_constants(model: onnx.ModelProto) -> None:
    """Evaluate, in place, every foldable node all of whose inputs are small constants."""
    known: dict[str, NDArray[np.generic]] = {}
    kept: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type == "Constant":
            value = numpy_helper.to_array(node.attribute[0].t)
            if value.size <= _LARGEST:
                known[node.output[0]] = value
                continue
        elif node.op_type in _FOLDABLE and all(name in known for name in node.input):
            known |= _evaluate(node, known, model.opset_import)
            continue
        kept.append(node)
    used = {name for node in kept for name in node.input} | {value.name for value in model.graph.output}
    del model.graph.node[:]
    model.graph.node.extend(kept)
    model.graph.initializer.extend(
        numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in known.items() if name in used
    )


def _evaluate(
    node: onnx.NodeProto, known: dict[str, NDArray[np.generic]], opsets: object
) -> dict[str, NDArray[np.generic]]:
    inputs = {name: known[name] for name in node.input}
    graph = helper.make_graph(
        [node],
        "constant",
        [
            helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
            for name, value in inputs.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in node.output],
    )
    single = helper.make_model(graph, opset_imports=list(opsets))  # type: ignore[call-overload]
    return dict(zip(node.output, ReferenceEvaluator(single).run(None, inputs), strict=True))
