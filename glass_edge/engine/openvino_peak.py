"""How near an engine comes to what the CPU can do: the work in its graph, and the fastest matrix product.

Promises: the work counts multiplications and additions of convolutions and matrix products alone (one of each is 2
operations); the peak is measured by the same runtime, in the same precision, with as many threads and streams, on
products whose operands stay in the caches. No time of the engine itself is taken here.
"""

from __future__ import annotations

import time
from math import prod
from typing import Any

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.openvino_model import DEVICE, Graph, compile_properties, core, read_graph, thread_plan

_SIDE = 512
_SHAPE = (1, _SIDE, 16, _SIDE // 16)  # a map of _SIDE positions: a 1 x 1 convolution of it is a square product
_PRODUCTS = 4
_ROUNDS = 5


def tile_operations(graph: Graph, tile: TileSpec) -> int:
    """Arithmetic operations of one tile: 2 for each multiplication and addition of convolutions and products.

    Raises:
        InputError: the graph cannot be read.
    """
    total = 0
    for operation in read_graph(graph, tile).get_ordered_ops():
        kind = operation.get_type_name()
        if kind not in ("Convolution", "GroupConvolution", "MatMul"):
            continue
        weight = list(operation.input(1).get_partial_shape().to_shape())
        out = list(operation.output(0).get_partial_shape().to_shape())
        if kind == "MatMul":
            inner = list(operation.input(0).get_partial_shape().to_shape())[-1]
        else:  # (out, in, k, k), or (groups, out, in, k, k): the inputs of one output value
            inner = prod(weight[2 if kind == "GroupConvolution" else 1 :])
        total += 2 * prod(out) * inner
    return total


def peak_operations_per_s(precision: str, settings: EngineSettings, seconds: float = 1.0) -> float:
    """The largest number of operations a second over rounds of square products, a chain of them in each stream.

    Args:
        precision: of the products.
        settings: threads and streams.
        seconds: time to spend.
    """
    properties = compile_properties(precision, settings)
    _, streams = thread_plan(settings)
    best = 0.0
    for as_convolution in (False, True):
        model = _products(is_int8=precision == "int8", as_convolution=as_convolution)
        compiled = core().compile_model(model, DEVICE, properties)
        best = max(best, _fastest([compiled.create_infer_request() for _ in range(streams)], seconds / 2))
    return best


def _fastest(requests: list[Any], seconds: float) -> float:
    values = np.random.default_rng(0).uniform(-1, 1, _SHAPE).astype(np.float32)
    for request in requests:
        request.set_input_tensor(ov.Tensor(values.reshape(list(request.get_input_tensor().shape)).copy()))
        request.infer()
    best = 0.0
    for _ in range(_ROUNDS):
        done = 0
        started = time.perf_counter()
        while time.perf_counter() - started < seconds / _ROUNDS:
            for request in requests:
                request.start_async()
            for request in requests:
                request.wait()
            done += len(requests)
        best = max(best, done * _PRODUCTS * 2 * float(_SIDE) ** 3 / (time.perf_counter() - started))
    return best


def _products(*, is_int8: bool, as_convolution: bool) -> Any:  # noqa: ANN401 - openvino has no type information
    """A chain of products, plain or written as 1 x 1 convolutions: which is faster depends on CPU and precision."""
    rng = np.random.default_rng(1)
    source = ops.parameter(list(_SHAPE) if as_convolution else [_SIDE, _SIDE], np.float32)
    values = source
    for _ in range(_PRODUCTS):
        square = rng.uniform(-1, 1, (_SIDE, _SIDE)).astype(np.float32) / np.float32(np.sqrt(_SIDE))
        weight = ops.constant(square[:, :, None, None] if as_convolution else square)
        if is_int8:
            values = _eight_bits(values, 256, 4.0)
            weight = _eight_bits(weight, 255, float(np.abs(square).max()))
        if as_convolution:
            values = ops.convolution(values, weight, [1, 1], [0, 0], [0, 0], [1, 1])
        else:
            values = ops.matmul(values, weight, transpose_a=False, transpose_b=False)
    return ov.Model([ops.result(values)], [source], "products")


def _eight_bits(node: Any, levels: int, limit: float) -> Any:  # noqa: ANN401
    low, high = (ops.constant(np.float32(value)) for value in (-limit, limit))
    return ops.fake_quantize(node, low, high, low, high, levels)
