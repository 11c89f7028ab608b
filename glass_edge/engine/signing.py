"""Signing a bundle.

Promises: only a bundle that loads is signed, and the signature is that of the manifest which was loaded; a bundle has
its old signature file or the whole new one at every moment, and (where the folder above can be written) no temporary
file in it that would make a station refuse it meanwhile.
"""

from __future__ import annotations

import os
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from glass_edge.engine.bundle import Bundle, load_bundle
from glass_edge.engine.manifest import SIGNATURE_NAME
from glass_edge.engine.signature import Signature, sign, to_bytes
from glass_edge.errors import InputError
from glass_edge.files import write_bytes


def sign_bundle(bundle: Bundle, key: Ed25519PrivateKey, signer: str | None, now: datetime) -> Signature:
    """Sign a bundle; a signature by the same key is replaced, those by others stay.

    Args:
        bundle: loaded.
        key: the signer's.
        signer: a name; None: none.
        now: aware time of the signature.

    Raises:
        InputError: the name cannot be used, the file cannot be written, or the bundle changed meanwhile.
    """
    signature = sign(bundle.manifest_sha256, key, signer, now)
    others = [one for one in bundle.signatures if one.key_id != signature.key_id]
    path = bundle.folder / SIGNATURE_NAME
    try:
        write_bytes(path, to_bytes([*others, signature]), _beside(bundle.folder.resolve()))
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    load_bundle(bundle.folder)
    return signature


def _beside(folder: Path) -> Path:
    """Where the temporary file goes: above the bundle, or in it where above is another file system or not writable."""
    above = folder.parent
    return above if os.access(above, os.W_OK) and above.stat().st_dev == folder.stat().st_dev else folder
