"""Which signed bundles are trusted.

Promises: where a signature is required, a bundle passes only with a signature that fits its manifest and was made with
one of the keys listed; names and times in a signature have no part in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.keys import read_trusted_keys
from glass_edge.engine.manifest import SIGNATURE_NAME
from glass_edge.engine.signature import Signature
from glass_edge.errors import InputError


def require_trusted(bundle: Bundle, trusted: Mapping[str, Path]) -> Signature:
    """A signature of `bundle` by a trusted key.

    Args:
        bundle: loaded, so what signatures it has fit.
        trusted: files of the trusted keys by key id.

    Raises:
        InputError: not signed, or by none of these keys.
    """
    path = bundle.folder / SIGNATURE_NAME
    if not bundle.signatures:
        raise InputError(
            f"{path}: missing: the bundle is not signed, and a signature by a trusted key is required; have it signed "
            "(glass-edge bundle sign), or copy its signature too"
        )
    for signature in bundle.signatures:
        if signature.key_id in trusted:
            return signature
    listed = ", ".join(f"{file} (key {identity})" for identity, file in trusted.items()) or "none"
    raise InputError(
        f"{path}: signed by {'; '.join(map(str, bundle.signatures))}, which is no trusted key; trusted: {listed}; have "
        "it signed with one of these, or list the signer's public key if you trust it"
    )


def check_trust(bundle: Bundle, settings: EngineSettings) -> None:
    """Raises InputError when the station requires a signature that the bundle has not, or a key file is wrong."""
    if settings.require_signature:
        require_trusted(bundle, read_trusted_keys(settings.trusted_keys))
