"""The styles that a station may be told to inspect, and where their engines lie.

Promises: what is found is an engine of the style that was asked for; what is not found is answered with what there is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from glass_edge.config.recipes import RecipeEntry
from glass_edge.config.station import StationSettings
from glass_edge.engine.bundle import Bundle, load_manifest, version_folders
from glass_edge.errors import InputError
from glass_edge.service.engine_memory import EngineMemory
from glass_edge.service.engine_slots import EngineName
from glass_edge.service.roll_judge import JudgeRules

Follow = Callable[[str], Callable[[], None]]


@dataclass(frozen=True, slots=True)
class RecipeBook:
    """Table `[recipes]` with the station's own style.

    Attributes:
        entries: where the engines of each style lie, and its look.
    """

    entries: Mapping[str, RecipeEntry]

    @classmethod
    def of(cls, settings: StationSettings) -> RecipeBook:
        """The book of a station file.

        Raises:
            InputError: the station's own bundle is missing, or its manifest is wrong.
        """
        own = load_manifest(settings.bundle).manifest.style
        entry = settings.recipes.get(own, RecipeEntry(bundle=settings.bundle))
        if entry.look is None:
            entry = entry.model_copy(update={"look": settings.fit_check.look})
        return cls({**settings.recipes, own: entry})

    def look(self, style: str) -> Path | None:
        """Look of a style at this camera; None: there is none."""
        entry = self.entries.get(style)
        return None if entry is None else entry.look

    def find(self, style: str, version: str | None, memory: EngineMemory | None = None) -> Bundle:
        """The engine of a style, without a version the newest that was not given up as `memory` has it; its files are
        not verified yet (`load_manifest`).

        Raises:
            InputError: no such style or version, named with those there are; or the bundle is wrong.
        """
        entry = self.entries.get(style)
        if entry is None:
            raise InputError(
                f"no style '{style}' here; the station has {_listed(self.entries)}, and [recipes] of its file can "
                "name more"
            )
        folders = version_folders(entry.bundle)
        if version is not None:
            named = [folder for folder in folders if folder.name == version]
            if not named:
                versions = _listed(folder.name for folder in folders)
                raise InputError(f"{entry.bundle}: style '{style}' has no version '{version}'; there is {versions}")
            folders, memory = named, None
        for folder in reversed(folders):
            bundle = load_manifest(folder)
            if bundle.manifest.style != style:
                raise InputError(
                    f"{bundle.folder}: an engine of style '{bundle.manifest.style}', and [recipes] of the station file "
                    f"gives it for '{style}'; name the style as its engine does"
                )
            if memory is None or memory.refusal(EngineName.of(bundle)) is None:
                return bundle
        raise InputError(f"{entry.bundle}: every version of style '{style}' was given up; ask for one by its version")


@dataclass(frozen=True, slots=True)
class Recipes:
    """What a station needs to change its engine.

    Attributes:
        book: where engines lie.
        rules: grading and stop rules of a style.
        memory: where the choice is kept; None: nowhere.
        follow: what else belongs to a style: called while its engine is prepared, and what it returns where it decides.
    """

    book: RecipeBook
    rules: Callable[[str], JudgeRules]
    memory: EngineMemory | None = None
    follow: Follow | None = None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
