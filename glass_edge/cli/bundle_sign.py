"""`glass-edge bundle keygen | sign`.

Promises: no key is overwritten or printed; a bundle is verified, golden tiles included, before it is signed.
"""

from __future__ import annotations

import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from glass_edge.errors import InputError

_Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
_PassphraseFile = Annotated[
    Path | None, typer.Option(help="File whose first line is the passphrase of the private key; without it: none.")
]


def keygen(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Private key to make, OUT.pem; beside it OUT.pub.pem.")],
    *,
    passphrase_file: _PassphraseFile = None,
    as_json: _Json = False,
) -> None:
    """Make a key to sign bundles with: a private file for the signer, a public one for the stations."""
    from glass_edge.engine.keys import write_key_pair

    pair = write_key_pair(out, _passphrase(passphrase_file))
    if as_json:
        document = {"private": str(pair.private), "public": str(pair.public), "key_id": pair.key_id}
        typer.echo(json.dumps(document, indent=2))
        return
    typer.echo(f"{pair.private}: the private key; who has it can sign: keep it away from the stations")
    typer.echo(f"{pair.public}: the public key, for trusted_keys of the stations")
    typer.echo(f"key id {pair.key_id}")


def sign(
    bundle: Annotated[Path, typer.Argument(metavar="BUNDLE", help="engines/<style>/<version>, or the style.")],
    *,
    key: Annotated[Path, typer.Option(help="The signer's private key in PEM.")],
    signer: Annotated[str | None, typer.Option(help="Who signs, to be shown.")] = None,
    passphrase_file: _PassphraseFile = None,
    files_only: Annotated[
        bool, typer.Option("--files-only", help="Check hashes before signing, but run no golden tiles.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Verify a bundle and sign it; a signature with the same key is replaced, those with others stay."""
    from glass_edge.cli.bundle import run_gate
    from glass_edge.engine.bundle import load_bundle
    from glass_edge.engine.keys import read_private_key
    from glass_edge.engine.manifest import SIGNATURE_NAME
    from glass_edge.engine.signing import sign_bundle

    secret = read_private_key(key, _passphrase(passphrase_file))
    mode = stat.S_IMODE(key.stat().st_mode)
    if mode & 0o077:
        typer.echo(f"warning: {key}: others may read or write the private key (mode {mode:04o}); chmod 600", err=True)
    loaded = load_bundle(bundle)
    loaded.golden()
    if not files_only:
        run_gate(loaded, "auto")
    signature = sign_bundle(loaded, secret, signer, datetime.now(UTC))
    file = loaded.folder / SIGNATURE_NAME
    if as_json:
        typer.echo(json.dumps({"file": str(file), **signature.model_dump(mode="json")}, indent=2))
        return
    typer.echo(f"{file}: signed by {signature}")


def _passphrase(path: Path | None) -> bytes | None:
    if path is None:
        return None
    try:
        first = path.read_bytes().split(b"\n", maxsplit=1)[0].removesuffix(b"\r")
    except OSError as error:
        raise InputError(f"--passphrase-file {path}: cannot be read: {error.strerror}") from error
    if not first:
        raise InputError(f"--passphrase-file {path}: its first line is empty; give a passphrase, or leave the file out")
    return first
