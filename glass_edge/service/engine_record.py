"""When the versions of a style came: `.installed.json` in its folder.

Promises: the file is whole or as it was; it is no evidence, so a damaged one is begun anew; a version that was copied
by hand has no entry.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from glass_edge.config.base import Settings
from glass_edge.engine.bundle import Bundle
from glass_edge.files import write_json

_NAME = ".installed.json"


class InstalledVersion(Settings):
    """A version that came."""

    manifest_sha256: str
    """SHA-256 of its manifest."""
    installed_utc: AwareDatetime
    """When."""


class _Record(Settings):
    format: Literal[1] = 1
    versions: dict[str, InstalledVersion] = Field(default_factory=dict)


def note(folder: Path, bundle: Bundle) -> None:
    """A bundle came into a style's folder. Raises InputError where that cannot be written."""
    one = InstalledVersion(manifest_sha256=bundle.manifest_sha256, installed_utc=datetime.now(UTC))
    _write(folder, {**_read(folder), bundle.manifest.version: one})


def forget(folder: Path, versions: Iterable[str]) -> None:
    """Versions went. Raises InputError where that cannot be written."""
    before = _read(folder)
    after = {version: one for version, one in before.items() if version not in set(versions)}
    if after != before:
        _write(folder, after)


def installed_utc(bundle: Bundle) -> datetime | None:
    """When a bundle came; None: that is not known."""
    one = _read(bundle.folder.parent).get(bundle.manifest.version)
    return None if one is None or one.manifest_sha256 != bundle.manifest_sha256 else one.installed_utc


def _read(folder: Path) -> dict[str, InstalledVersion]:
    try:
        return _Record.model_validate(json.loads((folder / _NAME).read_text(encoding="utf-8"))).versions
    except (OSError, ValueError, ValidationError, RecursionError):
        return {}


def _write(folder: Path, versions: dict[str, InstalledVersion]) -> None:
    write_json(folder / _NAME, _Record(versions=versions).model_dump(mode="json"))
