"""`glass-edge bench`.

Promises: figures are measured in this run on this machine, which is named beside them; with `--reference` the unfused
PyTorch graph runs in turn with the engine on the same tiles and threads, and the whole pipeline runs in turn with the
engine alone.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glass_edge.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from glass_edge.engine.bench import Scorer
    from glass_edge.engine.bundle import Bundle

_CHECKPOINT_FOLDER = "checkpoint"
_USUAL_MM_PER_PX = 0.1
_MOST_MM = 1000.0


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("bench")(bench)


def bench(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="engines/<style>/<version>, or the style.")],
    *,
    reference: Annotated[
        bool, typer.Option("--reference", help="Beside it run the unfused PyTorch graph of the checkpoint.")
    ] = False,
    checkpoint: Annotated[
        Path | None, typer.Option(help="The checkpoint for --reference; without it the one inside the bundle.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="Time to spend on each batch size and on each comparison.")] = 5.0,
    batch: Annotated[list[int] | None, typer.Option(help="Batch size; may be given several times.")] = None,
    runtime: Annotated[str, typer.Option(help="openvino, tensorrt or tensorrt-rtx.")] = "openvino",
    precision: Annotated[str, typer.Option(help="auto, f32, bf16 (CPU), fp16 (GPU) or int8.")] = "auto",
    threads: Annotated[int, typer.Option(help="Threads of both sides; 0: one for each core.")] = 0,
    streams: Annotated[int, typer.Option(help="Tiles at the same time; 0: one a thread.")] = 0,
    pipeline: Annotated[
        bool, typer.Option(help="Also run the whole inspection on a simulated camera, in turn with the engine alone.")
    ] = True,
    width_mm: Annotated[float, typer.Option(help="Width of the cloth for the metres a minute, mm.")] = 1600.0,
    mm_per_px: Annotated[
        float | None, typer.Option(help="Size of a pixel, mm; without it the bundle's, or 0.1.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure tiles a second, latency and metres a minute of a bundle's engine on this machine."""
    from glass_edge.cli.bench_pipeline import arithmetic_report, pipeline_report
    from glass_edge.cli.bench_report import print_report
    from glass_edge.cli.engine_options import engine_settings
    from glass_edge.engine.bench import compare, measure_engine
    from glass_edge.engine.bundle import load_bundle
    from glass_edge.engine.factory import open_engine
    from glass_edge.engine.machine import describe_machine

    sizes = sorted(set(batch or (1, 2, 4, 8)))
    if sizes[0] < 1:
        raise InputError(f"--batch {sizes[0]}: at least one tile is needed")
    if checkpoint is not None and not reference:
        raise InputError("--checkpoint is only used with --reference; add --reference")
    loaded = load_bundle(bundle)
    settings = engine_settings(
        runtime=runtime, precision=precision, threads=threads, streams=streams, max_batch=sizes[-1]
    )
    tiles = loaded.golden().tiles
    scale = mm_per_px or loaded.manifest.mm_per_px or _USUAL_MM_PER_PX
    if not (0 < scale < _MOST_MM and width_mm > 0):
        raise InputError(f"--width-mm {width_mm:g}, --mm-per-px {scale:g}: give sizes above 0 mm, a pixel below 1000")
    libraries = ["glass-edge", "openvino", "numpy", *(["torch"] if reference else [])]
    with open_engine(loaded, settings, levelled=not reference) as engine:
        scorer = _load_reference(loaded, checkpoint, engine.facts.threads) if reference else None
        steps = [(size, side) for size in sizes for side in (False, True) if side <= reference]
        figures, comparisons = [], []
        for size, beside in _shown(steps):
            if beside and scorer is not None:
                comparisons.append(compare(engine, scorer, tiles, size, seconds))
            else:
                figures.append(measure_engine(engine, tiles, size, seconds))
        arithmetic = None  # a GPU's peak is not measured
        if settings.runtime == "openvino":
            arithmetic = arithmetic_report(loaded, settings, engine.facts.precision, figures)
        tile = loaded.manifest.tile
        whole = None
        if pipeline:
            whole = pipeline_report(
                loaded, settings, engine, tiles, width_mm=width_mm, mm_per_px=scale, seconds=seconds
            )
        report: dict[str, Any] = {
            "bundle": str(loaded.folder),
            "style": loaded.manifest.style,
            "backbone": loaded.manifest.backbone,
            "tile_px": [tile.height_px, tile.width_px, tile.channels],
            "machine": dataclasses.asdict(describe_machine(libraries)),
            "engine": dataclasses.asdict(engine.facts),
            "figures": [dataclasses.asdict(one) for one in figures],
            "comparisons": [dataclasses.asdict(one) for one in comparisons],
            "arithmetic": arithmetic,
            "pipeline": whole,
        }
    if as_json:
        typer.echo(json.dumps(report, indent=2))
    else:
        print_report(report)


def _shown(steps: list[tuple[int, bool]]) -> Iterator[tuple[int, bool]]:
    """The steps, with a progress bar on a terminal and a line each otherwise (standard error, both)."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    if console.is_terminal:
        yield from track(steps, description="measuring", console=console, transient=True)
        return
    for number, (size, beside) in enumerate(steps, start=1):
        side = "engine and reference in turn" if beside else "engine"
        typer.echo(f"[{number}/{len(steps)}] batch {size}: {side}", err=True)
        yield size, beside


def _load_reference(bundle: Bundle, checkpoint: Path | None, threads: int) -> Scorer:
    path = checkpoint
    if path is None:
        if not any(name.startswith(f"{_CHECKPOINT_FOLDER}/") for name in bundle.manifest.files):
            raise InputError(f"{bundle.folder}: the bundle carries no {_CHECKPOINT_FOLDER}/; give --checkpoint PATH")
        path = bundle.folder / _CHECKPOINT_FOLDER
    elif not path.exists():
        raise InputError(f"--checkpoint {path}: no such file or folder")
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtraError("train", "bench --reference") from error
    from glass_edge.glass.checkpoint import load_reference

    torch.set_num_threads(threads)
    scorer: Scorer = load_reference(path)
    return scorer
