"""One holder of a file at a time, across processes and within one.

Promises: the lock ends with its holder, however it dies; the lock file stays (removing it would let two holders in).
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from glass_edge.errors import InputError


class FileLock:
    """Advisory lock on `path`, an own file beside what it protects."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd: int | None = None

    def acquire(self) -> bool:
        """Take the lock without waiting; False when another holds it.

        Raises:
            InputError: the lock file cannot be made.
        """
        try:
            fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror}; give a folder that is writable") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return False
        except OSError as error:
            os.close(fd)
            raise InputError(f"cannot lock {self.path}: {error.strerror}; give a folder on a local disk") from error
        os.ftruncate(fd, 0)
        os.write(fd, f"{os.getpid()}\n".encode())
        self._fd = fd
        return True

    def is_held(self) -> bool:
        """Whether anybody holds the lock; nothing is made or written.

        Raises:
            InputError: the lock file cannot be looked at.
        """
        try:
            fd = os.open(self.path, os.O_RDONLY)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror}; ask as the user of the station") from error
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False

    def holder(self) -> str:
        """'process 123' for messages, as its holder wrote it; 'another process' when unknown."""
        try:
            text = self.path.read_text().strip()
        except OSError:
            text = ""
        return f"process {text}" if text.isdigit() else "another process"

    def release(self) -> None:
        """Give the lock back; no harm without it."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None
