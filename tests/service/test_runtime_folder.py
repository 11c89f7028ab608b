from __future__ import annotations

import stat
import tempfile
from pathlib import Path

import pytest

from glass_edge.config.events import check_endpoint
from glass_edge.service.runtime_folder import runtime_folder


def test_the_folder_is_private_short_enough_and_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 90)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))  # too long for a socket
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))
    with runtime_folder() as folder:
        assert folder.parent == Path("/tmp")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        check_endpoint(f"ipc://{folder}/requests")
        (folder / "requests").touch()
    assert not folder.exists()
