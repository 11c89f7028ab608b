"""A bundle from a stick: a folder, a tar archive (plain or gzip) or a zip archive.

Promises: what is taken in are regular files with plain names inside the folder that was given, each written anew and
durable; links, devices, absolute names, names that lead out, names that come twice and anything beyond the bounds are
refused; no archive makes this program hold more than a mebibyte of it in memory at once.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, BinaryIO

from glass_edge.engine.manifest import MANIFEST_NAME, is_safe_name
from glass_edge.errors import InputError
from glass_edge.files import sync_folder

MOST_BYTES = 2 << 30
MOST_FILES = 1000
_CHUNK_BYTES = 1 << 18
_MOST_READ_BYTES = 1 << 20  # longest piece that an archive's own tables may ask for
_REFUSED = "no bundle comes like this; have the archive made anew"


def take_in(source: Path, into: Path, most_bytes: int = MOST_BYTES) -> Path:
    """Copy or unpack `source` into the empty folder `into`.

    Args:
        source: a folder or an archive.
        into: an empty folder.
        most_bytes: largest sum of the files' sizes.

    Returns:
        The folder of the one bundle in it, nothing of which is verified.

    Raises:
        InputError: no bundle or several, or anything that no bundle has.
    """
    intake = _Intake(source, into, most_bytes)
    try:
        if source.is_dir():
            _copy_folder(source, intake)
        elif not source.is_file():
            raise InputError(f"{source}: no such file or folder; give a bundle, as a folder, .tar.gz or .zip")
        else:
            with source.open("rb") as stream:
                is_zip = stream.read(2) == b"PK"  # not `is_zipfile`, which finds the golden set inside a tar archive
                stream.seek(0)
                (_unzip if is_zip else _untar)(stream, intake)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, RecursionError) as error:
        raise InputError(f"{source}: cut off, damaged, or no tar or zip archive ({error})") from error
    except (NotImplementedError, RuntimeError) as error:  # of zipfile: encrypted, or another method
        raise InputError(f"{source}: {error}; pack it without a password, by tar or zip") from error
    except OSError as error:
        raise InputError(f"{source}: cannot be taken in: {error.strerror or error}") from error
    for folder in {path.parent for path in into.rglob("*")}:
        sync_folder(folder)
    found = sorted(path.parent for path in into.rglob(MANIFEST_NAME))
    if len(found) != 1:
        many = f"{len(found)} bundles" if found else f"no {MANIFEST_NAME}, so no bundle"
        raise InputError(f"{source}: {many} in it; give one bundle, engines/<style>/<version>")
    return found[0]


class _Intake:
    """Where files go, and how much more may come."""

    def __init__(self, source: Path, into: Path, most_bytes: int) -> None:
        self._source, self._into, self._most_bytes = source, into, most_bytes
        self._left_bytes = most_bytes
        self._left_files = MOST_FILES

    def count(self) -> None:
        """One more entry, of whatever kind."""
        self._left_files -= 1
        if self._left_files < 0:
            raise InputError(f"{self._source}: more than {MOST_FILES} files; {_REFUSED}")

    def refuse(self, name: str, why: str) -> InputError:
        """An error about an entry."""
        return InputError(f"{self._source}: {name!r} is {why}; {_REFUSED}")

    def file(self, name: str, size: int, opened: Callable[[], IO[bytes] | None]) -> None:
        """Take in a file that claims a size."""
        if not is_safe_name(name):
            raise self.refuse(name, "no plain name inside the archive")
        if _is_litter(name):
            return
        self._require(size)
        path = self._into / name
        if path.exists():
            raise self.refuse(name, "there twice")
        path.parent.mkdir(parents=True, exist_ok=True)
        source = opened()
        assert source is not None
        with source, path.open("xb") as stream:
            while chunk := source.read(_CHUNK_BYTES):
                self._require(len(chunk))
                self._left_bytes -= len(chunk)
                stream.write(chunk)
            stream.flush()
            os.fsync(stream.fileno())

    def _require(self, size: int) -> None:
        if size > self._left_bytes:
            raise InputError(f"{self._source}: more than {self._most_bytes >> 20} MiB; {_REFUSED}")


class _Bounded(io.RawIOBase):
    """A stream that reads no more at once than its reader's own buffers need."""

    def __init__(self, stream: BinaryIO | gzip.GzipFile) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        if size > _MOST_READ_BYTES:
            raise ValueError(f"a table of {size} bytes")
        data = self._stream.read(_MOST_READ_BYTES + 1 if size < 0 else size)
        if len(data) > _MOST_READ_BYTES:
            raise ValueError("a table that does not end")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True


def _copy_folder(source: Path, intake: _Intake) -> None:
    for path in sorted(source.rglob("*")):
        intake.count()
        name, mode = path.relative_to(source).as_posix(), path.lstat().st_mode
        if stat.S_ISDIR(mode):
            continue
        if not stat.S_ISREG(mode):
            raise intake.refuse(name, "a link, or no file at all")
        intake.file(name, path.stat().st_size, lambda path=path: path.open("rb"))  # type: ignore[misc]


def _untar(stream: BinaryIO, intake: _Intake) -> None:
    is_gzip = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    inner = gzip.GzipFile(fileobj=stream) if is_gzip else stream
    with tarfile.open(fileobj=_Bounded(inner), mode="r:") as archive:
        for member in archive:
            intake.count()
            name = member.name.removeprefix("./")
            if member.isdir():
                if name not in ("", ".") and not is_safe_name(name):
                    raise intake.refuse(member.name, "no plain name inside the archive")
                continue
            if not member.isreg() or member.issparse():
                raise intake.refuse(member.name, "a link, or no plain file")
            intake.file(name, member.size, lambda member=member: archive.extractfile(member))  # type: ignore[misc]


def _unzip(stream: BinaryIO, intake: _Intake) -> None:
    with zipfile.ZipFile(_Bounded(stream)) as archive:
        for info in archive.infolist():
            intake.count()
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir():
                if not is_safe_name(info.filename.rstrip("/")):
                    raise intake.refuse(info.filename, "no plain name inside the archive")
                continue
            if kind not in (0, stat.S_IFREG):
                raise intake.refuse(info.filename, "a link, or no plain file")
            name = info.filename.removeprefix("./")
            intake.file(name, info.file_size, lambda info=info: archive.open(info))  # type: ignore[misc]


def _is_litter(name: str) -> bool:
    """What a Mac leaves beside every file on a stick."""
    last = name.rsplit("/", 1)[-1]
    return last.startswith("._") or last == ".DS_Store"
