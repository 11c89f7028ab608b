"""One ONNX graph of a model: uint8 tiles in, logits out.

Promises: input `tiles`, uint8 (n, height, width, channels), n free, the other sides fixed; output `logits`, float32 (n,
rows, columns); opset 17; no node but the standard operator set; pads are constants; the same checkpoint gives the same
bytes; nothing in the file tells where it was made.
"""

from __future__ import annotations

import io
import warnings

import onnx
import torch

from glass_edge.config.recipe_tile import RecipeTileSettings
from glass_edge.errors import GlassEdgeError
from glass_edge.glass.fusion import FusedModel
from glass_edge.glass.onnx_fold import fold_constants

OPSET = 17
INPUT_NAME = "tiles"
OUTPUT_NAME = "logits"
_IR_VERSION = 8


def export_onnx(fused: FusedModel, tile: RecipeTileSettings) -> bytes:
    """The graph of `fused` for one tile shape.

    Raises:
        GlassEdgeError: the graph is not valid ONNX, or not of the promised form.
    """
    example = torch.zeros(2, tile.height_px, tile.width_px, tile.channels, dtype=torch.uint8)
    stream = io.BytesIO()
    with torch.inference_mode():
        grid = tuple(fused(example).shape[1:])
        with warnings.catch_warnings():
            # The tracer warns of Python integers taken from shapes: a graph has one tile shape, so they are constants.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                fused,
                (example,),
                stream,  # type: ignore[arg-type] # the tracing exporter writes to streams
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT_NAME],
                output_names=[OUTPUT_NAME],
                dynamic_axes={INPUT_NAME: {0: "n"}, OUTPUT_NAME: {0: "n"}},
                do_constant_folding=True,
            )
    graph = onnx.load_from_string(stream.getvalue())
    fold_constants(graph)
    _tidy(graph, grid)
    try:
        onnx.checker.check_model(graph, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise GlassEdgeError(f"the exported graph is not valid ONNX: {error}") from error
    foreign = {node.op_type for node in graph.graph.node if node.domain not in ("", "ai.onnx")}
    if foreign:
        raise GlassEdgeError(f"the exported graph holds operators outside the standard set: {sorted(foreign)}")
    return bytes(graph.SerializeToString(deterministic=True))


def _tidy(model: onnx.ModelProto, grid: tuple[int, ...]) -> None:
    """Fixed sizes of the output, and nothing that depends on the exporting machine."""
    model.ir_version = _IR_VERSION
    model.producer_name = "glass-edge"
    model.producer_version = ""
    model.doc_string = ""
    model.graph.name = "glass"
    del model.metadata_props[:]
    sizes = model.graph.output[0].type.tensor_type.shape.dim
    for dimension, size in zip(list(sizes)[1:], grid, strict=True):
        dimension.Clear()
        dimension.dim_value = size
    for node in model.graph.node:
        node.doc_string = ""
    del model.graph.value_info[:]
