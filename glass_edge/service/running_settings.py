"""The settings that a station runs with, kept beside its journal for who would change them.

Promises: what is kept is what was read when the station started, defaults included and paths absolute, whole or absent;
a key counts as changed only when its value is another.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from glass_edge.config.station import StationSettings
from glass_edge.errors import InputError
from glass_edge.files import make_folder, write_json

_ABSENT = object()


def keep_running(settings: StationSettings) -> None:
    """The station starts with these settings. Raises InputError where the file cannot be written."""
    path = running_path(settings)
    make_folder(path.parent)
    write_json(path, _plain(settings.model_dump()))


def changed_keys(settings: StationSettings) -> list[str]:
    """Keys, with their tables, whose values are others than those of the station that runs.

    Raises:
        InputError: nothing is kept of it, or it cannot be read.
    """
    path = running_path(settings)
    try:
        running = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(
            f"{path}: no such file; the station has not run yet, or [events] journal was changed: restart it"
        ) from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read ({error}); restart the station, which writes it") from error
    now = json.loads(json.dumps(_plain(settings.model_dump())))  # both with JSON's own numbers and lists
    return _differences(running, now, "")


def running_path(settings: StationSettings) -> Path:
    """Where a station keeps them."""
    journal = settings.events.journal
    return journal.with_name(f"{journal.name}.running.json")


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever a setting holds
    if isinstance(value, Path):
        return str(value.absolute())
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    return value


def _differences(before: Any, after: Any, name: str) -> list[str]:  # noqa: ANN401 - JSON
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return [] if before == after else [name]
    found = []
    for key in sorted(before.keys() | after.keys()):
        found += _differences(before.get(key, _ABSENT), after.get(key, _ABSENT), f"{name}.{key}" if name else key)
    return found
