"""Ed25519 key files: making and reading them.

Promises: key files are PEM as `openssl genpkey -algorithm ed25519` writes it; a new key never replaces a file, and its
private half can be read by its owner alone; anything else than the one key that is needed is refused with the file
named and what would be right.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from glass_edge.engine.signature import id_of_raw_key
from glass_edge.errors import InputError
from glass_edge.files import sync_folder

PRIVATE_SUFFIX, PUBLIC_SUFFIX = ".pem", ".pub.pem"
_BEGIN = b"-----BEGIN "
_MAKE = "glass-edge bundle keygen makes a pair"


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Files of a new key.

    Attributes:
        private: to be kept by the signer.
        public: for the stations.
        key_id: SHA-256 of the public key in DER.
    """

    private: Path
    public: Path
    key_id: str


def key_id(key: Ed25519PublicKey) -> str:
    """SHA-256 of the public key in DER, as `openssl pkey -pubin -outform DER | sha256sum` gives it."""
    return id_of_raw_key(key.public_bytes_raw())


def write_key_pair(out: Path, passphrase: bytes | None = None) -> KeyPair:
    """Make a key.

    Args:
        out: the private key's file; `.pem` is added when it is missing. The public key lies beside it, `.pub.pem`.
        passphrase: what the private key is encrypted with; None: not encrypted.

    Raises:
        InputError: one of the two files exists, or cannot be written. Nothing is left behind.
    """
    name = out.name.removesuffix(PRIVATE_SUFFIX)
    if not name or name.endswith(PUBLIC_SUFFIX.removesuffix(PRIVATE_SUFFIX)):
        raise InputError(f"{out}: give the name of the private key's file, NAME{PRIVATE_SUFFIX}")
    private, public = out.with_name(name + PRIVATE_SUFFIX), out.with_name(name + PUBLIC_SUFFIX)
    key = Ed25519PrivateKey.generate()
    encryption: KeySerializationEncryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)
    known = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    _write_new(private, secret, 0o600)
    try:
        _write_new(public, known, 0o644)
    except InputError:
        private.unlink(missing_ok=True)
        raise
    return KeyPair(private, public, key_id(key.public_key()))


def read_private_key(path: Path, passphrase: bytes | None = None) -> Ed25519PrivateKey:
    """Read a private key.

    Raises:
        InputError: not there, no Ed25519 private key in PEM, or the passphrase is missing, wrong or not needed.
    """
    data = _read(path, "private key")
    if b"PRIVATE KEY-----" not in data:
        raise InputError(f"{path}: holds no private key in PEM; give the file that begins with BEGIN PRIVATE KEY")
    try:
        key = load_pem_private_key(data, passphrase)
    except TypeError as error:
        wanted = "is not encrypted; leave the passphrase out" if passphrase else "is encrypted; give its passphrase"
        raise InputError(f"{path}: the private key {wanted} (--passphrase-file)") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        why = "the passphrase is wrong, or the file is damaged" if passphrase else "damaged, or of an unknown kind"
        raise InputError(f"{path}: the private key cannot be read: {why}; {_MAKE}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise InputError(f"{path}: a private key of another kind; bundles are signed with Ed25519: {_MAKE}")
    return key


def read_public_key(path: Path) -> Ed25519PublicKey:
    """Read a public key.

    Raises:
        InputError: not there, no single Ed25519 public key in PEM, or a private key, which has no business here.
    """
    data = _read(path, "public key")
    if b"PRIVATE KEY-----" in data:
        raise InputError(
            f"{path}: holds a private key; it belongs to the signer alone: give the public one (*{PUBLIC_SUFFIX}) and, "
            "where others could read this file, make a new pair"
        )
    if data.count(_BEGIN) > 1:
        raise InputError(f"{path}: holds several PEM blocks and only one would count; give each key a file of its own")
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InputError(
            f"{path}: holds no public key in PEM (BEGIN PUBLIC KEY), or it is damaged; {_MAKE}, and openssl pkey -in "
            f"PRIVATE{PRIVATE_SUFFIX} -pubout writes the public one anew"
        ) from error
    if not isinstance(key, Ed25519PublicKey):
        raise InputError(f"{path}: a public key of another kind; bundles are signed with Ed25519: {_MAKE}")
    return key


def read_trusted_keys(paths: Sequence[Path]) -> dict[str, Path]:
    """Files of public keys by key id; raises InputError as `read_public_key` does."""
    return {key_id(read_public_key(path)): path for path in paths}


def _read(path: Path, what: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the file of a {what} in PEM") from None
    except OSError as error:
        raise InputError(f"{path}: the {what} cannot be read: {error.strerror}") from error


def _write_new(path: Path, data: bytes, mode: int) -> None:
    """Write a file whole under a name nobody has: the name is taken first, then the content put in its place."""
    try:
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise InputError(f"{path} exists; a key is never overwritten: choose another name") from None
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; give a folder that exists and is writable") from error
    temporary = None
    try:
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=".~")  # mode 0600
        temporary = Path(name)
        with os.fdopen(fd, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException as error:
        for left in (temporary, path):
            if left is not None:
                left.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InputError(f"cannot write {path}: {error.strerror}") from error
        raise
