"""Files that are whole or absent.

Promises: a file written here is either the old one or the complete new one, also after a power cut (written beside,
fsync, rename, fsync of the folder); hashes are SHA-256 in lower-case hex.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from glass_edge.errors import InputError

_CHUNK_BYTES = 1 << 20
_TEMPORARY = ".~"


def sync_folder(folder: Path) -> None:
    """Make a rename inside `folder` durable."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


@contextmanager
def atomic_write(path: Path, beside: Path | None = None) -> Iterator[IO[bytes]]:
    """Open a temporary file beside `path`; on a clean exit it replaces `path`, on an exception it is removed.

    Args:
        path: the file.
        beside: folder for the temporary file, on the same file system; None: the folder of `path`.

    Raises:
        InputError: the folder does not exist or cannot be written.
    """
    try:
        fd, name = tempfile.mkstemp(dir=beside or path.parent, prefix=_TEMPORARY, suffix=path.suffix)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; give a folder that exists and is writable") from error
    temporary = Path(name)
    try:
        with os.fdopen(fd, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
        sync_folder(path.parent)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_bytes(path: Path, data: bytes, beside: Path | None = None) -> None:
    """Write `data` to `path` atomically (`beside`: see `atomic_write`)."""
    with atomic_write(path, beside) as stream:
        stream.write(data)


def write_json(path: Path, document: Any) -> None:  # noqa: ANN401 - any JSON value
    """Write `document` as indented JSON with sorted keys, atomically."""
    text = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"
    write_bytes(path, text.encode())


def remove_temporaries(folder: Path) -> None:
    """Remove what a process that was killed while it wrote has left in `folder`; nobody else may write there now."""
    for path in folder.glob(f"{_TEMPORARY}*"):
        path.unlink(missing_ok=True)


def csv_bytes(rows: Iterable[Iterable[object]]) -> bytes:
    """Rows as CSV: commas, lines ended by a line feed, UTF-8."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's content, lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def make_folder(folder: Path) -> Path:
    """Create `folder` and its parents; returns it.

    Raises:
        InputError: it cannot be made, or a file of that name is in the way.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {folder}: {error.strerror}") from error
    return folder
