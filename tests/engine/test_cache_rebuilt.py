"""A damaged cache file of a real engine is named, removed and rebuilt, and the scores are right all the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from structlog.testing import capture_logs

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.bundle import Bundle
from glass_edge.engine.factory import open_engine

Truth = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def scores(bundle: Bundle, cache: Path, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
    with open_engine(bundle, EngineSettings(precision="f32", threads=1, depth=1, cache_folder=cache)) as engine:
        return engine.infer(tiles)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=st.tuples(st.integers(0, 31) | st.integers(0, 1 << 24), st.integers(1, 255)))
def test_any_changed_byte_is_rebuilt(
    tmp_path: Path, bundle: Bundle, tiles: NDArray[np.uint8], truth: Truth, change: tuple[int, int]
) -> None:
    cache = tmp_path / "cache"
    expected = scores(bundle, cache, tiles[5:7])
    np.testing.assert_allclose(expected, truth(tiles[5:7]), atol=1e-4)
    (file,) = cache.iterdir()
    changed = bytearray(file.read_bytes())
    place, flip = change
    changed[place % len(changed)] ^= flip  # compiled engines differ in length from one compilation to the next
    file.write_bytes(changed)
    with capture_logs() as logs:
        np.testing.assert_array_equal(scores(bundle, cache, tiles[5:7]), expected)
    assert [(one["event"], one["file"]) for one in logs] == [("engine.cache_damaged", str(file))]
    assert list(cache.iterdir()) == [file]
    rebuilt = file.read_bytes()
    assert rebuilt != changed
    assert rebuilt[:32] == hashlib.sha256(rebuilt[32:]).digest()


@pytest.mark.parametrize("damage", [b"", b"short", None])
def test_a_file_that_is_no_engine_is_rebuilt(
    tmp_path: Path, bundle: Bundle, tiles: NDArray[np.uint8], damage: bytes | None
) -> None:
    expected = scores(bundle, tmp_path / "cache", tiles[:2])
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(file.read_bytes()[:-1] if damage is None else damage)
    np.testing.assert_array_equal(scores(bundle, tmp_path / "cache", tiles[:2]), expected)
    assert len(file.read_bytes()) > 1000


def test_a_whole_file_with_a_right_hash_that_is_no_engine_is_rebuilt(
    tmp_path: Path, bundle: Bundle, tiles: NDArray[np.uint8]
) -> None:
    expected = scores(bundle, tmp_path / "cache", tiles[:2])
    (file,) = (tmp_path / "cache").iterdir()
    file.write_bytes(hashlib.sha256(b"no engine").digest() + b"no engine")
    np.testing.assert_array_equal(scores(bundle, tmp_path / "cache", tiles[:2]), expected)
    assert len(file.read_bytes()) > 1000
