"""Which signed bundles are trusted.

Promises: where a signature is required, a bundle passes only with a signature that fits its manifest and was made with
one of the keys listed, which is not revoked; a revoked bundle never passes; names and times in a signature have no part
in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.keys import read_trusted_keys
from glass_edge.engine.manifest import SIGNATURE_NAME
from glass_edge.engine.revocation import Revocations, read_revocations
from glass_edge.engine.signature import Signature
from glass_edge.errors import InputError


def require_trusted(bundle: Bundle, trusted: Mapping[str, Path], revoked: Revocations | None = None) -> Signature:
    """A signature of `bundle` by a trusted key.

    Args:
        bundle: loaded, so what signatures it has fit.
        trusted: files of the trusted keys by key id.
        revoked: keys that count no more.

    Raises:
        InputError: not signed, or by none of these keys.
    """
    path = bundle.folder / SIGNATURE_NAME
    if not bundle.signatures:
        raise InputError(
            f"{path}: missing: the bundle is not signed, and a signature by a trusted key is required; have it signed "
            "(glass-edge bundle sign), or copy its signature too"
        )
    known = [signature for signature in bundle.signatures if signature.key_id in trusted]
    for signature in known:
        reason = None if revoked is None else revoked.of_key(signature.key_id)
        if reason is None:
            return signature
    if known and revoked is not None:
        gone = "; ".join(f"{signature}: {revoked.of_key(signature.key_id)}" for signature in known)
        raise InputError(f"{path}: signed with a key that is revoked in {revoked.path} ({gone}); have it signed anew")
    listed = ", ".join(f"{file} (key {identity})" for identity, file in trusted.items()) or "none"
    raise InputError(
        f"{path}: signed by {'; '.join(map(str, bundle.signatures))}, which is no trusted key; trusted: {listed}; have "
        "it signed with one of these, or list the signer's public key if you trust it"
    )


def check_trust(bundle: Bundle, settings: EngineSettings) -> None:
    """Whether the station may use a bundle.

    Raises:
        InputError: it requires a signature that the bundle has not, the bundle or the key is revoked, or a file of keys
            or revocations is wrong.
    """
    revoked = read_revocations(settings.revoked)
    revoked.refuse(bundle)
    if settings.require_signature:
        require_trusted(bundle, read_trusted_keys(settings.trusted_keys), revoked)
