"""A private folder for the sockets of a run that nobody configured.

Promises: only this user can enter it; its path is short enough for a socket file; it is gone afterwards.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glass_edge.config.events import MAX_IPC_PATH_BYTES
from glass_edge.errors import InputError

_ROOM_BYTES = 48  # for the folder's own name and a socket's


@contextmanager
def runtime_folder() -> Iterator[Path]:
    """Make the folder under XDG_RUNTIME_DIR, the system's temporary folder or /tmp, and remove it at the end.

    Raises:
        InputError: none of them can be written.
    """
    places = [os.environ.get("XDG_RUNTIME_DIR"), tempfile.gettempdir(), "/tmp"]
    folder = None
    for place in places:
        if not place or len(os.fsencode(place)) > MAX_IPC_PATH_BYTES - _ROOM_BYTES:
            continue
        try:
            folder = Path(tempfile.mkdtemp(prefix="glass-edge-", dir=place))
            break
        except OSError:
            continue
    if folder is None:
        raise InputError(
            f"no writable folder for sockets among {', '.join(filter(None, places))}; give --publish and --request"
        )
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
