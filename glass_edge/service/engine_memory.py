"""Which engine was chosen by a command, kept over restarts.

Promises: a choice is on disk before it is told as an event, whole or not at all; a station begins with the engine that
was chosen last, until a person names another bundle in the station file or deletes this one; what was asked for and
never came to decide is not forgotten silently.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, ValidationError

from glass_edge.config.base import Settings, describe
from glass_edge.errors import InputError
from glass_edge.files import make_folder, write_json


class EngineChoice(Settings):
    """An engine that a command asked for."""

    style: str
    """Its style."""
    version: str
    """Its version."""
    asked_utc: AwareDatetime
    """When."""

    def __str__(self) -> str:
        return f"{self.style} {self.version}"


class _Kept(Settings):
    """The file."""

    format: Literal[1] = 1
    station_bundle: str
    """The bundle of the station file at that time; another one there wins."""
    chosen: EngineChoice | None = None
    """Decides."""
    pending: EngineChoice | None = None
    """Was asked for and does not decide yet."""


class EngineMemory:
    """The file beside the journal; used by one thread at a time.

    Args:
        path: of the file; it need not exist.
        station_bundle: the bundle that the station file names.

    Raises:
        InputError: the file is damaged.
    """

    def __init__(self, path: Path, station_bundle: Path) -> None:
        self.path = path
        self._kept = _Kept(station_bundle=str(station_bundle.absolute()))
        found = _read(path)
        self.overruled: EngineChoice | None = None
        """A choice that counts no more, because the station file names another bundle than it did."""
        if found is not None and found.station_bundle == self._kept.station_bundle:
            self._kept = found
        elif found is not None:
            self.overruled = found.chosen

    @property
    def chosen(self) -> EngineChoice | None:
        """The engine to begin with; None: the station file's."""
        return self._kept.chosen

    @property
    def pending(self) -> EngineChoice | None:
        """What was asked for and did not decide when this was written."""
        return self._kept.pending

    def ask(self, style: str, version: str) -> None:
        """An engine is asked for.

        Raises:
            InputError: it cannot be written, here as below.
        """
        self._write({"pending": _choice(style, version)})

    def choose(self, style: str, version: str) -> None:
        """An engine decides from now on."""
        pending = self._kept.pending
        is_it = pending is not None and (pending.style, pending.version) == (style, version)
        self._write({"chosen": _choice(style, version), "pending": None if is_it else pending})

    def drop_pending(self) -> None:
        """What was asked for will not decide."""
        if self._kept.pending is not None:
            self._write({"pending": None})

    def _write(self, changes: dict[str, EngineChoice | None]) -> None:
        kept = self._kept.model_copy(update=changes)
        make_folder(self.path.parent)
        write_json(self.path, kept.model_dump(mode="json"))
        self._kept = kept


def memory_path(journal: Path) -> Path:
    """Where a station with this journal keeps the choice."""
    return journal.with_name(f"{journal.name}.engine.json")


def _choice(style: str, version: str) -> EngineChoice:
    return EngineChoice(style=style, version=version, asked_utc=datetime.now(UTC))


def _read(path: Path) -> _Kept | None:
    remedy = "delete it, and the station begins with the engine of its file"
    try:
        text = path.read_text(encoding="utf-8")
        return _Kept.model_validate(json.loads(text))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise InputError(f"{describe(path, '', _Kept, error)}; {remedy}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error}); {remedy}") from error
