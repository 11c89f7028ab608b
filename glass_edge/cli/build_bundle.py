"""From a checkpoint to a bundle.

Promises: nothing is written before the engine's scores on the golden tiles were found to be the checkpoint's; the
threshold comes from good cloth through the engine and the strip path the line uses; figures in the manifest were
measured in this very build.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from glass_edge import __version__
from glass_edge.cli.build_tensorrt import typed_graphs
from glass_edge.cli.golden_tiles import thinned, tiles_of, with_damage
from glass_edge.cli.good_strips import GoodStrip, find_images, read_strips
from glass_edge.cli.good_threshold import GoodThreshold, good_threshold
from glass_edge.cli.parity_gate import ParityGate
from glass_edge.cli.position_tiles import measure_profile
from glass_edge.config.engine import EngineSettings
from glass_edge.config.recipe import STYLE_PATTERN, Recipe
from glass_edge.engine.base import Engine
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.bundle_writer import write_bundle
from glass_edge.engine.golden import GoldenSet
from glass_edge.engine.manifest import (
    FORMAT_VERSION,
    GOLDEN_NAME,
    INT8_NAME,
    INT8_WEIGHTS_NAME,
    MODEL_NAME,
    Manifest,
    ParityResult,
    PositionProfile,
    ThresholdSpec,
    TileSpec,
)
from glass_edge.engine.openvino_engine import OpenVinoEngine
from glass_edge.engine.openvino_int8 import FLOAT_CONVOLUTIONS, quantise
from glass_edge.engine.openvino_model import Graph
from glass_edge.engine.parity import require
from glass_edge.engine.position_profile import LevelledEngine
from glass_edge.errors import InputError
from glass_edge.glass.checkpoint import (
    CHECKPOINT_FOLDER,
    CheckpointInfo,
    as_reference,
    load_checkpoint,
    load_golden_tiles,
    portable_files,
)
from glass_edge.glass.export import export_onnx
from glass_edge.glass.fusion import FusedModel, fusion_error
from glass_edge.glass.model import StyleModel
from glass_edge.inspection.halo import halo_error

THRESHOLD_NAME = "threshold.json"
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """What to build.

    Attributes:
        checkpoint: run or checkpoint folder.
        engines: folder of all styles.
        version: of the bundle; None: the UTC time.
        precisions: tried besides f32, which every machine falls back on.
        data: where the data folder is now; None: where it was in training.
        threshold_images: good images for the threshold instead of the held-out ones.
        labelled: folder of labelled images by which variants are judged too; None: they are not.
        with_checkpoint: put the checkpoint into the bundle, for `bench --reference`.
        with_tensorrt: put graphs for TensorRT into the bundle: f32 and fp16, and int8 where `precisions` name it.
    """

    checkpoint: Path
    engines: Path
    version: str | None = None
    precisions: tuple[str, ...] = ("f32",)
    data: Path | None = None
    threshold_images: Path | None = None
    labelled: Path | None = None
    with_checkpoint: bool = False
    with_tensorrt: bool = False


@dataclass(frozen=True, slots=True)
class Built:
    """A bundle and what its building showed.

    Attributes:
        bundle: as written.
        fused_max_abs_err: largest logit difference of the fused PyTorch model to the unfused on the golden tiles.
        golden_alarm_cells: golden cells at or above the threshold (unsmoothed).
    """

    bundle: Bundle
    fused_max_abs_err: float
    golden_alarm_cells: int


def build(request: BuildRequest, say: Say) -> Built:
    """Export, measure, judge, write.

    Args:
        request: what to build.
        say: told each step.

    Raises:
        InputError: checkpoint, images or version are wrong. ParityError: f32 is not what the checkpoint says.
    """
    say(f"reading {request.checkpoint}")
    model, recipe, info = load_checkpoint(request.checkpoint)
    target = new_bundle_folder(request.engines, recipe.style, request.version)
    images = find_images(recipe, info.holdout, request.data, request.threshold_images)
    say("exporting the graph")
    fused = FusedModel(model)
    graph = Graph(export_onnx(fused, recipe.tile))
    strips = list(read_strips(images, recipe))
    golden = _golden_set(model, recipe, strips, load_golden_tiles(request.checkpoint))
    error = fusion_error(model, fused, golden.tiles)
    tile = _tile_spec(recipe, 0.0)
    with _engine(graph, tile, "f32") as engine:
        profile = measure_profile(engine, strips, recipe.tile, recipe.seed)
        say(_profile_told(profile))
        levelled = engine if profile is None else LevelledEngine(engine, profile)
        say(f"threshold from {len(strips)} {images.origin}")
        good = good_threshold(levelled, recipe, strips)
        threshold = good.spec
        say("error of the halo")
        tile = _tile_spec(recipe, _halo_error(levelled, fused, recipe, strips), profile)
        gate = ParityGate(model, recipe, threshold, golden, strips, request.labelled)
        parity = [gate.judge(engine)]
    say(_verdict(parity[0]))
    require(parity[0], request.checkpoint.name)
    variants: dict[str, bytes | Path] = {}
    for precision in (one for one in request.precisions if one not in ("f32", "int8")):
        with _engine(graph, tile, precision) as engine:
            parity.append(gate.judge(engine))
        say(_verdict(parity[-1]))
    if "int8" in request.precisions:
        variant, result = _int8(graph, tile, gate, say)
        parity.append(result)
        if result.passed:
            variants |= {INT8_NAME: variant.model, INT8_WEIGHTS_NAME: variant.weights}
    if request.with_tensorrt:
        say("typing graphs for TensorRT (judged by the station, on its GPU)")
        variants |= typed_graphs(graph.model, gate.good_tiles, with_int8="int8" in request.precisions)
    contents: dict[str, bytes | Path] = {
        MODEL_NAME: graph.model,
        GOLDEN_NAME: golden.to_bytes(),
        THRESHOLD_NAME: _evidence_file(good, recipe, images.origin),
        **variants,
    }
    if request.with_checkpoint:
        files = portable_files(request.checkpoint)
        contents |= {f"{CHECKPOINT_FOLDER}/{name}": content for name, content in files.items()}
    say(f"writing {target}")
    manifest = _manifest(recipe, info, version=target.name, tile=tile, threshold=threshold, parity=parity)
    bundle = write_bundle(request.engines, manifest, contents)
    return Built(bundle, error, int(np.count_nonzero(golden.maps >= threshold.logit)))


def _int8(graph: Graph, tile: TileSpec, gate: ParityGate, say: Say) -> tuple[Graph, ParityResult]:
    """The first int8 graph that passes the gate, or the last that does not: each has more of its start in f32."""
    for float_convolutions in FLOAT_CONVOLUTIONS:
        say(f"quantising with {len(gate.good_tiles)} good tiles, the first {float_convolutions} convolutions in f32")
        variant = quantise(graph, tile, gate.good_tiles, float_convolutions)
        with _engine(variant, tile, "int8") as engine:
            result = gate.judge(engine)
        say(_verdict(result))
        if result.passed:
            break
    return variant, result


def new_bundle_folder(engines: Path, style: str, version: str | None) -> Path:
    """Folder of a bundle to come, `engines`/`style`/`version`; without a version, the UTC time is one.

    Raises:
        InputError: no name for a version, or one that is there.
    """
    version = version or datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    if not re.fullmatch(STYLE_PATTERN, version):
        raise InputError(f"--version {version}: give letters, digits, '_', '.', '-', a letter or digit first")
    target = engines / style / version
    if target.exists():
        raise InputError(f"{target} exists; versions are never overwritten: choose another --version")
    return target


def _golden_set(
    model: StyleModel, recipe: Recipe, strips: Sequence[GoodStrip], stored: NDArray[np.uint8] | None
) -> GoldenSet:
    good = tiles_of(strips, recipe.tile) if stored is None else thinned(stored)
    tiles = with_damage(good, recipe.seed)
    reference = as_reference(model)
    return GoldenSet(tiles, np.concatenate([reference(tiles[i : i + 1]) for i in range(len(tiles))]))


def _profile_told(profile: PositionProfile | None) -> str:
    if profile is None:
        return "places in the tile: none scores good cloth otherwise than the others"
    largest = max(map(abs, (*profile.rows, *profile.columns)))
    return (
        f"places in the tile add up to {largest:.3g} logits to good cloth (spread {profile.spread_before:.3g}, "
        f"{profile.spread_after:.3g} with that taken off; single scores {profile.spread_of_scores:.3g})"
    )


def _tile_spec(recipe: Recipe, max_halo_error: float, profile: PositionProfile | None = None) -> TileSpec:
    tile = recipe.tile
    return TileSpec(
        height_px=tile.height_px,
        width_px=tile.width_px,
        channels=tile.channels,
        halo_px=tile.halo_px,
        score_stride_px=recipe.score_stride_px,
        max_halo_error=max_halo_error,
        profile=profile,
    )


def _engine(graph: Graph, tile: TileSpec, precision: str) -> OpenVinoEngine:
    return OpenVinoEngine(graph, tile, EngineSettings.model_validate({"precision": precision}))


def _halo_error(engine: Engine, fused: FusedModel, recipe: Recipe, strips: Sequence[GoodStrip]) -> float:
    """Largest logit difference between tiled and one-piece scores on a piece of cloth of at most 2 x 2 tiles."""
    tile = recipe.tile
    strip = max(strips, key=lambda one: one.cloth.width_px * len(one.pixels))
    lines, cloth = strip.pixels, strip.cloth
    if cloth.width_px > 2 * tile.width_px:
        left = cloth.left_px + (cloth.width_px - 2 * tile.width_px) // 2
        lines = lines[:, left : left + 2 * tile.width_px]
    elif cloth.width_px > 2 * tile.halo_px + recipe.score_stride_px:
        lines = lines[:, cloth.left_px : cloth.right_px]
    lines = np.ascontiguousarray(lines[: 2 * tile.height_px])

    @torch.inference_mode()
    def one_piece(image: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits: NDArray[np.float32] = fused(torch.from_numpy(image)[None])[0].numpy()
        return logits

    return halo_error(engine, one_piece, lines, halo_px=tile.halo_px).max_abs


def _verdict(result: ParityResult) -> str:
    share = "largest" if result.quantile == 1 else f"{100 * result.quantile:g} %"
    value = result.max_abs_logit_error if result.quantile == 1 else result.p99_abs_logit_error
    more = ""
    if result.good is not None:
        more = f"; rank correlation {result.good.rank_correlation:.4f} on {result.good.tiles} good tiles"
    if result.labelled is not None:
        more += f"; tile AUROC {result.labelled.tile_auroc:.4f} ({result.labelled.tile_auroc_change:+.4f})"
    outcome = "passed" if result.passed else f"FAILED, will not be used: {'; '.join(result.reasons)}"
    return (
        f"parity {result.runtime} {result.precision}: {share} logit error {value:.3g} of {result.tolerance:.3g}, "
        f"{result.alarm_cells_changed} cells decided otherwise{more}: {outcome}"
    )


def _evidence_file(good: GoodThreshold, recipe: Recipe, origin: str) -> bytes:
    def falling(values: NDArray[np.float32]) -> list[float]:
        return [round(float(value), 4) for value in np.sort(values)[::-1]]

    document = {
        "origin": origin,
        "block_px": [recipe.inspection.block_height_px, recipe.inspection.block_width_px],
        "selvedge_zone_px": recipe.inspection.selvedge_zone_px,
        "smoothing_sigma_px": recipe.inspection.smoothing_sigma_px,
        "images": [
            {"name": strip.name, "block_maxima": falling(strip.body), "selvedge_maxima": falling(strip.selvedge)}
            for strip in good.strips
        ],
    }
    return (json.dumps(document, indent=1, ensure_ascii=False) + "\n").encode()


def _manifest(
    recipe: Recipe,
    info: CheckpointInfo,
    *,
    version: str,
    tile: TileSpec,
    threshold: ThresholdSpec,
    parity: Sequence[ParityResult],
) -> Manifest:
    return Manifest.model_construct(  # validated by the writer, whose message names the manifest
        format_version=FORMAT_VERSION,
        style=recipe.style,
        version=version,
        created_utc=datetime.now(UTC).isoformat(timespec="seconds"),
        glass_edge_version=__version__,
        backbone=recipe.backbone.name,
        levels=recipe.backbone.levels,
        method=recipe.method,
        tile=tile,
        mm_per_px=recipe.data.mm_per_px,
        smoothing_sigma_px=recipe.inspection.smoothing_sigma_px,
        threshold=threshold,
        training_data_sha256=info.training_data_sha256,
        metrics=dict(info.metrics),
        parity=tuple(parity),
        files={},
    )
