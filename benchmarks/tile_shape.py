"""Which tile gives the most cloth a second at which error: shapes and halos of a trained style, one thread.

    python benchmarks/tile_shape.py RUN_FOLDER IMAGE... [--shapes 256x512,...] [--halos 0,16,32] [--rounds N] [--json]

RUN_FOLDER holds a checkpoint; the images are good cloth, larger than the largest tile each way, or no seam is seen
that way. For each shape the graph is exported and compiled by OpenVINO in float32 with one thread; the shapes take
turns, and processor time counts, so a machine that does other work too gives nearly the same ratios. Useful pixels are
those inside the halo. The error of a halo is the logit difference between the scores merged from tiles and those of the
whole image in one piece: largest, 99.9 %, and the bias, the largest mean over a row or a column of cells. With
`levelled` the position profile, measured on the same images, was taken off.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from glass_edge.calibration.selvedge import find_cloth_span
from glass_edge.cli.good_strips import GoodStrip
from glass_edge.cli.position_tiles import measure_profile
from glass_edge.config.engine import EngineSettings
from glass_edge.config.recipe_tile import RecipeTileSettings
from glass_edge.engine.base import Engine
from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.openvino_engine import OpenVinoEngine
from glass_edge.engine.openvino_model import Graph
from glass_edge.engine.position_profile import LevelledEngine
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.glass.checkpoint import load_checkpoint
from glass_edge.glass.export import export_onnx
from glass_edge.glass.fusion import FusedModel
from glass_edge.inspection.halo import OnePiece, one_piece_scores
from glass_edge.inspection.one_shot import score_strip

_SHAPES = "256x512,128x512,128x1024,256x256,256x1024,512x512,288x288,64x1024"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run_folder", type=Path)
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--shapes", default=_SHAPES, help="heights x widths, px")
    parser.add_argument("--halos", default="0,16,32", help="px")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tiles", type=int, default=4, help="tiles a round and shape")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    model, recipe, _ = load_checkpoint(options.run_folder)
    fused = FusedModel(model)
    strips = [_strip(path) for path in options.images]
    shapes = [tuple(map(int, shape.split("x"))) for shape in options.shapes.split(",")]
    halos = list(map(int, options.halos.split(",")))
    rows = []
    engines: dict[tuple[int, int], Engine] = {}
    for height, width in shapes:
        tile = recipe.tile.model_copy(update={"height_px": height, "width_px": width, "halo_px": 0})
        spec = TileSpec(
            height_px=height,
            width_px=width,
            channels=tile.channels,
            halo_px=0,
            score_stride_px=recipe.score_stride_px,
            max_halo_error=0.0,
        )
        graph = Graph(export_onnx(fused, tile))
        engine = OpenVinoEngine(graph, spec, EngineSettings(precision="f32", threads=1))
        engine.__enter__()
        engines[height, width] = engine
    seconds = _times(engines, options.rounds, options.tiles)
    whole = _one_piece(fused)
    for (height, width), engine in engines.items():
        for halo in halos:
            if min(height, width) <= 2 * halo:
                continue
            useful = (height - 2 * halo) * (width - 2 * halo) / 1e6 / seconds[height, width]
            tile = recipe.tile.model_copy(update={"height_px": height, "width_px": width, "halo_px": halo})
            errors = _errors(engine, whole, strips, halo)
            profile = measure_profile(engine, strips, RecipeTileSettings.model_validate(tile.model_dump()), 0)
            levelled = errors if profile is None else _errors(LevelledEngine(engine, profile), whole, strips, halo)
            row = {
                "height_px": height,
                "width_px": width,
                "halo_px": halo,
                "useful_megapixels_per_s": useful,
                "tile_ms": 1e3 * seconds[height, width],
                "largest_error": errors[0],
                "p999_error": errors[1],
                "bias": errors[2],
                "levelled_largest_error": levelled[0],
                "levelled_p999_error": levelled[1],
                "levelled_bias": levelled[2],
            }
            rows.append(row)
            if not options.json:
                said = [f"{one[0]:7.3f} ({one[1]:6.3f}), bias {one[2]:+.3f}" for one in (errors, levelled)]
                print(
                    f"{height:4d} x {width:4d} halo {halo:2d}: {useful:5.2f} useful megapixels/s, "
                    f"{row['tile_ms']:6.1f} ms a tile; error {said[0]}; levelled {said[1]}",
                    flush=True,
                )
    if options.json:
        print(json.dumps(rows, indent=2))


def _strip(path: Path) -> GoodStrip:
    pixels = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if pixels is None:
        raise SystemExit(f"{path}: no picture")
    lines = np.ascontiguousarray(pixels, np.uint8)
    return GoodStrip(path.name, lines, find_cloth_span(lines))


def _times(engines: dict[tuple[int, int], Engine], rounds: int, tiles: int) -> dict[tuple[int, int], float]:
    """Processor seconds a tile, shapes in turn, median of the rounds."""
    rng = np.random.default_rng(0)
    measured: dict[tuple[int, int], list[float]] = {shape: [] for shape in engines}
    for _ in range(rounds):
        for shape, engine in engines.items():
            tile = rng.integers(60, 190, (1, *shape, engine.channels), dtype=np.uint8)
            engine.infer(tile)
            begun = time.process_time()
            for _ in range(tiles):
                engine.infer(tile)
            measured[shape].append((time.process_time() - begun) / tiles)
    return {shape: statistics.median(values) for shape, values in measured.items()}


def _one_piece(fused: FusedModel) -> OnePiece:
    @torch.inference_mode()
    def score(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = fused(torch.from_numpy(image)[None])[0].numpy()
        return logits

    return score


def _errors(
    engine: Engine, whole: Callable[..., NDArray[np.float32]], strips: list[GoodStrip], halo: int
) -> tuple[float, ...]:
    """Largest and 99.9 % absolute error, and the largest mean over strips' columns or rows of cells."""
    errors, bias = [], 0.0
    for strip in strips:
        lines = strip.pixels[:, strip.cloth.left_px : strip.cloth.right_px]
        lines = np.ascontiguousarray(lines[: len(lines) // 16 * 16, : lines.shape[1] // 16 * 16])
        if engine.tile_height_px > len(lines) or engine.tile_width_px > lines.shape[1]:
            continue
        tiled = score_strip(engine, lines, ClothSpan(0, lines.shape[1]), halo_px=halo)
        pixels = np.broadcast_to(lines[:, :, None], (*lines.shape, engine.channels))
        one = one_piece_scores(whole, np.ascontiguousarray(pixels), engine.score_stride_px, 256)
        first = tiled.first_line // tiled.stride_px
        rows, cells = tiled.logits.shape
        beside = one[first : first + rows, tiled.first_cell : tiled.first_cell + cells]
        difference = tiled.logits.astype(np.float64) - beside
        margin = 24  # the picture's own border is the one piece's affair
        inner = difference[:, margin:-margin] if cells > 4 * margin else difference
        errors.append(np.abs(inner).ravel())
        means = np.concatenate([inner.mean(axis=1), inner.mean(axis=0)])
        bias = float(max(bias, means[np.abs(means).argmax()], key=abs))
    if not errors:
        return float("nan"), float("nan"), float("nan")
    merged = np.concatenate(errors)
    return float(merged.max()), float(np.quantile(merged, 0.999)), bias


if __name__ == "__main__":
    main()
