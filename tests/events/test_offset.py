from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from glass_edge.errors import InputError
from glass_edge.events.offset import Offset, OffsetFile

EPOCH = "0123456789abcdef0123456789abcdef"


def test_an_offset_is_found_again(tmp_path: Path) -> None:
    path = tmp_path / "made" / "offset.json"
    file = OffsetFile(path)
    assert file.offset is None
    file.write(Offset(station="loom1", epoch=EPOCH, seq=4))
    file.write(Offset(station="loom1", epoch=EPOCH, seq=5))
    file.close()
    again = OffsetFile(path)
    assert again.offset == Offset(station="loom1", epoch=EPOCH, seq=5)
    again.close()
    assert sorted(child.name for child in path.parent.iterdir()) == ["offset.json", "offset.json.lock"]


def test_two_clients_cannot_share_a_file(tmp_path: Path) -> None:
    file = OffsetFile(tmp_path / "o")
    with pytest.raises(InputError, match=f"o: process {os.getpid()} uses this offset file; give each client its own"):
        OffsetFile(tmp_path / "o")
    file.close()
    OffsetFile(tmp_path / "o").close()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"\xff",
        json.dumps({"format_version": 2, "station": "loom1", "epoch": EPOCH, "seq": 1}).encode(),
        json.dumps({"station": "loom1", "epoch": EPOCH, "seq": 0}).encode(),
        json.dumps({"station": "loom1", "epoch": EPOCH}).encode(),
    ],
)
def test_a_file_that_is_no_offset_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "offset.json"
    path.write_bytes(content)
    for _ in range(2):  # the lock was given back
        with pytest.raises(InputError, match=r"offset.json: (is not|cannot be read as) an offset file"):
            OffsetFile(path)
    assert path.read_bytes() == content
