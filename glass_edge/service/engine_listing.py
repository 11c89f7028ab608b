"""What engines a station has, and what each of them is to it.

Promises: every version in every style's folder is in the list, a damaged one with what is wrong; nothing is changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from glass_edge.config.engine import EngineSettings
from glass_edge.config.station import StationSettings
from glass_edge.engine.bundle import Bundle, load_manifest, version_folders
from glass_edge.engine.trust import check_trust
from glass_edge.errors import InputError
from glass_edge.service.engine_memory import EngineMemory
from glass_edge.service.engine_next import next_start_of
from glass_edge.service.engine_record import installed_utc
from glass_edge.service.engine_slots import EngineName, Refusal
from glass_edge.service.recipe_book import RecipeBook


@dataclass(frozen=True, slots=True)
class ListedEngine:
    """A version of a style.

    Attributes:
        style: as the station has it.
        folder: where it lies.
        problem: why it cannot be read; None: it can (its files are verified when it is asked for).
        bundle: its manifest and signatures; None where there is a problem.
        is_trusted: as the station asks for signatures and revokes versions; None: it does neither.
        distrust: why it would be refused; None: it would not.
        installed_utc: when it came; None: not known.
        roles: what it is to the station, in the order of `ROLES`.
        trial_left_s: inspection until it has stood its trial, s; None: it has none.
        refused: when and why it was given up; None: it was not.
    """

    style: str
    folder: Path
    problem: str | None = None
    bundle: Bundle | None = None
    is_trusted: bool | None = None
    distrust: str | None = None
    installed_utc: datetime | None = None
    roles: tuple[str, ...] = ()
    trial_left_s: float | None = None
    refused: Refusal | None = None


ROLES = ("decides", "next start", "before", "asked for", "newest", "station file")


def engines_of(
    settings: StationSettings, memory: EngineMemory, decides: tuple[str, str] | None
) -> dict[str, list[ListedEngine]]:
    """All versions of all styles, the newest of each first.

    Args:
        settings: station file.
        memory: of the station.
        decides: style and version that the running station says; None: it does not run.

    Raises:
        InputError: the station's own bundle is wrong.
    """
    book = RecipeBook.of(settings)
    special = {"station file": settings.bundle.resolve()}
    if decides is None and (beginning := _next_start(settings, memory, book)) is not None:
        special["next start"] = beginning.resolve()
    found: dict[str, list[ListedEngine]] = {}
    for style, entry in book.entries.items():
        try:
            folders = version_folders(entry.bundle)
        except InputError as error:
            found[style] = [ListedEngine(style, entry.bundle, problem=str(error))]
            continue
        versions = [_listed(style, folder, memory, settings.engine) for folder in reversed(folders)]
        newest = next((one for one in versions if one.bundle is not None and one.refused is None), None)
        found[style] = [
            replace(
                one, roles=_roles(one, memory, decides, special | ({"newest": one.folder} if one is newest else {}))
            )
            for one in versions
        ]
    return found


def _next_start(settings: StationSettings, memory: EngineMemory, book: RecipeBook) -> Path | None:
    try:
        return next_start_of(settings, memory, book).folder
    except InputError:  # the start will say why
        return None


def _listed(style: str, folder: Path, memory: EngineMemory, settings: EngineSettings) -> ListedEngine:
    try:
        bundle = load_manifest(folder)
    except InputError as error:
        return ListedEngine(style, folder, problem=str(error))
    name, engines = EngineName.of(bundle), memory.engines(style)
    trial = (
        None if engines is None or not engines.deciding.is_one(name.version, name.manifest_sha256) else engines.trial
    )
    distrust = None
    try:
        check_trust(bundle, settings)
    except InputError as error:
        distrust = str(error)
    asks = settings.require_signature or settings.revoked is not None
    return ListedEngine(
        style,
        folder,
        bundle=bundle,
        is_trusted=distrust is None if asks else None,
        distrust=distrust,
        installed_utc=installed_utc(bundle),
        trial_left_s=None if trial is None else trial.left_s,
        refused=memory.refusal(name),
    )


def _roles(
    one: ListedEngine, memory: EngineMemory, decides: tuple[str, str] | None, special: Mapping[str, Path]
) -> tuple[str, ...]:
    """What a version is; `special`: folders of some roles."""
    if one.bundle is None:
        return ()
    name, engines, pending = EngineName.of(one.bundle), memory.engines(one.style), memory.pending
    before = None if engines is None else engines.before
    has = {role for role, folder in special.items() if folder.resolve() == one.folder.resolve()}
    if decides == (one.style, name.version):
        has.add("decides")
    if before is not None and before.is_one(name.version, name.manifest_sha256):
        has.add("before")
    if pending is not None and (pending.style, pending.version) == (one.style, name.version):
        has.add("asked for")
    return tuple(role for role in ROLES if role in has)
