"""Position profiles against offsets that were put in."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glass_edge.engine.base import EngineFacts
from glass_edge.engine.manifest import PositionProfile, TileSpec
from glass_edge.engine.position_profile import LevelledEngine, estimate_profile

SHAPE = (32, 48)
HALO = 4


def cloth(tiles: int, seed: int = 0) -> np.ndarray:
    """Scores of good cloth: each tile of another level, neighbours alike."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(size=(tiles, SHAPE[0] // 4, SHAPE[1] // 4)).repeat(4, 1).repeat(4, 2)
    return (noise * 0.5 + rng.normal(size=(tiles, 1, 1))).astype(np.float32)


def test_offsets_that_were_put_in_are_found_and_taken_off() -> None:
    rows, columns = np.zeros(SHAPE[0]), np.zeros(SHAPE[1])
    rows[4:8], columns[-8:-4] = [2.0, 1.5, 1.0, 0.5], [0.4, 0.8, 1.2, 1.6]
    logits = cloth(128) + (rows[:, None] + columns[None, :]).astype(np.float32)
    logits[3, 10:20, 10:20] += 30  # a fault in one tile
    found = estimate_profile(logits, HALO)
    assert found is not None
    np.testing.assert_allclose(np.array(found.rows), rows, atol=0.15)
    np.testing.assert_allclose(np.array(found.columns), columns, atol=0.15)
    assert found.spread_after < 0.5 * found.spread_before
    assert not np.array(found.rows)[:HALO].any()
    assert not np.array(found.columns)[-HALO:].any()


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 1000))
def test_chance_is_not_taken_for_an_offset(seed: int) -> None:
    found = estimate_profile(cloth(64, seed), HALO)
    if found is not None:  # three standard errors, 64 places: a few pass now and then
        offsets = np.array([*found.rows, *found.columns])
        assert np.count_nonzero(offsets) <= 12
        assert np.abs(offsets).max() < 0.4


def test_few_tiles_say_nothing() -> None:
    assert estimate_profile(cloth(7), HALO) is None
    assert estimate_profile(cloth(100), HALO, independent=7.5) is None


def test_a_side_on_which_the_tiles_do_not_move_is_left_as_it_is() -> None:
    logits = cloth(128)
    logits[:, 4:8] += 2
    logits[:, :, -8:-4] += 2
    found = estimate_profile(logits, HALO, along=False)
    assert found is not None
    assert not any(found.rows)
    assert any(found.columns)


class FixedEngine:
    """Scores that do not depend on the tile."""

    facts = EngineFacts("numpy", "1", "cpu", "f32", 1)
    tile_height_px, tile_width_px, channels, score_stride_px, max_batch, depth = 128, 192, 1, 4, 2, 1

    def __init__(self) -> None:
        self.calls: list[str] = []
        self._batches: list[int] = []

    def submit(self, tiles: np.ndarray) -> None:
        self.calls.append(f"submit {len(tiles)}")
        self._batches.append(len(tiles))

    def collect(self) -> np.ndarray:
        return np.ones((self._batches.pop(0), *SHAPE), np.float32)

    def infer(self, tiles: np.ndarray) -> np.ndarray:
        self.submit(tiles)
        return self.collect()

    def __enter__(self) -> FixedEngine:
        self.calls.append("enter")
        return self

    def __exit__(self, *_: object) -> None:
        self.calls.append("exit")


def test_a_levelled_engine_is_the_engine_less_the_profile() -> None:
    profile = PositionProfile(
        rows=tuple(float(k) for k in range(32)),
        columns=tuple(0.5 * k for k in range(48)),
        tiles=20,
        spread_before=1,
        spread_after=0,
        spread_of_scores=1,
    )
    engine = FixedEngine()
    with LevelledEngine(engine, profile) as levelled:
        levelled.submit(np.zeros((1, 128, 192, 1), np.uint8))
        expected = 1 - (np.arange(32)[:, None] + 0.5 * np.arange(48)[None, :])
        np.testing.assert_array_equal(levelled.collect()[0], expected)
        np.testing.assert_array_equal(levelled.infer(np.zeros((2, 128, 192, 1), np.uint8))[1], expected)
        assert (levelled.tile_width_px, levelled.max_batch, levelled.facts.runtime) == (192, 2, "numpy")
    assert engine.calls == ["enter", "submit 1", "submit 2", "exit"]


def test_a_profile_of_another_tile_is_refused() -> None:
    profile = PositionProfile(
        rows=(0.0,) * 32, columns=(0.0,) * 40, tiles=20, spread_before=1, spread_after=0, spread_of_scores=1
    )
    with pytest.raises(ValueError, match="32 rows and 40 columns; the tile has 32 and 48"):
        TileSpec(
            height_px=128, width_px=192, channels=1, halo_px=16, score_stride_px=4, max_halo_error=0, profile=profile
        )
