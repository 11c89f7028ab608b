"""Which versions of a style a machine's stations need.

Promises: a version that decides, decided before, waits to decide or is named in a station file is found for every
station file in the folder of the one that is given; a station file that cannot be read is an error, for what it needs
is not known.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

from glass_edge.config.station import StationSettings, load_station
from glass_edge.engine.manifest import MANIFEST_NAME, MODEL_NAME
from glass_edge.errors import InputError
from glass_edge.service.engine_memory import EngineMemory, memory_path
from glass_edge.service.engine_start import begins_with
from glass_edge.service.recipe_book import RecipeBook


def versions_in_use(config: Path, style: str, folder: Path) -> set[str]:
    """Versions of a style, all in `folder`, that the station file `config` or another one beside it needs.

    Raises:
        InputError: a station file or a station's memory cannot be read.
    """
    found: set[str] = set()
    for settings in _stations_beside(config):
        found |= _needed(settings, style, folder.resolve())
    return found


def names_one_version(bundle: Path) -> bool:
    """Whether a path of a station file is a bundle itself, not the folder of a style."""
    return (bundle / MANIFEST_NAME).exists() or (bundle / MODEL_NAME).exists()


def _stations_beside(config: Path) -> list[StationSettings]:
    found = []
    for path in sorted({config, *config.parent.glob("*.toml")}):
        if path == config or _is_station(path):
            found.append(load_station(path))
    return found


def _is_station(path: Path) -> bool:
    """Whether a TOML file means to be a station file; other settings lie beside them."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read, and may be a station file that needs a version ({error})") from error
    return "station" in document and "bundle" in document


def _needed(settings: StationSettings, style: str, folder: Path) -> set[str]:
    named = [settings.bundle, *(entry.bundle for entry in settings.recipes.values())]
    versions = {path.name for path in named if path.resolve().parent == folder}
    memory = EngineMemory(memory_path(settings.events.journal), settings.bundle)
    versions |= {one.version for one in (memory.chosen, memory.pending) if one is not None and one.style == style}
    if (engines := memory.engines(style)) is not None:
        versions |= {slot.version for slot in (engines.deciding, engines.before) if slot is not None}
    try:
        beginning = begins_with(settings, memory, RecipeBook.of(settings)).folder
    except InputError:  # it begins with none: whatever is wrong will be said at its start
        return versions
    return versions | ({beginning.name} if beginning.resolve().parent == folder else set())
