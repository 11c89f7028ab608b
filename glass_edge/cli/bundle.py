"""`glass-edge bundle show | verify`.

Promises: both refuse a bundle with anything missing, changed or not listed; `verify` also runs the parity gate on this
machine.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from glass_edge.engine.bundle import Bundle
    from glass_edge.engine.manifest import ParityResult

_BundleArgument = Annotated[Path, typer.Argument(metavar="BUNDLE", help="engines/<style>/<version>, or the style.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the group to `app`."""
    group = typer.Typer(help="Look at a bundle, or verify it on this machine.", no_args_is_help=True)
    group.command("show")(show)
    group.command("verify")(verify)
    app.add_typer(group, name="bundle")


def show(bundle: _BundleArgument, as_json: _Json = False) -> None:
    """Verify the files of a bundle and print its manifest."""
    from glass_edge.engine.bundle import load_bundle

    loaded = load_bundle(bundle)
    if as_json:
        typer.echo(json.dumps({"folder": str(loaded.folder), **loaded.manifest.model_dump(mode="json")}, indent=2))
        return
    _print_manifest(loaded)


def verify(
    bundle: _BundleArgument,
    precision: Annotated[str, typer.Option(help="auto (each this CPU has), f32, bf16 or int8.")] = "auto",
    files_only: Annotated[bool, typer.Option("--files-only", help="Check hashes, run nothing.")] = False,
    as_json: _Json = False,
) -> None:
    """Verify every file of a bundle and run its golden tiles through the engine on this machine."""
    from glass_edge.engine.bundle import load_bundle

    loaded = load_bundle(bundle)
    results = [] if files_only else _run_gate(loaded, precision)
    if as_json:
        document = {
            "folder": str(loaded.folder),
            "files": len(loaded.manifest.files),
            "parity": [result.model_dump(mode="json") for result in results],
        }
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(f"{loaded.folder}: {len(loaded.manifest.files)} files, every SHA-256 as listed")
    for result in results:
        typer.echo(
            f"parity {result.runtime} {result.precision}: largest logit error {result.max_abs_logit_error:.3g} "
            f"({result.tolerance:.3g} allowed), {result.alarm_cells_changed} golden cells decided otherwise: passed"
        )


def _run_gate(bundle: Bundle, precision: str) -> list[ParityResult]:
    from glass_edge.cli.engine_options import engine_settings
    from glass_edge.engine.factory import candidate_precisions, graph_of
    from glass_edge.engine.openvino_engine import OpenVinoEngine
    from glass_edge.engine.parity import self_test

    results = []
    for one in candidate_precisions(bundle.manifest) if precision == "auto" else (precision,):
        settings = engine_settings(precision=one)
        with OpenVinoEngine(graph_of(bundle, one), bundle.manifest.tile, settings) as engine:
            results.append(self_test(engine, bundle))
    return results


def _print_manifest(bundle: Bundle) -> None:
    manifest, tile = bundle.manifest, bundle.manifest.tile
    rows = {
        "bundle": str(bundle.folder),
        "style, version": f"{manifest.style} {manifest.version}",
        "created (UTC)": manifest.created_utc,
        "program": f"glass-edge {manifest.glass_edge_version}",
        "method": manifest.method,
        "backbone": f"{manifest.backbone}, strides {', '.join(map(str, manifest.levels))} px",
        "tile": f"{tile.height_px} x {tile.width_px} px, {'RGB' if tile.channels == 3 else 'grey'}, "
        f"halo {tile.halo_px} px (error up to {tile.max_halo_error:.3g}), scores every {tile.score_stride_px} px",
        "scale": f"{manifest.mm_per_px} mm/px" if manifest.mm_per_px is not None else "not known",
        "smoothing": f"sigma {manifest.smoothing_sigma_px:g} px",
        "threshold (logit)": f"{manifest.threshold.logit:.4g}: {manifest.threshold.method}",
        "training data": manifest.training_data_sha256,
        "metrics": ", ".join(f"{name} {value:.4g}" for name, value in sorted(manifest.metrics.items())) or "none",
        "parity": "; ".join(
            f"{one.runtime} {one.precision} {'passed' if one.passed else 'FAILED'} ({one.max_abs_logit_error:.3g} of "
            f"{one.tolerance:.3g})"
            for one in manifest.parity
        )
        or "not recorded",
        "files": ", ".join(sorted(manifest.files)),
    }
    for name, value in rows.items():
        typer.echo(f"{name:18} {value}")
