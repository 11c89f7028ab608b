"""One training process at a time in a run folder.

Promises: the lock ends with the process that holds it, however it dies (and does not live on in its children); the
lock file stays, because removing it would let two processes in.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glass_edge.errors import InputError

LOCK_NAME = "training.lock"


@contextmanager
def run_lock(folder: Path) -> Iterator[None]:
    """Hold the lock of `folder`.

    Raises:
        InputError: another process trains there, or the folder cannot be written.
    """
    path = folder / LOCK_NAME
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; give a run folder that is writable") from error
    try:
        _lock(fd, folder)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, folder: Path) -> None:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError) as error:
        raise InputError(f"{folder}: another process trains in this folder; wait for it, or stop it") from error
    except OSError as error:
        raise InputError(f"cannot lock {folder}: {error.strerror}; give a run folder on a local disk") from error
