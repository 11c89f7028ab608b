from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def short_path() -> Iterator[Path]:
    """A folder whose name leaves room for socket files (107 bytes in all)."""
    folder = Path(tempfile.mkdtemp(prefix="ge-"))
    yield folder
    shutil.rmtree(folder)
