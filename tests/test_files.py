"""Files that are whole or absent."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glass_edge.errors import InputError
from glass_edge.files import atomic_write, make_folder, sha256_file, write_bytes, write_json


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(data=st.binary(max_size=3000))
def test_what_is_written_is_there_and_its_hash_is_right(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "a.bin"
    write_bytes(path, data)
    assert path.read_bytes() == data
    assert sha256_file(path) == hashlib.sha256(data).hexdigest()
    assert [one.name for one in tmp_path.iterdir()] == ["a.bin"]


def _interrupted(path: Path) -> None:
    with atomic_write(path) as stream:
        stream.write(b"new")
        raise KeyboardInterrupt


def test_a_failure_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_bytes(path, b"old")
    with pytest.raises(KeyboardInterrupt):
        _interrupted(path)
    assert path.read_bytes() == b"old"
    assert [one.name for one in tmp_path.iterdir()] == ["a.txt"]


def test_json_is_sorted_and_refuses_what_json_cannot_say(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"b": 1, "a": "é"})
    assert path.read_text("utf-8").index('"a"') < path.read_text("utf-8").index('"b"')
    assert json.loads(path.read_text("utf-8")) == {"a": "é", "b": 1}
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"x": float("nan")})
    assert json.loads(path.read_text("utf-8")) == {"a": "é", "b": 1}


def test_a_folder_that_is_missing_or_in_the_way_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*none/a: No such file"):
        write_bytes(tmp_path / "none" / "a", b"")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=r"cannot make the folder .*file"):
        make_folder(tmp_path / "file")
