"""Bundles on disk: `engines/<style>/<version>/` with a manifest, the model and its evidence.

Promises: a bundle that loads has exactly the files its manifest names, each with the SHA-256 named there, and
`manifest.sha256` vouches for the manifest itself (`sha256sum -c` reads it); every signature in `signature.json`, where
there is one, fits the manifest; what `Bundle.read` returns has been hashed in memory, so no change on disk slips in
between.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from string import digits

from pydantic import ValidationError

from glass_edge.config.base import describe
from glass_edge.engine.golden import GoldenSet
from glass_edge.engine.manifest import (
    FORMAT_VERSION,
    GOLDEN_NAME,
    MANIFEST_HASH_NAME,
    MANIFEST_NAME,
    MODEL_NAME,
    SIGNATURE_NAME,
    Manifest,
)
from glass_edge.engine.signature import Signature, from_bytes
from glass_edge.errors import InputError
from glass_edge.files import sha256_file

_MEND = "the file was changed or damaged; copy the bundle again or rebuild it"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A verified bundle.

    Attributes:
        folder: the version folder.
        manifest: its manifest.
        manifest_sha256: SHA-256 of the manifest's bytes.
        signatures: each fits the manifest; whether its key is trusted is `trust`'s to say. Empty: not signed.
    """

    folder: Path
    manifest: Manifest
    manifest_sha256: str
    signatures: tuple[Signature, ...] = ()

    def read(self, name: str) -> bytes:
        """Content of a file of the bundle, checked once more while it is read.

        Raises:
            InputError: the manifest names no such file, or its content changed since the bundle was loaded.
        """
        expected = self.manifest.files.get(name)
        if expected is None:
            raise InputError(f"{self.folder}: the bundle has no file '{name}'")
        data = _read(self.folder / name)
        _require_hash(self.folder / name, hashlib.sha256(data).hexdigest(), expected)
        return data

    def model(self) -> bytes:
        """The ONNX graph."""
        return self.read(MODEL_NAME)

    def golden(self) -> GoldenSet:
        """The golden tiles and their score maps."""
        return GoldenSet.from_bytes(self.read(GOLDEN_NAME), self.manifest.tile, str(self.folder / GOLDEN_NAME))

    @property
    def model_sha256(self) -> str:
        """SHA-256 of the ONNX graph."""
        return self.manifest.files[MODEL_NAME]


def load_bundle(path: Path) -> Bundle:
    """Load and verify a bundle.

    Args:
        path: a version folder, or a style folder: then the version whose name sorts last, numbers by value.

    Raises:
        InputError: no bundle there, or anything in it is missing, changed or not listed; the message names the file.
    """
    bundle = load_manifest(path)
    folder, manifest = bundle.folder, bundle.manifest
    for needed in (MODEL_NAME, GOLDEN_NAME):
        if needed not in manifest.files:
            raise InputError(f"{folder / MANIFEST_NAME}: files: '{needed}' is not listed; a bundle needs it")
    listed = {*manifest.files, MANIFEST_NAME, MANIFEST_HASH_NAME, SIGNATURE_NAME}
    for found in sorted(folder.rglob("*")):
        name = found.relative_to(folder).as_posix()
        if found.is_symlink():
            raise InputError(f"{found}: a bundle must hold no links; replace it by the file")
        if not found.is_dir() and name not in listed:
            raise InputError(f"{found}: not listed in {MANIFEST_NAME}; remove it, nothing unverified lies in a bundle")
    for name, expected in sorted(manifest.files.items()):
        file = folder / name
        if not file.is_file():
            raise InputError(f"{file}: missing (SHA-256 {expected} expected); copy the bundle again or rebuild it")
        try:
            digest = sha256_file(file)
        except OSError as error:
            raise InputError(f"{file}: cannot be read: {error.strerror}") from error
        _require_hash(file, digest, expected)
    return bundle


def load_manifest(path: Path) -> Bundle:
    """What a bundle says of itself, to see soon whether it fits: its manifest and its signatures are verified, its
    other files are not. Before anything of it is used, `load_bundle`.

    Raises:
        InputError: no bundle there, or its manifest or signatures are missing, changed or wrong; names the file.
    """
    folder = version_folder(path)
    manifest, manifest_sha256 = _load_manifest(folder)
    return Bundle(folder, manifest, manifest_sha256, _load_signatures(folder, manifest_sha256))


def version_folder(path: Path) -> Path:
    """The version folder `path` names, itself or its newest version (nothing is verified yet)."""
    return version_folders(path)[-1]


def version_folders(path: Path) -> list[Path]:
    """The version folders `path` names, itself or all its versions, the newest last (nothing is verified yet).

    Raises:
        InputError: there is none.
    """
    if not path.is_dir():
        raise InputError(f"{path}: no such folder; give a bundle, engines/<style>/<version>")
    if (path / MANIFEST_NAME).exists() or (path / MODEL_NAME).exists():
        return [path]
    versions = [
        child
        for child in path.iterdir()
        if child.is_dir() and (child / MANIFEST_NAME).exists() and child.name[0] != "."
    ]
    if not versions:
        raise InputError(f"{path}: no {MANIFEST_NAME} here and in no folder below; give engines/<style>/<version>")
    return sorted(versions, key=lambda child: _natural(child.name))


def _load_signatures(folder: Path, manifest_sha256: str) -> tuple[Signature, ...]:
    path = folder / SIGNATURE_NAME
    return from_bytes(_read(path), manifest_sha256, path) if path.exists() else ()


def _load_manifest(folder: Path) -> tuple[Manifest, str]:
    path = folder / MANIFEST_NAME
    data = _read(path)
    digest = hashlib.sha256(data).hexdigest()
    recorded = _read(folder / MANIFEST_HASH_NAME)
    if recorded != hash_line(digest):
        found = recorded[:64].decode("ascii", "replace")
        raise InputError(f"{path}: SHA-256 is {digest}, {MANIFEST_HASH_NAME} says '{found}': {_MEND}")
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
    version = document.get("format_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version != FORMAT_VERSION:
        raise InputError(
            f"{path}: format_version = {version}: this program reads version {FORMAT_VERSION}; "
            f"{'update the program' if version > FORMAT_VERSION else 'rebuild the bundle'}"
        )
    try:
        return Manifest.model_validate(document), digest
    except ValidationError as error:
        raise InputError(describe(path, "", Manifest, error)) from error


def hash_line(digest: str) -> bytes:
    """Content of `manifest.sha256`."""
    return f"{digest}  {MANIFEST_NAME}\n".encode()


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{path}: missing; copy the bundle again or rebuild it") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error


def _require_hash(path: Path, found: str, expected: str) -> None:
    if found != expected:
        raise InputError(f"{path}: SHA-256 is {found}, the manifest says {expected}: {_MEND}")


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorting key under which '10' follows '9'."""
    return [(int(part), "") if part[0] in digits else (-1, part) for part in re.split(r"([0-9]+)", name) if part]
