"""Signatures of a bundle: `signature.json`, beside the manifest it vouches for.

Promises: a signature covers the SHA-256 of the manifest's bytes (which name the SHA-256 of every other file), the key,
the time and the signer's name, in a message no other program signs; a file that reads back is byte for byte the one
that was written and every signature in it fits the manifest. Whether a key is trusted is another question (`trust`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import Field, ValidationError, field_validator, model_validator

from glass_edge.config.base import Settings, describe
from glass_edge.engine.manifest import MANIFEST_NAME
from glass_edge.errors import InputError

DOMAIN = "glass-edge bundle signature v1"
_MOST_SIGNATURES = 16
_MOST_NAME = 128
_TIME = "%Y-%m-%dT%H:%M:%SZ"
_DER_HEAD = bytes.fromhex("302a300506032b6570032100")  # SubjectPublicKeyInfo of Ed25519, RFC 8410; the raw key follows
_MEND = "copy the bundle again, or remove the file and sign the bundle anew"

_Hex32 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_Hex64 = Annotated[str, Field(pattern=r"^[0-9a-f]{128}$")]


class Signature(Settings):
    """One signature."""

    algorithm: Literal["ed25519"]
    key_id: _Hex32
    """SHA-256 of the public key in DER."""
    public_key: _Hex32
    """The raw public key (RFC 8032): the file can be checked for damage without any key at hand."""
    signer: str | None = Field(default=None, min_length=1, max_length=_MOST_NAME)
    """Who signed, by the signer's own word."""
    signed_utc: str
    """When, by the signer's own clock: ISO 8601, UTC, seconds."""
    signature: _Hex64
    """Ed25519 signature of `message`."""

    @field_validator("signer")
    @classmethod
    def _one_line(cls, signer: str | None) -> str | None:
        if signer is not None and not signer.isprintable():
            raise ValueError("a name has printable characters only")
        return signer

    @field_validator("signed_utc")
    @classmethod
    def _is_time(cls, text: str) -> str:
        if datetime.strptime(text, _TIME).replace(tzinfo=UTC).strftime(_TIME) != text:
            raise ValueError("a time has the form 2026-01-31T23:59:59Z")
        return text

    @model_validator(mode="after")
    def _names_its_key(self) -> Signature:
        if self.key_id != id_of_raw_key(bytes.fromhex(self.public_key)):
            raise ValueError("key_id is not the SHA-256 of public_key")
        return self

    def fits(self, manifest_sha256: str) -> bool:
        """True when this is a signature of the manifest with that SHA-256."""
        text = message(manifest_sha256, self.key_id, self.signed_utc, self.signer)
        try:
            key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(self.public_key))
            key.verify(bytes.fromhex(self.signature), text)
        except InvalidSignature:
            return False
        return True

    def __str__(self) -> str:
        return f"{self.signer or 'no name given'}, {self.signed_utc}, key {self.key_id}"


class SignatureFile(Settings):
    """`signature.json`."""

    format_version: Literal[1]
    signatures: tuple[Signature, ...] = Field(min_length=1, max_length=_MOST_SIGNATURES)
    """One a key, by key id."""

    @model_validator(mode="after")
    def _one_a_key(self) -> SignatureFile:
        keys = [one.key_id for one in self.signatures]
        if keys != sorted(set(keys)):
            raise ValueError("the signatures are not one a key in the order of the key ids")
        return self


def message(manifest_sha256: str, key_id: str, signed_utc: str, signer: str | None) -> bytes:
    """What is signed: five lines of UTF-8 text, so that it can be made and checked by other tools."""
    lines = (
        DOMAIN,
        f"{MANIFEST_NAME} sha256 {manifest_sha256}",
        f"key {key_id}",
        f"signed {signed_utc}",
        f"signer {signer or ''}",
    )
    return "".join(f"{line}\n" for line in lines).encode()


def sign(manifest_sha256: str, key: Ed25519PrivateKey, signer: str | None, now: datetime) -> Signature:
    """Sign the manifest with that SHA-256.

    Args:
        manifest_sha256: lower-case hex.
        key: the signer's.
        signer: a name, one line of printable text; None: none.
        now: aware time of the signature.

    Raises:
        InputError: the name has control characters or is too long.
    """
    raw = key.public_key().public_bytes_raw()
    key_id, signed_utc = id_of_raw_key(raw), now.astimezone(UTC).strftime(_TIME)
    try:
        signature = Signature(
            algorithm="ed25519",
            key_id=key_id,
            public_key=raw.hex(),
            signer=signer,
            signed_utc=signed_utc,
            signature="0" * 128,
        )
    except ValidationError as error:
        raise InputError(
            f"signer {signer!r}: {error.errors()[0]['msg'].removeprefix('Value error, ')}; give one line of 1 to "
            f"{_MOST_NAME} printable characters"
        ) from error
    signed = key.sign(message(manifest_sha256, key_id, signed_utc, signer))
    return signature.model_copy(update={"signature": signed.hex()})


def to_bytes(signatures: Iterable[Signature]) -> bytes:
    """Content of `signature.json`, the same for the same signatures in any order."""
    ordered = [one.model_dump(mode="json") for one in sorted(signatures, key=lambda one: one.key_id)]
    document = {"format_version": 1, "signatures": ordered}
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def from_bytes(data: bytes, manifest_sha256: str, path: Path) -> tuple[Signature, ...]:
    """Inverse of `to_bytes`, with every signature checked.

    Args:
        data: content of the file.
        manifest_sha256: of the manifest's bytes beside it.
        path: what errors call the file.

    Raises:
        InputError: cut off, changed, or of another manifest; the message begins with `path`.
    """
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON, cut off or changed ({error}); {_MEND}") from error
    version = document.get("format_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > 1:
        raise InputError(f"{path}: format_version = {version}: this program reads version 1; update the program")
    try:
        found = SignatureFile.model_validate(document).signatures
    except ValidationError as error:
        raise InputError(f"{describe(path, '', SignatureFile, error)}\n{path}: {_MEND}") from error
    for one in found:
        if not one.fits(manifest_sha256):
            raise InputError(
                f"{path}: the signature of {one} does not fit {MANIFEST_NAME} (SHA-256 {manifest_sha256}): one of the "
                f"two was changed after the signing; {_MEND}"
            )
    if to_bytes(found) != data:
        raise InputError(f"{path}: not written as the program writes it: changed after the signing; {_MEND}")
    return found


def id_of_raw_key(raw: bytes) -> str:
    """Key id of a raw public key of 32 bytes: SHA-256 of its DER, lower-case hex."""
    return hashlib.sha256(_DER_HEAD + raw).hexdigest()
