"""A mapped file without a name, for arrays that do not fit into memory.

Promises: its room is reserved before anything is written (a file with holes would end the process by a signal once the
disk is full); it is gone with the process however that ends.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from pathlib import Path


def map_unnamed(folder: Path | None, n_bytes: int) -> mmap.mmap:
    """`n_bytes` of zeros, backed by a file in `folder` (None: the system's folder for temporary files).

    Raises:
        OSError: there is no room.
    """
    with tempfile.TemporaryFile(dir=folder) as file:  # the mapping keeps it
        os.posix_fallocate(file.fileno(), 0, n_bytes)
        return mmap.mmap(file.fileno(), n_bytes)
