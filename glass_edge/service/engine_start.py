"""The engine that a station begins with.

Promises: a start changes no engine: the one that was chosen by a command, or decided last of the folder that the
station file names, decides again, until a person names another bundle there; nothing is written here.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from glass_edge.config.station import StationSettings
from glass_edge.engine.bundle import load_manifest, version_folders
from glass_edge.errors import InputError
from glass_edge.service.engine_memory import EngineMemory
from glass_edge.service.recipe_book import RecipeBook


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a station begins with.

    Attributes:
        folder: of the bundle; nothing of it but the manifest is verified.
        said: what a person should know of it; empty: nothing.
    """

    folder: Path
    said: str = ""


def begins_with(settings: StationSettings, memory: EngineMemory, book: RecipeBook) -> Beginning:
    """The engine of the next start, apart from trials.

    Raises:
        InputError: it is missing, or its manifest is wrong.
    """
    if (choice := memory.chosen) is not None:
        return Beginning(book.find(choice.style, choice.version).folder, f"engine {chosen_by_command(memory)}")
    if memory.overruled is not None:
        said = f"the engine {memory.overruled}, chosen by a command, counts no more: the station file has another"
        return Beginning(version_folders(settings.bundle)[-1], said)
    return _of_station_file(settings, memory, book)


def chosen_by_command(memory: EngineMemory) -> str:
    """Which engine was, when, and how to undo it; there must be one."""
    choice = memory.chosen
    assert choice is not None
    return (
        f"{choice}, chosen by a command ({choice.asked_utc:%Y-%m-%d %H:%M} UTC); delete {memory.path} to go back to "
        "the engine of the station file"
    )


def naming_choice(error: InputError, memory: EngineMemory) -> InputError:
    """`error` of the engine that a station begins with, and that a command chose it; one must have."""
    return InputError(f"{error}\nthe engine is {chosen_by_command(memory)}")


def _of_station_file(settings: StationSettings, memory: EngineMemory, book: RecipeBook) -> Beginning:
    folders = version_folders(settings.bundle)
    newest = load_manifest(folders[-1]).manifest
    engines = memory.engines(newest.style) if memory.is_of_this_file else None
    if engines is None or len(folders) == 1:
        return Beginning(folders[-1])
    for folder in folders:
        try:
            found = load_manifest(folder)
        except InputError:  # another version is looked for
            continue
        if engines.deciding.is_one(found.manifest.version, found.manifest_sha256):
            if found.manifest.version == newest.version:
                return Beginning(folder)
            last = f"engine {newest.style} {found.manifest.version} decided last and decides again"
            return Beginning(
                folder, f"{last}; the newest is taken by: glass-edge engine activate {newest.style} {newest.version}"
            )
    return Beginning(book.find(newest.style, None, memory).folder)
