"""`glass-edge bundle show | verify | keygen | sign | revoke | diff`.

Promises: each refuses a bundle with anything missing, changed or not listed, or a signature that does not fit; `verify`
also runs the parity gate on this machine, and asks for a trusted signature where it is told to, before anything runs.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glass_edge.cli import bundle_diff, bundle_revoke, bundle_sign
from glass_edge.errors import InputError

if TYPE_CHECKING:
    from glass_edge.engine.bundle import Bundle
    from glass_edge.engine.manifest import ParityResult

_BundleArgument = Annotated[Path, typer.Argument(metavar="BUNDLE", help="engines/<style>/<version>, or the style.")]
_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(app: typer.Typer) -> None:
    """Add the group to `app`."""
    group = typer.Typer(help="Look at bundles, verify, sign and compare them.", no_args_is_help=True)
    group.command("show")(show)
    group.command("verify")(verify)
    group.command("keygen")(bundle_sign.keygen)
    group.command("sign")(bundle_sign.sign)
    group.command("revoke")(bundle_revoke.revoke)
    group.command("diff")(bundle_diff.diff)
    app.add_typer(group, name="bundle")


def show(bundle: _BundleArgument, as_json: _Json = False) -> None:
    """Verify the files of a bundle and print what it is."""
    from glass_edge.cli.bundle_show import print_bundle
    from glass_edge.engine.bundle import load_bundle

    loaded = load_bundle(bundle)
    if not as_json:
        print_bundle(loaded)
        return
    document = {
        "folder": str(loaded.folder),
        "manifest_sha256": loaded.manifest_sha256,
        **loaded.manifest.model_dump(mode="json"),
        "signatures": [one.model_dump(mode="json") for one in loaded.signatures],
    }
    typer.echo(json.dumps(document, indent=2))


def verify(
    bundle: _BundleArgument,
    *,
    precision: Annotated[str, typer.Option(help="auto (each this CPU has), f32, bf16 or int8.")] = "auto",
    files_only: Annotated[bool, typer.Option("--files-only", help="Check hashes, run nothing.")] = False,
    require_signature: Annotated[
        bool, typer.Option("--require-signature", help="Refuse a bundle without a signature by a trusted key.")
    ] = False,
    trusted: Annotated[
        list[Path] | None, typer.Option(metavar="KEYFILE", help="Public key to trust; may be given several times.")
    ] = None,
    revoked: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File of revocations; what it names is refused.")
    ] = None,
    as_json: _Json = False,
) -> None:
    """Verify files and signatures of a bundle, and run its golden tiles through the engine on this machine."""
    from glass_edge.engine.bundle import load_bundle
    from glass_edge.engine.keys import read_trusted_keys
    from glass_edge.engine.revocation import read_revocations
    from glass_edge.engine.trust import require_trusted

    if require_signature != bool(trusted):
        raise InputError(
            "--require-signature says nothing without a key to trust; add --trusted KEYFILE"
            if require_signature
            else "--trusted is only used with --require-signature; add --require-signature"
        )
    revocations = read_revocations(revoked)
    given = read_trusted_keys(trusted or ())
    keys = {identity: path for identity, path in given.items() if revocations.of_key(identity) is None}
    loaded = load_bundle(bundle)
    revocations.refuse(loaded)
    if require_signature:
        require_trusted(loaded, given, revocations)
    loaded.golden()
    results = [] if files_only else run_gate(loaded, precision)
    if as_json:
        signatures = [
            {
                **one.model_dump(mode="json", include={"key_id", "signer", "signed_utc"}),
                "trusted": one.key_id in keys if require_signature else None,
            }
            for one in loaded.signatures
        ]
        document = {
            "folder": str(loaded.folder),
            "files": len(loaded.manifest.files),
            "signatures": signatures,
            "parity": [result.model_dump(mode="json") for result in results],
        }
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(f"{loaded.folder}: {len(loaded.manifest.files)} files, every SHA-256 as listed")
    for one in loaded.signatures:
        trust = f"trusted ({keys[one.key_id]})" if one.key_id in keys else "no trusted key"
        typer.echo(f"signed by {one}: fits, {trust if require_signature else 'no trusted keys were given'}")
    if not loaded.signatures:
        typer.echo("not signed")
    for result in results:
        typer.echo(
            f"parity {result.runtime} {result.precision}: largest logit error {result.max_abs_logit_error:.3g} "
            f"({result.tolerance:.3g} allowed), {result.alarm_cells_changed} golden cells decided otherwise: passed"
        )


def run_gate(bundle: Bundle, precision: str) -> list[ParityResult]:
    """Outcome of the parity gate for a precision, or (auto) for each this machine and the bundle have.

    Raises:
        ParityError: an engine's scores are not those of the checkpoint.
    """
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
