"""Files and folders inside a folder, by name.

Promises: sorted by name; hidden files do not count; a folder that is not there is empty, one that cannot be read is an
error that names it.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from glass_edge.errors import InputError
from glass_edge.glass.data_images import SUFFIXES


def images_in(folder: Path) -> list[Path]:
    """Image files directly in a folder, by their endings in any case."""
    return _sorted(path for path in _children(folder) if path.suffix.lower() in SUFFIXES and path.is_file())


def folders_in(folder: Path) -> list[Path]:
    """Folders directly in a folder."""
    return _sorted(path for path in _children(folder) if path.is_dir())


def relative_name(path: Path, folder: Path) -> str:
    """Name of a file in records: relative to the data folder, with '/'."""
    return path.relative_to(folder).as_posix()


def _children(folder: Path) -> Iterable[Path]:
    if not folder.is_dir():
        return []
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise InputError(f"{folder}: cannot be read ({error.strerror}); check its permissions") from error


def _sorted(paths: Iterable[Path]) -> list[Path]:
    return sorted(paths, key=lambda path: path.name)
