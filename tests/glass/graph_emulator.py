"""A graph with float16 tensors, computed as a GPU computes it: sums in float32, each node's result rounded once.

ONNX's own reference evaluator sums a float16 convolution in float16 and resizes point by point; both are replaced.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from torch.nn import functional as F


def _tensor(values: NDArray[Any]) -> torch.Tensor:
    return torch.from_numpy(np.array(values, np.float32))


class Conv(OpRun):
    """Convolution with float32 sums."""

    def _run(self, x: Any, w: Any, b: Any = None, **values: Any) -> tuple[NDArray[Any]]:  # noqa: ANN401
        pads = values.get("pads") or [0, 0, 0, 0]
        assert pads[:2] == pads[2:]
        bias = None if b is None else _tensor(b)
        strides = tuple(values.get("strides") or (1, 1))
        result = F.conv2d(_tensor(x), _tensor(w), bias, strides, tuple(pads[:2]), groups=values.get("group") or 1)
        return (result.numpy().astype(x.dtype),)


class Resize(OpRun):
    """Bilinear resizing with half pixel centres."""

    def _run(self, x: Any, *inputs: Any, **values: Any) -> tuple[NDArray[Any]]:  # noqa: ANN401
        assert values["mode"] == "linear"
        assert values["coordinate_transformation_mode"] == "half_pixel"
        size = tuple(int(one) for one in inputs[-1][2:])
        return (F.interpolate(_tensor(x), size=size, mode="bilinear", align_corners=False).numpy().astype(x.dtype),)


class QuantizeLinear(OpRun):
    """Nearest integer, half to even, cut off at the ends; one scale a tensor."""

    def _run(self, x: Any, scale: Any, zero: Any, **values: Any) -> tuple[NDArray[Any]]:  # noqa: ANN401
        return (np.clip(np.rint(x / scale), -128, 127).astype(zero.dtype),)


class DequantizeLinear(OpRun):
    """Integers times their scale, one or one for each entry of the first axis."""

    def _run(self, x: Any, scale: Any, zero: Any, **values: Any) -> tuple[NDArray[Any]]:  # noqa: ANN401
        assert not zero.any()
        return ((x * scale.reshape(-1, *[1] * (x.ndim - 1) if scale.ndim else [])).astype(scale.dtype),)


def emulate(model: bytes, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Logits of `tiles`."""
    session = ReferenceEvaluator(onnx.load_from_string(model), new_ops=[Conv, Resize, QuantizeLinear, DequantizeLinear])
    maps: list[NDArray[np.float32]] = [session.run(None, {"tiles": tile[None]})[0] for tile in tiles]
    return np.concatenate(maps)
