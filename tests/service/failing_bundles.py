"""Bundles that pass every test and fail on cloth: real graphs whose engine fails on tiles with a mark."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper
from station_support import HALO, STRIDE, brightness_scores

from glass_edge.engine.bundle import Bundle
from glass_edge.engine.bundle_writer import write_bundle
from glass_edge.engine.golden import GoldenSet
from glass_edge.engine.manifest import GOLDEN_NAME, MODEL_NAME, Manifest, ThresholdSpec, TileSpec

Failure = Literal["nan", "crash", "hang"]
Mark = Literal["white", "hole"]
"""A pixel of 255, or one of 1 to 24, as in the simulated loom's holes alone."""
WHITE, DARK = 255, 25
TILE = (64, 96)


def failing_model(failure: Failure, mark: Mark) -> bytes:
    """ONNX: the scores of `station_support.brightness_model` on tiles without the mark; otherwise NaN everywhere (nan),
    a read far outside of a table, which ends the process (crash), or a loop of 1e12 turns (hang).
    """
    height, width = TILE
    constants: dict[str, NDArray[np.generic]] = {
        "grey": np.array([128], np.float32),
        "weights": np.full((1, 1, STRIDE, STRIDE), 1 / STRIDE**2, np.float32),
        "gain": np.array([0.1], np.float32),
        "offset": np.array([5.0], np.float32),
        "axis": np.array([1], np.int64),
        "limit": np.array(WHITE - 1 if mark == "white" else DARK, np.float32),
        "nothing": np.array(0, np.float32),
        "one": np.array(1, np.float32),
        "all_axes": np.array([1, 1, 1, 1], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["tiles"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["real"], ["planes"], perm=[0, 3, 1, 2]),
        *(
            (
                helper.make_node("ReduceMax", ["planes"], ["brightest"], axes=[1, 2, 3], keepdims=1),
                helper.make_node("Sub", ["brightest", "limit"], ["beyond"]),
            )
            if mark == "white"
            else (
                helper.make_node("ReduceMin", ["planes"], ["darkest"], axes=[1, 2, 3], keepdims=1),
                helper.make_node("Sub", ["limit", "darkest"], ["below"]),
                helper.make_node("Min", ["darkest", "one"], ["is_cloth"]),  # 0 of the blank tiles that warm an engine
                helper.make_node("Mul", ["below", "is_cloth"], ["beyond"]),
            )
        ),
        helper.make_node("Max", ["beyond", "nothing"], ["flag"]),  # 1 or more with the mark, else 0
        *_failing_nodes(failure, constants),  # from `flag` to `extra`, which is 0 where it returns a number
        helper.make_node("Sub", ["planes", "grey"], ["centred"]),
        helper.make_node("Conv", ["centred", "weights"], ["mean"], strides=[STRIDE, STRIDE]),
        helper.make_node("Abs", ["mean"], ["distance"]),
        helper.make_node("Mul", ["distance", "gain"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "offset"], ["map"]),
        helper.make_node("Add", ["map", "extra"], ["failing"]),
        helper.make_node("Squeeze", ["failing", "axis"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        failure,
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["n", height, width, 1])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", height // STRIDE, width // STRIDE])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _failing_nodes(failure: Failure, constants: dict[str, NDArray[np.generic]]) -> list[NodeProto]:
    if failure == "nan":
        constants["half"] = np.array(0.5, np.float32)
        return [
            helper.make_node("Sub", ["half", "flag"], ["left"]),
            helper.make_node("Log", ["left"], ["logarithm"]),
            helper.make_node("Mul", ["logarithm", "nothing"], ["extra"]),
        ]
    if failure == "crash":
        constants |= {
            "far": np.array(1 << 30, np.int64),
            "one_index": np.array([1, 1], np.int64),
            "table": np.zeros((4, 1024), np.float32),
        }
        return [
            helper.make_node("Cast", ["flag"], ["whole"], to=TensorProto.INT64),
            helper.make_node("Mul", ["whole", "far"], ["place"]),
            helper.make_node("Reshape", ["place", "one_index"], ["index"]),
            helper.make_node("GatherND", ["table", "index"], ["row"]),
            helper.make_node("ReduceMean", ["row"], ["value"], keepdims=0),
            helper.make_node("Reshape", ["value", "all_axes"], ["extra"]),
        ]
    constants |= {
        "many": np.array(1e12, np.float32),
        "scalar": np.array([], np.int64),
        "go_on": np.array(True),
        "begin": np.array([0], np.float32),
    }
    body = helper.make_graph(
        [helper.make_node("Identity", ["on"], ["on_out"]), helper.make_node("Add", ["x", "step"], ["x_out"])],
        "turn",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, []),
            helper.make_tensor_value_info("on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1]),
        ],
        [
            helper.make_tensor_value_info("on_out", TensorProto.BOOL, []),
            helper.make_tensor_value_info("x_out", TensorProto.FLOAT, [1]),
        ],
        [numpy_helper.from_array(np.array([0.0], np.float32), "step")],
    )
    return [
        helper.make_node("Mul", ["flag", "many"], ["turns"]),
        helper.make_node("Cast", ["turns"], ["whole"], to=TensorProto.INT64),
        helper.make_node("Reshape", ["whole", "scalar"], ["trips"]),
        helper.make_node("Loop", ["trips", "go_on", "begin"], ["looped"], body=body),
        helper.make_node("Reshape", ["looped", "all_axes"], ["extra"]),
    ]


def make_failing_bundle(
    root: Path, failure: Failure, *, version: str, mark: Mark = "white", golden_has_mark: bool = False
) -> Bundle:
    """A bundle as `station_support.make_bundle` makes them, that passes the parity gate where its golden tiles have no
    mark.
    """
    height, width = TILE
    tiles = np.random.default_rng(2).integers(DARK, WHITE, (3, height, width, 1), dtype=np.uint8)
    if golden_has_mark:
        tiles[0, 0, 0] = WHITE if mark == "white" else DARK - 1
    tile = TileSpec(
        height_px=height, width_px=width, channels=1, halo_px=HALO, score_stride_px=STRIDE, max_halo_error=0.0
    )
    manifest = Manifest(
        format_version=1,
        style="plain",
        version=version,
        created_utc="2025-01-01T00:00:00Z",
        glass_edge_version="0",
        backbone="brightness",
        levels=(4,),
        method="glass",
        tile=tile,
        mm_per_px=0.5,
        smoothing_sigma_px=0.0,
        threshold=ThresholdSpec(logit=0.0, method="by hand", quantile=1.0, n_blocks=0, good_cloth_lines=0),
        training_data_sha256="0" * 64,
        metrics={},
        parity=(),
        files={},
    )
    golden = GoldenSet(tiles=tiles, maps=brightness_scores(tiles))
    return write_bundle(root, manifest, {MODEL_NAME: failing_model(failure, mark), GOLDEN_NAME: golden.to_bytes()})
