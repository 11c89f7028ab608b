"""Secrets of adapters: passwords, tokens and keys, in files or systemd credentials.

Promises: a file that others may read is refused, except a credential of systemd; no secret is in a message; one that is
written is whole or absent, and never readable by others.
"""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

from glass_edge.config.events import CREDENTIAL_PREFIX
from glass_edge.errors import InputError
from glass_edge.files import sync_folder


def read_secret_text(place: str, remedy: str) -> str:
    """The text at `place`, a file of mode 0600 or credential:NAME, without space around it.

    Args:
        place: where it is.
        remedy: what to do when there is none, for the message.

    Raises:
        InputError: absent, open to others, empty or no text.
    """
    path = secret_path(place)
    try:
        text = path.read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; {remedy}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a secret ({error}); {remedy}") from error
    if not text:
        raise InputError(f"{path}: is empty; {remedy}")
    return text


def secret_path(place: str) -> Path:
    """The file at `place`, for libraries that read it themselves. Raises as `read_secret_text`."""
    if not place.startswith(CREDENTIAL_PREFIX):
        path = Path(place)
        _require_private(path)
        return path
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if not folder:
        raise InputError(
            f"{place}: $CREDENTIALS_DIRECTORY is not set; start the adapter as a systemd service with LoadCredential=,"
            " or give a file"
        )
    return Path(folder) / place.removeprefix(CREDENTIAL_PREFIX)


def write_secret(path: Path, data: bytes) -> None:
    """Write `data` to `path` with mode 0600, atomically.

    Raises:
        InputError: its folder does not exist or cannot be written.
    """
    try:
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=".~", suffix=path.suffix)  # of mode 0600
        temporary = Path(name)
        try:
            with os.fdopen(fd, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}; give a folder that exists and is writable") from error


def _require_private(path: Path) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return  # reading it tells what is wrong
    if mode & 0o077:
        raise InputError(f"{path}: has mode {mode:04o} and others may read it; chmod 600 {path}")
