"""Signing a bundle.

Promises: only a bundle that loads is signed, and the signature is that of the manifest which was loaded; a bundle has
its old signature file or the whole new one at every moment, and never a third file that would make it refused.
"""

from __future__ import annotations

from datetime import datetime

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
        # written beside the version's folder: a station that loads the bundle now must find nothing unlisted in it
        write_bytes(path, to_bytes([*others, signature]), beside=bundle.folder.resolve().parent)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}") from error
    load_bundle(bundle.folder)
    return signature
