"""Only an untouched cache file under its full key is used."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from glass_edge.engine.cache import EngineCache
from glass_edge.errors import InputError

KEY = {"onnx_sha256": "ab", "device": "x", "runtime": "openvino 1", "precision": "f32", "tile": "1x2x3"}


def test_every_fact_of_the_key_counts(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "cache")
    assert cache.load(KEY) is None
    cache.store(KEY, b"engine")
    assert cache.load(dict(reversed(KEY.items()))) == b"engine"
    for name in KEY:
        assert cache.load({**KEY, name: "other"}) is None


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(blob=st.binary(min_size=1, max_size=200), data=st.data())
def test_a_changed_file_is_removed(tmp_path: Path, blob: bytes, data: st.DataObject) -> None:
    cache = EngineCache(tmp_path)
    cache.store(KEY, blob)
    path = cache.path(KEY)
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    assert cache.load(KEY) is None
    assert not path.exists()


def test_old_engines_go(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    for number in range(20):
        cache.store({"n": str(number)}, b"engine")
        os.utime(cache.path({"n": str(number)}), (number, number))
    kept = [number for number in range(20) if cache.load({"n": str(number)}) is not None]
    assert len(kept) == 16
    assert kept == list(range(4, 20))


def test_a_damaged_file_that_cannot_be_removed_is_named(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    cache.path(KEY).mkdir(parents=True)  # unlink fails on a folder, for root too
    with pytest.raises(InputError, match="cannot be removed"):
        cache.drop(KEY)
