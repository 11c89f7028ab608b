"""`glass-edge build`.

Promises: a bundle appears whole, with evidence, or not at all; steps go to standard error, the result to standard
output.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from glass_edge.errors import InputError, MissingExtraError

if TYPE_CHECKING:
    from glass_edge.cli.build_bundle import Built, Say
    from glass_edge.cli.build_tensorrt import PlanRequest
    from glass_edge.engine.tensorrt_api import TensorRtName


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("build")(build)


def build(
    checkpoint: Annotated[Path, typer.Argument(metavar="CHECKPOINT", help="Run folder, or its checkpoint folder.")],
    *,
    out: Annotated[Path, typer.Option(help="Folder of engines; the bundle becomes OUT/<style>/<version>.")] = Path(
        "engines"
    ),
    version: Annotated[str | None, typer.Option(help="Version of the bundle; without it, the UTC time.")] = None,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="Made and judged besides f32: auto (what this CPU computes of the same graph), f32 (nothing), bf16, "
            "or int8 (a quantised graph; needs the extra 'int8'). May be given several times; without it, auto."
        ),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Where the data folder is now, if it was moved.")] = None,
    threshold_images: Annotated[
        Path | None, typer.Option(help="Good images for the threshold; without it, those held out of training.")
    ] = None,
    labelled: Annotated[
        Path | None, typer.Option(help="Labelled images: a precision is also judged by its loss of tile AUROC there.")
    ] = None,
    with_checkpoint: Annotated[
        bool, typer.Option("--with-checkpoint", help="Put the checkpoint into the bundle, for bench --reference.")
    ] = False,
    engine: Annotated[
        str,
        typer.Option(
            help="openvino, or tensorrt or tensorrt-rtx: then the bundle also holds graphs typed for TensorRT, f32 and "
            "fp16, and int8 where --precision names it."
        ),
    ] = "openvino",
    plans: Annotated[
        Path | None,
        typer.Option(help="With a TensorRT engine: compile plans too, into this cache folder (the stations' own)."),
    ] = None,
    compute_capability: Annotated[
        list[str] | None,
        typer.Option(
            help="With --plans and tensorrt-rtx: GPU to compile for, as 8.6 or SM86; may be given several times. "
            "Without it, this machine's."
        ),
    ] = None,
    max_batch: Annotated[
        int | None, typer.Option(help="With --plans: engine.max_batch of the stations; without it, 8.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Turn a checkpoint into a bundle: one graph, judged against the checkpoint, with a threshold from good cloth."""
    precisions = _precisions(precision or ["auto"])
    try:
        import torch
    except ModuleNotFoundError as error:
        raise MissingExtraError("train", "glass-edge build") from error
    from glass_edge.cli.build_bundle import BuildRequest
    from glass_edge.cli.build_bundle import build as build_bundle
    from glass_edge.engine.openvino_model import usable_cores

    request = _plan_request(engine, plans, compute_capability, max_batch)
    torch.set_num_threads(usable_cores())
    built = build_bundle(
        BuildRequest(
            checkpoint=checkpoint,
            engines=out,
            version=version,
            precisions=precisions,
            data=data,
            threshold_images=threshold_images,
            labelled=labelled,
            with_checkpoint=with_checkpoint,
            with_tensorrt=engine != "openvino",
        ),
        _teller(),
    )
    files: list[Path] = []
    if request is not None:
        from glass_edge.cli.build_tensorrt import build_plans

        files = build_plans(built.bundle, request)
    if as_json:
        typer.echo(json.dumps(built_document(built) | {"plans": [str(file) for file in files]}, indent=2))
        return
    print_built(built)
    for file in files:
        typer.echo(f"plan: {file}")


def _plan_request(
    engine: str, plans: Path | None, compute_capability: list[str] | None, max_batch: int | None
) -> PlanRequest | None:
    """The plans to compile, once it is known that they can be; None without --plans."""
    if engine not in ("openvino", "tensorrt", "tensorrt-rtx"):
        raise InputError(f"--engine {engine}: give openvino, tensorrt or tensorrt-rtx")
    if plans is None and (compute_capability or max_batch is not None):
        raise InputError("--compute-capability and --max-batch are of plans; give --plans FOLDER")
    if plans is None:
        return None
    if engine == "openvino":
        raise InputError("--plans is of TensorRT; give --engine tensorrt or --engine tensorrt-rtx")
    from glass_edge.cli.build_tensorrt import PlanRequest, check_request
    from glass_edge.config.engine import EngineSettings

    most = EngineSettings().max_batch if max_batch is None else max_batch
    request = PlanRequest(cast("TensorRtName", engine), plans, tuple(compute_capability or ()), most)
    check_request(request)
    return request


def _precisions(asked: list[str]) -> tuple[str, ...]:
    from glass_edge.engine.openvino_model import device_name, supported_precisions

    supported = supported_precisions()
    found: list[str] = []
    for one in asked:
        if one not in ("auto", "f32", "bf16", "int8"):
            raise InputError(f"--precision {one}: give auto, f32, bf16 or int8")
        if one not in ("auto", "int8", *supported):
            raise InputError(f"--precision {one}: {device_name()} has no instructions for it; give f32 or auto")
        found += supported if one == "auto" else (one,)
    return tuple(dict.fromkeys(found))


def _teller() -> Say:
    """Steps on standard error: a line each (it takes seconds)."""
    from rich.console import Console

    console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
    return console.print


def built_document(built: Built) -> dict[str, object]:
    """A bundle and what its building showed, as JSON values."""
    manifest = built.bundle.manifest
    return {
        "bundle": str(built.bundle.folder),
        "style": manifest.style,
        "version": manifest.version,
        "fused_max_abs_err": built.fused_max_abs_err,
        "golden_alarm_cells": built.golden_alarm_cells,
        "max_halo_error": manifest.tile.max_halo_error,
        "threshold": manifest.threshold.model_dump(mode="json"),
        "parity": [result.model_dump(mode="json") for result in manifest.parity],
        "files": sorted(manifest.files),
    }


def print_built(built: Built) -> None:
    """A bundle and what its building showed, for a person."""
    manifest = built.bundle.manifest
    typer.echo(f"{built.bundle.folder}: {len(manifest.files)} files")
    threshold = manifest.threshold
    typer.echo(f"threshold (smoothed logit): {threshold.logit:.4g}: {threshold.method}")
    if (zone := threshold.selvedge) is not None:
        typer.echo(f"within {zone.zone_px} px of a selvedge: {zone.offset_logit:.4g} higher: {zone.method}")
    typer.echo(f"halo of {manifest.tile.halo_px} px: logits differ by at most {manifest.tile.max_halo_error:.3g}")
    typer.echo(f"fused head: logits differ by at most {built.fused_max_abs_err:.2g}")
