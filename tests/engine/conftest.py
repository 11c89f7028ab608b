"""A small real network for the engine tests, in ONNX and, independently, in OpenCV."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from glass_edge.engine.bundle import Bundle
from glass_edge.engine.bundle_writer import write_bundle
from glass_edge.engine.golden import GoldenSet
from glass_edge.engine.manifest import GOLDEN_NAME, MODEL_NAME, Manifest, ThresholdSpec, TileSpec

MEAN, SCALE = 127.0, 1 / 128
HIDDEN = 8


def weights() -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    rng = np.random.default_rng(5)
    first = rng.normal(0, 0.4, (HIDDEN, 3, 3, 3)).astype(np.float32)
    second = rng.normal(0, 0.4, (1, HIDDEN, 3, 3)).astype(np.float32)
    return first, rng.normal(0, 0.1, HIDDEN).astype(np.float32), second


def build_onnx(height: int | str, width: int | str, last_weight: NDArray[np.float32] | None = None) -> bytes:
    """uint8 (n, height, width, 3) to float32 logits (n, height / 4, width / 4)."""
    first, bias, second = weights()
    second = second if last_weight is None else last_weight
    grid = [size // 4 if isinstance(size, int) else None for size in (height, width)]
    constants = {
        "mean": np.float32(MEAN).reshape(1),
        "scale": np.float32(SCALE).reshape(1),
        "first": first,
        "bias": bias,
        "second": second,
        "axis": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["tiles"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["real"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["planes", "mean"], ["centred"]),
        helper.make_node("Mul", ["centred", "scale"], ["normal"]),
        helper.make_node("Conv", ["normal", "first", "bias"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("LeakyRelu", ["a"], ["b"], alpha=0.2),
        helper.make_node("Conv", ["b", "second"], ["c"], strides=[2, 2], pads=[1, 1, 1, 1]),
        helper.make_node("Squeeze", ["c", "axis"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["n", height, width, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", *grid])],
        [numpy_helper.from_array(np.ascontiguousarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def score_with_opencv(tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The same network without ONNX and OpenVINO: cv2 correlations in float64, zero border, every second sample."""
    first, bias, second = weights()

    def conv(planes: list[NDArray[np.float64]], kernels: NDArray[np.float32], offset: float) -> NDArray[np.float64]:
        total = sum(
            cv2.filter2D(plane, cv2.CV_64F, kernel.astype(np.float64), borderType=cv2.BORDER_CONSTANT)
            for plane, kernel in zip(planes, kernels, strict=True)
        )
        return np.asarray(total)[::2, ::2] + offset

    maps = []
    for tile in tiles:
        planes = [(tile[:, :, c].astype(np.float64) - MEAN) * SCALE for c in range(3)]
        hidden = [conv(planes, first[k], float(bias[k])) for k in range(HIDDEN)]
        hidden = [np.where(plane > 0, plane, 0.2 * plane) for plane in hidden]
        maps.append(conv(hidden, second[0], 0.0))
    return np.stack(maps).astype(np.float32)


@pytest.fixture(scope="session")
def tile() -> TileSpec:
    return TileSpec(height_px=48, width_px=96, channels=3, halo_px=16, score_stride_px=4, max_halo_error=0.0)


@pytest.fixture(scope="session")
def model(tile: TileSpec) -> bytes:
    return build_onnx(tile.height_px, tile.width_px)


@pytest.fixture(scope="session")
def onnx_builder() -> Callable[..., bytes]:
    return build_onnx


@pytest.fixture(scope="session")
def truth() -> Callable[[NDArray[np.uint8]], NDArray[np.float32]]:
    return score_with_opencv


@pytest.fixture(scope="session")
def tiles(tile: TileSpec) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, (11, tile.height_px, tile.width_px, 3), dtype=np.uint8)


@pytest.fixture(scope="session")
def golden(tiles: NDArray[np.uint8]) -> GoldenSet:
    return GoldenSet(tiles=tiles[:5], maps=score_with_opencv(tiles[:5]))


@pytest.fixture(scope="session")
def manifest(tile: TileSpec) -> Manifest:
    return Manifest(
        format_version=1,
        style="twill",
        version="1",
        created_utc="2025-01-01T00:00:00Z",
        glass_edge_version="0",
        backbone="small",
        levels=(4,),
        method="glass",
        tile=tile,
        mm_per_px=0.2,
        smoothing_sigma_px=4.0,
        threshold=ThresholdSpec(logit=1.0, method="by hand", quantile=1.0, n_blocks=0, good_cloth_lines=0),
        training_data_sha256="0" * 64,
        metrics={"pixel_auroc": 0.9},
        parity=(),
        files={},
    )


@pytest.fixture
def bundle(tmp_path: Path, manifest: Manifest, model: bytes, golden: GoldenSet) -> Bundle:
    return write_bundle(tmp_path / "engines", manifest, {MODEL_NAME: model, GOLDEN_NAME: golden.to_bytes()})
