"""Engines and keys that are not to be used any more: a text file that a mill hands to its stations.

Promises: a line is a SHA-256, of a bundle's manifest or of a public key in DER (its key id), and the reason; a file
that cannot be read whole is refused with the line, and never taken for an empty one; adding keeps what is there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from glass_edge.engine.bundle import Bundle
from glass_edge.engine.manifest import MANIFEST_NAME
from glass_edge.errors import InputError
from glass_edge.files import atomic_write

_HASH = re.compile(r"[0-9a-f]{64}")
_MOST_BYTES = 1 << 20
_HEAD = "# SHA-256 of a manifest, or id of a key, and why it is not to be used any more\n"


@dataclass(frozen=True, slots=True)
class Revocations:
    """What a file revokes.

    Attributes:
        path: the file; None: nothing is revoked.
        reasons: by SHA-256.
    """

    path: Path | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)

    def refuse(self, bundle: Bundle) -> None:
        """Raises InputError with the reason where the bundle itself is revoked."""
        if (reason := self.reasons.get(bundle.manifest_sha256)) is not None:
            manifest = bundle.manifest
            raise InputError(
                f"{bundle.folder / MANIFEST_NAME}: {manifest.style} {manifest.version} is revoked in {self.path}: "
                f"{reason}; use another version"
            )

    def of_key(self, key_id: str) -> str | None:
        """Why a key is revoked; None: it is not."""
        return self.reasons.get(key_id)


def read_revocations(path: Path | None) -> Revocations:
    """Read a file of revocations; None: there is none.

    Raises:
        InputError: it is missing or cannot be read, or a line is none of a SHA-256 and a reason.
    """
    return Revocations() if path is None else Revocations(path, _parse(path, _content(path)))


def add_revocation(path: Path, sha256: str, reason: str) -> bool:
    """Add a line to a file of revocations, which need not exist.

    Args:
        path: the file.
        sha256: of a manifest, or a key id.
        reason: one line.

    Returns:
        False where it was revoked already, and nothing was changed.

    Raises:
        InputError: the file is wrong or cannot be written, or the reason is empty or of several lines.
    """
    if not reason.strip() or not reason.isprintable():
        raise InputError(f"reason {reason!r}: say in one line why it is not to be used any more")
    before = _content(path) if path.exists() else _HEAD
    if sha256 in _parse(path, before):
        return False
    if not before.endswith("\n"):
        before += "\n"
    try:
        with atomic_write(path) as stream:
            stream.write(f"{before}{sha256} {reason.strip()}\n".encode())
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; give a file in a folder that is writable") from error
    return True


def _content(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            raise InputError(f"{path}: larger than {_MOST_BYTES >> 20} MiB; a file of revocations is a line for each")
        return data.decode("utf-8")
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; copy it there, or take the setting out") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); copy the file of revocations again") from error


def _parse(path: Path, text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        entry = line.strip()
        if not entry or entry.startswith("#"):
            continue
        sha256, _, reason = entry.partition(" ")
        if not _HASH.fullmatch(sha256) or not reason.strip():
            raise InputError(
                f"{path}:{number}: {entry!r} is not a SHA-256 (64 digits of 0-9a-f) and a reason; "
                "glass-edge bundle revoke writes such lines"
            )
        found.setdefault(sha256, reason.strip())
    if text and not text.endswith("\n"):
        raise InputError(f"{path}: its last line has no end, so it may be cut off; copy the file of revocations again")
    return found
