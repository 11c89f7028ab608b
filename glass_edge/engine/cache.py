"""Cache of compiled engines.

Promises: a compiled engine is used only when its file carries the right SHA-256 of itself and its name is the key of
exactly this model, device, runtime version, precision and shapes; anything else is rebuilt; a corrupt file is named in
the log and removed. That finds accidents: whoever may write the folder can put any engine there, so it must be the
station's own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog

from glass_edge.errors import InputError
from glass_edge.files import make_folder, write_bytes

_log = structlog.get_logger(__name__)
_DIGEST_BYTES = 32
_KEPT = 16


@dataclass(frozen=True, slots=True)
class EngineCache:
    """Compiled engines in one folder, a file each: SHA-256 of the rest, then the rest.

    Attributes:
        folder: made when the first engine is stored.
        kept: engines that stay; the oldest beyond go.
    """

    folder: Path
    kept: int = _KEPT

    def path(self, key: Mapping[str, str]) -> Path:
        """File of the engine with this key (every fact that makes a compiled engine another one)."""
        digest = hashlib.sha256(json.dumps(dict(key), sort_keys=True).encode()).hexdigest()
        return self.folder / f"{digest[:40]}.blob"

    def load(self, key: Mapping[str, str]) -> bytes | None:
        """The compiled engine, or None when there is none that can be trusted (a damaged one is removed)."""
        path = self.path(key)
        try:
            data = path.read_bytes()
        except OSError:
            return None  # compiling anew needs no cache
        blob = data[_DIGEST_BYTES:]
        if not blob or hashlib.sha256(blob).digest() != data[:_DIGEST_BYTES]:
            _log.warning("engine.cache_damaged", file=str(path), remedy="removed; compiled anew")
            self.drop(key)
            return None
        return blob

    def store(self, key: Mapping[str, str], blob: bytes) -> None:
        """Keep a compiled engine; the oldest beyond `kept` go.

        Raises:
            InputError: the folder cannot be made or written.
        """
        make_folder(self.folder)
        write_bytes(self.path(key), hashlib.sha256(blob).digest() + blob)
        by_age = sorted(self.folder.glob("*.blob"), key=_modified_s, reverse=True)
        for old in by_age[self.kept :]:
            old.unlink(missing_ok=True)

    def drop(self, key: Mapping[str, str]) -> None:
        """Remove an engine that cannot be used.

        Raises:
            InputError: it cannot be removed.
        """
        path = self.path(key)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"{path}: damaged and cannot be removed: {error.strerror}; remove it") from error


def _modified_s(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another process removed it meanwhile
        return 0.0
