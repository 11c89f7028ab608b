"""`glass-edge bundle revoke`: a line in the file of what a mill's stations must not use any more.

Promises: what the file holds already stays; nothing is written when anything is wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from glass_edge.errors import InputError


def revoke(
    bundle: Annotated[Path | None, typer.Argument(metavar="[BUNDLE]", help="The version to revoke.")] = None,
    *,
    key: Annotated[Path | None, typer.Option(metavar="KEYFILE", help="Or the public key to revoke.")] = None,
    file: Annotated[
        Path, typer.Option("--list", metavar="FILE", help="The file of revocations, engine.revoked of the stations.")
    ],
    reason: Annotated[str, typer.Option(help="Why, in one line.")],
) -> None:
    """Revoke a version of a style, or a key with everything signed by it alone."""
    from glass_edge.engine.bundle import load_manifest
    from glass_edge.engine.keys import key_id, read_public_key
    from glass_edge.engine.revocation import add_revocation

    if (bundle is None) == (key is None):
        raise InputError("give a BUNDLE or --key KEYFILE: one of them is revoked at a time")
    if bundle is not None:
        found = load_manifest(bundle)
        sha256, what = found.manifest_sha256, f"{found.manifest.style} {found.manifest.version}"
    else:
        assert key is not None
        sha256, what = key_id(read_public_key(key)), f"key {key}"
    if add_revocation(file, sha256, reason):
        typer.echo(f"{file}: {what} is revoked ({sha256}); hand the file to the stations")
    else:
        typer.echo(f"{file}: {what} was revoked already; nothing changed")
