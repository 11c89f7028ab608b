"""Post-training quantisation of an ONNX graph for the CPU, with NNCF.

Promises: activations get the ranges they have on the given tiles, weights a scale a channel; what follows the last
convolution that mixes features (squares, activation, the sum that is the logit) stays in f32, for its values span more
than 8 bits do, and so do the first convolutions, where asked. Whether the result is good enough is the parity gate's to
say: whitened features, whose smallest directions are far below a step of 8 bits, never are.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from numpy.typing import NDArray

from glass_edge.engine.manifest import INT8_NAME, INT8_WEIGHTS_NAME, TileSpec
from glass_edge.engine.openvino_model import Graph, read_graph
from glass_edge.errors import GlassEdgeError, InputError, MissingExtraError

EXTRA = "int8"
_HEAD = "/head/"
_NORMALISE = "/normalise/"
_LAST = ("/head/output/", "/head/square/")


FLOAT_CONVOLUTIONS = (0, 3, 6, 9)
"""How many of the first convolutions to leave in f32, to be tried in turn. Rounding near the input reaches everything
behind it, while depthwise convolutions at the start gain little speed."""


def quantise(graph: Graph, tile: TileSpec, tiles: NDArray[np.uint8], float_convolutions: int = 0) -> Graph:
    """The graph with 8-bit convolutions.

    Args:
        graph: ONNX as `glass.export` makes it.
        tile: its tiles.
        tiles: uint8 (n, height, width, channels) of good cloth; some dozens.
        float_convolutions: of the first convolutions that stay in f32.

    Returns:
        OpenVINO's own format.

    Raises:
        InputError: no tiles, or the graph cannot be read. MissingExtraError: NNCF is not installed. GlassEdgeError: it
            fails.
    """
    if not len(tiles):
        raise InputError(f"{graph.name}: no tiles to take ranges of activations from")
    nncf = _nncf()
    model = read_graph(graph, tile)
    try:
        with contextlib.redirect_stdout(sys.stderr):  # its progress is no result
            quantised = nncf.quantize(
                model,
                nncf.Dataset([one[None] for one in tiles]),
                subset_size=len(tiles),
                ignored_scope=nncf.IgnoredScope(names=_kept(model, float_convolutions), validate=False),
            )
    except (RuntimeError, ValueError, nncf.ValidationError) as error:
        raise GlassEdgeError(f"{graph.name}: NNCF cannot quantise it: {error}") from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, INT8_NAME)
        ov.save_model(quantised, path, compress_to_fp16=False)
        return Graph(path.read_bytes(), path.with_name(INT8_WEIGHTS_NAME).read_bytes(), INT8_NAME)


def _kept(model: Any, float_convolutions: int) -> list[str]:  # noqa: ANN401 - openvino has no type information
    """Operations that stay in f32: normalisation, the first convolutions, and in the head all arithmetic but
    convolutions that mix features.
    """
    kept: list[str] = []
    convolutions = 0
    for operation in model.get_ordered_ops():
        name, kind = operation.get_friendly_name(), operation.get_type_name()
        if kind in ("Constant", "Parameter", "Result"):
            continue
        is_convolution = kind in ("Convolution", "GroupConvolution")
        convolutions += is_convolution
        is_first = is_convolution and convolutions <= float_convolutions
        is_behind = name.startswith(_HEAD) and not is_convolution
        if is_first or is_behind or name.startswith((_NORMALISE, *_LAST)):
            kept.append(name)
    return kept


def _nncf() -> Any:  # noqa: ANN401 - the module
    os.environ.setdefault("NNCF_DISABLE_TELEMETRY", "1")  # a box beside a loom calls nobody
    try:
        import nncf  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtraError(EXTRA, "--precision int8") from error
    nncf.set_log_level(logging.ERROR)
    return nncf
