"""What the tests of a whole station share: a real bundle that is cheap to run, strips with known spots, processes."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from glass_edge.engine.bundle import Bundle
from glass_edge.engine.bundle_writer import write_bundle
from glass_edge.engine.golden import GoldenSet
from glass_edge.engine.manifest import GOLDEN_NAME, MODEL_NAME, Manifest, ThresholdSpec, TileSpec

Pixels = NDArray[np.uint8]
HALO, STRIDE = 16, 4
GREY = 128
GAIN, OFFSET = 0.1, 5.0


def brightness_model(height: int, width: int, channels: int) -> bytes:
    """ONNX: logit = 0.1 |mean grey of a 4 x 4 cell - 128| - 5: alarms on what differs by more than 50 grey values."""
    weights = np.full((1, channels, STRIDE, STRIDE), 1 / (channels * STRIDE**2), np.float32)
    constants = {
        "grey": np.float32(GREY).reshape(1),
        "weights": weights,
        "gain": np.float32(GAIN).reshape(1),
        "offset": np.float32(OFFSET).reshape(1),
        "axis": np.array([1], np.int64),
    }
    nodes = [
        helper.make_node("Cast", ["tiles"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["real"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Sub", ["planes", "grey"], ["centred"]),
        helper.make_node("Conv", ["centred", "weights"], ["mean"], strides=[STRIDE, STRIDE]),
        helper.make_node("Abs", ["mean"], ["distance"]),
        helper.make_node("Mul", ["distance", "gain"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "offset"], ["map"]),
        helper.make_node("Squeeze", ["map", "axis"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "brightness",
        [helper.make_tensor_value_info("tiles", TensorProto.UINT8, ["n", height, width, channels])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", height // STRIDE, width // STRIDE])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def brightness_scores(tiles: Pixels) -> NDArray[np.float32]:
    """The same without ONNX."""
    n, height, width, _ = tiles.shape
    grey = tiles.astype(np.float64).mean(axis=3).reshape(n, height // STRIDE, STRIDE, width // STRIDE, STRIDE)
    return (GAIN * np.abs(grey.mean(axis=(2, 4)) - GREY) - OFFSET).astype(np.float32)


def make_bundle(
    root: Path,
    *,
    style: str = "plain",
    tile: tuple[int, int] = (64, 96),
    model_tile: tuple[int, int] | None = None,
    channels: int = 1,
    mm_per_px: float | None = 0.5,
    threshold_logit: float = 0.0,
    version: str = "1",
    golden_shift: float = 0.0,
) -> Bundle:
    """A sound bundle `root/<style>/<version>` (with `model_tile`, one whose graph takes other tiles than its manifest
    says; with `golden_shift`, one whose model says otherwise than its golden maps).
    """
    height, width = tile
    tiles = np.random.default_rng(2).integers(0, 256, (3, height, width, channels), dtype=np.uint8)
    manifest = Manifest(
        format_version=1,
        style=style,
        version=version,
        created_utc="2025-01-01T00:00:00Z",
        glass_edge_version="0",
        backbone="brightness",
        levels=(4,),
        method="glass",
        tile=TileSpec(
            height_px=height,
            width_px=width,
            channels=channels,
            halo_px=HALO,
            score_stride_px=STRIDE,
            max_halo_error=0.0,
        ),
        mm_per_px=mm_per_px,
        smoothing_sigma_px=0.0,
        threshold=ThresholdSpec(logit=threshold_logit, method="by hand", quantile=1.0, n_blocks=0, good_cloth_lines=0),
        training_data_sha256="0" * 64,
        metrics={},
        parity=(),
        files={},
    )
    model = brightness_model(*(model_tile or tile), channels)
    golden = GoldenSet(tiles=tiles, maps=brightness_scores(tiles) + np.float32(golden_shift))
    return write_bundle(root, manifest, {MODEL_NAME: model, GOLDEN_NAME: golden.to_bytes()})


def cloth(n_lines: int, width: int = 200, seed: int = 0) -> Pixels:
    """Good cloth: grey with a little noise."""
    return np.random.default_rng(seed).integers(118, 138, (n_lines, width), dtype=np.uint8)


def spotted(n_lines: int, spots: list[tuple[int, int]], width: int = 200, seed: int = 0) -> Pixels:
    """Cloth with white spots of 12 x 12 px at (line, column)."""
    lines = cloth(n_lines, width, seed)
    for line, column in spots:
        lines[line : line + 12, column : column + 12] = 255
    return lines


def save(path: Path, lines: Pixels) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(lines).save(path)
    return path


def cut_off(path: Path) -> None:
    """Keep the header and lose half of the pixels."""
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def journal_events(journal: Path) -> list[dict[str, Any]]:
    """Documents of a journal, read with SQLite alone."""
    with sqlite3.connect(journal) as connection:
        rows = connection.execute("SELECT document FROM events ORDER BY seq").fetchall()
    return [json.loads(row[0]) for row in rows]


def glass_edge(*arguments: object, **options: object) -> subprocess.Popen[str]:
    """The program as a user starts it, in a process of its own."""
    command = [sys.executable, "-m", "glass_edge.cli", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def station_file(folder: Path, name: str = "station", bundle: str = "engines/plain", more: str = "") -> Path:
    """The file of a station on a simulated loom, whose styles lie in `folder`/engines."""
    path = folder / f"{name}.toml"
    path.write_text(
        f'station = "{name}"\nbundle = "{bundle}"\n{more}\n[camera]\nkind = "loom"\nwidth_px = 200\n'
        "[web]\nmm_per_px = 0.5\nmm_per_line = 0.5\nspan = { left_px = 0, right_px = 200 }\n"
        f'[events]\njournal = "{name}.journal"\n'
    )
    return path
