"""Tiles a second of compiled engines against PyTorch: the published WideResNet50 at 288 x 288 px, or another backbone.

    python benchmarks/engine.py [--backbone wide_resnet50_2] [--image-px 288] [--threads 0] [--rounds 5] [--json]

Contenders, in turn, a round of each, in one process and with as many threads:
- plain: `plain_glass.py`, the published prediction step after step (float32, batch of --batch);
- unfused: this program's checkpoint in PyTorch, what `glass-edge bench --reference` runs;
- an engine for each precision this CPU has, and int8.
The backbone has random weights, the head is trained for --steps steps of GLASS on painted cloth so that its logits have
the spread of a trained one; speed does not depend on either. Ratios are medians over the rounds of a contender and the
plain one beside it. Logit errors are those on tiles that no range was taken from.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from plain_glass import Clock, PlainConfig, PlainGlass
from training import machine, paint, published

from glass_edge.config.engine import EngineSettings
from glass_edge.config.recipe import Recipe
from glass_edge.engine.manifest import TileSpec
from glass_edge.engine.openvino_engine import OpenVinoEngine
from glass_edge.engine.openvino_int8 import quantise
from glass_edge.engine.openvino_model import Graph, has_int8_instructions, supported_precisions
from glass_edge.engine.openvino_peak import peak_operations_per_s, tile_operations
from glass_edge.glass.crops import CropSampler
from glass_edge.glass.export import export_onnx
from glass_edge.glass.fusion import FusedModel
from glass_edge.glass.model import StyleModel, build_model
from glass_edge.glass.optimisers import OptimiserConfig, Optimisers
from glass_edge.glass.synthesis import Synthesiser
from glass_edge.glass.trainer import use_threads
from glass_edge.glass.trainer_epoch import EpochRunner
from glass_edge.glass.trainer_features import tile_shape
from glass_edge.glass.trainer_step import step_config

Tiles = NDArray[np.uint8]
Scores = NDArray[np.float32]
Scorer = Callable[[Tiles], Scores]


def trained_head(recipe: Recipe, tiles: Any, steps: int) -> StyleModel:  # noqa: ANN401 - strips
    """A model whose head saw some steps of training."""
    model = build_model(recipe)
    sampler = CropSampler(tiles, tile_shape(recipe), selvedge_share=0, seed=recipe.seed)
    optimisers = Optimisers(model.glass_head, OptimiserConfig(1e-4, discriminator_lr=2e-4))
    runner = EpochRunner(model, optimisers, Synthesiser(recipe, sampler), step_config(recipe, 1.0), None)
    for _ in runner.steps(1, steps, torch.zeros(1, model.n_features)):
        pass
    runner.reestimate_norm()
    return model.eval()


def plain_scorer(model: StyleModel, config: PlainConfig) -> Scorer:
    """The published prediction with the weights of `model`."""
    plain = PlainGlass(config, 0, Clock())
    plain.backbone.load_state_dict(model.backbone.body.state_dict(), strict=False)
    head = model.glass_head
    plain.adaptor.load_state_dict(head.adaptor.state_dict())
    own = plain.discriminator.state_dict()
    plain.discriminator.load_state_dict({name: head.discriminator.state_dict()[name] for name in own})
    plain.discriminator.eval()
    return plain.predict


def unfused_scorer(model: StyleModel) -> Scorer:
    """The checkpoint in PyTorch."""

    @torch.inference_mode()
    def score(tiles: Tiles) -> Scores:
        return np.asarray(model(torch.from_numpy(tiles)).numpy())

    return score


def engine_scorer(engine: OpenVinoEngine) -> Scorer:
    """All tiles through a full pipeline of the engine."""

    def score(tiles: Tiles) -> Scores:
        found, waiting = [], 0
        for first in range(0, len(tiles), engine.max_batch):
            if waiting == engine.depth:
                found.append(engine.collect())
                waiting -= 1
            engine.submit(tiles[first : first + engine.max_batch])
            waiting += 1
        found += [engine.collect() for _ in range(waiting)]
        return np.concatenate(found)

    return score


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backbone", default="wide_resnet50_2", choices=["wide_resnet50_2", "resnet18", "resnet50"])
    parser.add_argument("--image-px", type=int, default=288)
    parser.add_argument("--tiles", type=int, default=8, help="tiles of a round")
    parser.add_argument("--batch", type=int, default=8, help="tiles PyTorch gets at a time")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--threads", type=int, default=0, help="0: one for each core")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    threads = use_threads(asked.threads)
    case = published(asked.image_px, 32, 4)
    tables = {**case.tables, "backbone": {**case.tables["backbone"], "name": asked.backbone}}
    recipe = Recipe.model_validate({"data": {"folder": "."}, **tables})
    strips = paint(case, 0)
    model = trained_head(recipe, strips, asked.steps)
    stack = np.stack([strip.pixels for strip in strips])
    tiles, for_ranges = stack[: asked.tiles], stack[8:]
    side = asked.image_px
    stride = recipe.score_stride_px
    spec = TileSpec(height_px=side, width_px=side, channels=3, halo_px=0, score_stride_px=stride, max_halo_error=0)
    graph = Graph(export_onnx(FusedModel(model), recipe.tile))
    started = time.perf_counter()
    eight = quantise(graph, spec, for_ranges)
    quantising_s = time.perf_counter() - started
    names = PlainConfig.__dataclass_fields__
    config = PlainConfig(**{name: getattr(case.plain, name) for name in names} | {"backbone": asked.backbone})
    settings = EngineSettings(threads=threads, max_batch=asked.batch)
    with ExitStack() as stack_of, torch.inference_mode():
        forms: dict[str, tuple[Scorer, str | None]] = {
            "plain": (batched(plain_scorer(model, config), asked.batch), None),
            "unfused": (batched(unfused_scorer(model), asked.batch), None),
        }
        for precision in (*sorted(supported_precisions(), reverse=True), "int8"):
            one = settings.model_copy(update={"precision": precision})
            engine = stack_of.enter_context(OpenVinoEngine(eight if precision == "int8" else graph, spec, one))
            forms[f"engine {precision}"] = (engine_scorer(engine), precision)
        result = compare(forms, tiles, asked.rounds)
    operations = tile_operations(graph, spec)
    for name, (_, precision) in forms.items():
        if precision is not None:
            peak = peak_operations_per_s(precision, settings)
            own = result[name]["tiles_per_s"] * operations
            result[name] |= {"gflop_per_s": own / 1e9, "peak_gflop_per_s": peak / 1e9, "share_of_peak": own / peak}
    document = {
        "machine": machine(threads),
        "has_int8_instructions": has_int8_instructions(),
        "backbone": asked.backbone,
        "tile_px": side,
        "gflop_per_tile": operations / 1e9,
        "quantising_s": quantising_s,
        "forms": result,
    }
    if asked.json:
        print(json.dumps(document, indent=2))
    else:
        show(document)


def batched(score: Scorer, batch: int) -> Scorer:
    """`score` for any number of tiles."""
    return lambda tiles: np.concatenate([score(tiles[i : i + batch]) for i in range(0, len(tiles), batch)])


def compare(forms: dict[str, tuple[Scorer, str | None]], tiles: Tiles, rounds: int) -> dict[str, dict[str, Any]]:
    """Run all in turn; the first of them is what others are compared with."""
    seconds: dict[str, list[float]] = {name: [] for name in forms}
    expected = forms["unfused"][0](tiles)
    errors = {name: np.abs(score(tiles) - expected) for name, (score, _) in forms.items()}  # warms up, too
    for _ in range(rounds):
        for name, (score, _) in forms.items():
            started = time.perf_counter()
            score(tiles)
            seconds[name].append(time.perf_counter() - started)
    result = {}
    for name, own in seconds.items():
        ratios = [theirs / mine for theirs, mine in zip(seconds["plain"], own, strict=True)]
        result[name] = {
            "tiles_per_s": len(tiles) / statistics.median(own),
            "times_plain": statistics.median(ratios),
            "times_plain_range": [min(ratios), max(ratios)],
            "largest_logit_error": float(errors[name].max()),
            "p99_logit_error": float(np.quantile(errors[name], 0.99)),
            "logit_spread": float(expected.std()),
        }
    return result


def show(document: dict[str, Any]) -> None:
    """Print a table."""
    facts = document["machine"]
    print(
        f"{facts['cpu']}, {facts['cores']} cores, {facts['threads']} thread(s), {facts['vectors']}, "
        f"{'with' if document['has_int8_instructions'] else 'without'} 8-bit instructions; PyTorch {facts['torch']}, "
        f"Python {facts['python']}"
    )
    side = document["tile_px"]
    print(f"{document['backbone']}, {side} x {side} px, {document['gflop_per_tile']:.1f} GFLOP a tile\n")
    print(
        "| | tiles/s | times plain | logit error, largest / 99 % | GFLOP/s of peak |\n| --- | --- | --- | --- | --- |"
    )
    for name, one in document["forms"].items():
        low, high = one["times_plain_range"]
        rate = ""
        if "gflop_per_s" in one:
            rate = f"{one['gflop_per_s']:.0f} of {one['peak_gflop_per_s']:.0f} ({100 * one['share_of_peak']:.0f} %)"
        print(
            f"| {name} | {one['tiles_per_s']:.2f} | {one['times_plain']:.2f} ({low:.2f} to {high:.2f}) | "
            f"{one['largest_logit_error']:.2g} / {one['p99_logit_error']:.2g} | {rate} |"
        )
    spread = next(iter(document["forms"].values()))["logit_spread"]
    print(f"\nlogits have a standard deviation of {spread:.3g}")


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parent))
    main()
