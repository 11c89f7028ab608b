"""`glass-edge import-reference`.

Promises: the run folder that appears is one like `glass-edge train` makes: `evaluate` and `build` take it; where its
weights came from is recorded.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glass_edge.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from glass_edge.glass.reference_import import ReferenceWeights

ORIGIN_NAME = "reference.json"
_SIZE_PX = 288  # of the published scripts


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("import-reference")(import_reference)


def import_reference(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CHECKPOINT", help="ckpt.pth or ckpt_best_<epoch>.pth of the authors' program.")
    ],
    *,
    recipe: Annotated[
        Path, typer.Option(help="Recipe of the same model: backbone, its weights, widths, good images, threshold.")
    ],
    out: Annotated[Path, typer.Option(metavar="RUN_FOLDER", help="Run folder to make.")],
    probe_size: Annotated[
        int,
        typer.Option(
            help="Side of the images the authors' program ran on, px: when it builds its model it alters the "
            "backbone's statistics by a probe of that size, and so must we. 0: leave them."
        ),
    ] = _SIZE_PX,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Turn a checkpoint of the authors' repository (cqylunlun/GLASS) into a run folder of ours.

    Only tensors are read from the file. The good images of the recipe give the threshold when the engine is built.
    """
    if probe_size and not 32 <= probe_size <= 8192:
        raise InputError(f"--probe-size {probe_size}: give 32 to 8192, or 0 to leave the backbone as it is")
    try:
        import torch  # noqa: F401 - only to see whether it is there
    except ModuleNotFoundError as error:
        raise MissingExtraError("train", "glass-edge import-reference") from error
    from glass_edge.cli.train_result import has_labels
    from glass_edge.cli.training_progress import TrainingProgress
    from glass_edge.cli.training_run import golden_tiles, read_good
    from glass_edge.config.recipe import load_recipe
    from glass_edge.files import make_folder, write_json
    from glass_edge.glass.reference_import import import_reference as make_model
    from glass_edge.glass.reference_import import read_reference
    from glass_edge.glass.run_folder import RunFolder
    from glass_edge.glass.run_lock import run_lock
    from glass_edge.glass.trainer import use_threads

    settings = load_recipe(recipe)
    run = RunFolder(out)
    run.require_new()
    threads = use_threads(settings.training.threads)
    with TrainingProgress() as progress:
        for warning in settings.warnings():
            progress.say(f"warning: {warning}")
        weights = read_reference(checkpoint)
        model = make_model(weights, settings, probe_size_px=probe_size)
        data = read_good(settings, out, progress)
        with run_lock(make_folder(out)):
            run.require_new()
            run.start(recipe, data, threads=threads)
            write_json(out / ORIGIN_NAME, _origin(weights, probe_size))
            golden = golden_tiles(data, settings)
            run.keep(model, settings, data, epoch=0, figures={}, golden_tiles=golden)
    held = [strip.name for strip in data.holdout]
    commands = _next(out, is_labelled=has_labels(settings.data.folder))
    if as_json:
        document = {
            "run_folder": str(out),
            "checkpoint": str(run.checkpoint),
            "style": settings.style,
            "width": weights.n_features,
            "hidden": weights.n_hidden,
            "probe_size_px": probe_size,
            "threshold_images": held,
            "next": commands,
        }
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(f"{run.checkpoint}: {weights.n_features} features, {weights.n_hidden} hidden units")
    typer.echo(
        f"the threshold will come from {len(held)} good images of {settings.data.folder}; if the authors' program was "
        "trained on them, give others to build and evaluate with --threshold-images; next"
    )
    for command in commands:
        typer.echo(f"  {command}")


def _origin(weights: ReferenceWeights, probe_size_px: int) -> dict[str, Any]:
    from glass_edge.files import sha256_file

    return {
        "file": str(weights.path),
        "sha256": sha256_file(weights.path),
        "width": weights.n_features,
        "hidden": weights.n_hidden,
        "adaptor": weights.adaptor is not None,
        "probe_size_px": probe_size_px,
    }


def _next(folder: Path, *, is_labelled: bool) -> list[str]:
    quoted = shlex.quote(str(folder))
    return [*([f"glass-edge evaluate {quoted}"] if is_labelled else []), f"glass-edge build {quoted}"]
