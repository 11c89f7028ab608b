"""The engines of a station on its disk: one comes in whole or not at all, and old ones go.

Promises: a version appears only when every file of it was verified, it is signed where the station asks for that, and
it passed its golden tiles on this machine; a version that is there is never overwritten; no version goes that decides,
decided before, waits to decide, or is named by this station file or one beside it.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from glass_edge.config.engine import EngineSettings
from glass_edge.config.station import StationSettings, load_station
from glass_edge.engine.bundle import Bundle, load_bundle, load_manifest, version_folders
from glass_edge.engine.manifest import MANIFEST_NAME
from glass_edge.engine.trust import check_trust
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.events.filelock import FileLock
from glass_edge.files import make_folder, sync_folder
from glass_edge.service.engine_archive import take_in
from glass_edge.service.engine_in_use import names_one_version, versions_in_use
from glass_edge.service.engine_record import forget, note

_PREFIX = ".~install-"
_LOCK_NAME = ".install.lock"


@dataclass(frozen=True, slots=True)
class Installed:
    """Outcome of an installation.

    Attributes:
        bundle: where it lies now.
        was_there: it lay there already, the same in every byte.
        removed: versions that went.
        kept_because: why no version could go; empty: that was judged.
    """

    bundle: Bundle
    was_there: bool
    removed: tuple[str, ...]
    kept_because: str = ""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be installed.

    Attributes:
        config: station file.
        source: folder or archive of a bundle.
        test: tries the engine on this machine and raises a GlassEdgeError where it fails.
        keep: how many versions besides those in use stay.
    """

    config: Path
    source: Path
    test: Callable[[Bundle, EngineSettings], object]
    keep: int


def install(order: Order) -> Installed:
    """Bring a bundle into the folder of its style; nothing is activated.

    Raises:
        InputError: the bundle or the archive is wrong, is not for this station, or its version is there with another
            content; or a folder cannot be written. GlassEdgeError: it failed the test. Nothing is left behind.
    """
    settings = load_station(order.config)
    own = settings.bundle.parent if names_one_version(settings.bundle) else settings.bundle
    with _room_in(own) as room:
        found = take_in(order.source, room)
        with _called(found, order.source):
            style = load_manifest(found).manifest.style
        folder = folder_of(settings, style)
        if folder.resolve() == own.resolve():
            return _install(order, settings, found, folder)
        with _room_in(folder) as beside:
            if beside.stat().st_dev != room.stat().st_dev:
                found = take_in(found, beside)
            return _install(order, settings, found, folder)


def folder_of(settings: StationSettings, style: str) -> Path:
    """The folder of all versions of a style.

    Raises:
        InputError: the station has no such style, or a single version of it.
    """
    entry = settings.recipes.get(style)
    if entry is not None:
        if names_one_version(entry.bundle):
            raise InputError(
                f"recipes.{style}: {entry.bundle} is one version alone, so no other could be chosen; give the folder "
                f"of the style ({entry.bundle.parent})"
            )
        return entry.bundle
    if names_one_version(settings.bundle):
        if load_manifest(settings.bundle).manifest.style == style:
            raise InputError(
                f"the station file has one version of style '{style}' alone, {settings.bundle}, so no other could be "
                f'chosen; add to its table [recipes]: {style} = "{settings.bundle.parent}"'
            )
    elif settings.bundle.name == style or _style_in(settings.bundle) == style:
        return settings.bundle
    raise InputError(
        f"the bundle is of style '{style}', and the station file has no such style; add to its table [recipes]: "
        f'{style} = "FOLDER", the folder for its versions'
    )


def prune(folder: Path, in_use: Collection[str], keep: int) -> tuple[str, ...]:
    """Remove the oldest versions of a style.

    Args:
        folder: of the style.
        in_use: versions that stay.
        keep: how many others stay, the newest.

    Returns:
        The versions that went.

    Raises:
        InputError: one could not be removed.
    """
    others = [version for version in version_folders(folder) if version.name not in in_use]
    gone = others[: len(others) - keep] if keep < len(others) else []
    for version in gone:
        going = Path(tempfile.mkdtemp(dir=folder, prefix=_PREFIX))
        try:
            version.rename(going / version.name)  # at once: half a bundle never has its name
            sync_folder(folder)
            shutil.rmtree(going)
        except OSError as error:
            raise InputError(f"cannot remove {version}: {error.strerror}") from error
    forget(folder, [version.name for version in gone])
    return tuple(version.name for version in gone)


def _install(order: Order, settings: StationSettings, found: Path, folder: Path) -> Installed:
    with _called(found, order.source):
        bundle = load_bundle(found)
        check_trust(bundle, settings.engine)
    target = folder / bundle.manifest.version
    was_there = target.exists()
    if was_there:
        _require_same(bundle, target)
    else:
        with _called(found, order.source):
            order.test(bundle, settings.engine)
        try:
            for part in (found, *found.rglob("*")):
                part.chmod(0o755 if part.is_dir() else 0o644)
            found.rename(target)
            sync_folder(folder)
        except OSError as error:
            raise InputError(f"cannot write {target}: {error.strerror}") from error
        note(folder, bundle)
    installed = load_bundle(target)
    try:
        in_use = versions_in_use(order.config, bundle.manifest.style, folder)
    except InputError as error:
        return Installed(installed, was_there, (), f"no version was removed: {error}")
    return Installed(installed, was_there, prune(folder, in_use | {bundle.manifest.version}, order.keep))


def _require_same(bundle: Bundle, target: Path) -> None:
    there = load_bundle(target)
    if there.manifest_sha256 != bundle.manifest_sha256:
        raise InputError(
            f"{target} is there with another content (manifest SHA-256 {there.manifest_sha256}, the new one has "
            f"{bundle.manifest_sha256}); versions are never overwritten: build it with another version"
        )


@contextlib.contextmanager
def _room_in(folder: Path) -> Iterator[Path]:
    """An empty folder in `folder`, for one installation at a time; what one that was killed left behind goes."""
    lock = FileLock(make_folder(folder) / _LOCK_NAME)
    if not lock.acquire():
        raise InputError(f"{folder}: {lock.holder()} is installing an engine there just now; try again")
    try:
        for left in folder.glob(f"{_PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
        try:
            room = Path(tempfile.mkdtemp(dir=folder, prefix=_PREFIX))
        except OSError as error:
            raise InputError(f"cannot write into {folder}: {error.strerror}") from error
        try:
            yield room
        finally:
            shutil.rmtree(room, ignore_errors=True)
    finally:
        lock.release()


@contextlib.contextmanager
def _called(found: Path, source: Path) -> Iterator[None]:
    """Errors name the bundle as the person does who brought it."""
    try:
        yield
    except GlassEdgeError as error:
        kind = InputError if isinstance(error, InputError) else GlassEdgeError
        raise kind(str(error).replace(str(found), str(source))) from error


def _style_in(folder: Path) -> str | None:
    if not folder.is_dir() or not any(folder.glob(f"*/{MANIFEST_NAME}")):
        return None
    return load_manifest(folder).manifest.style
