from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_cloth import recipe, weave

from glass_edge.errors import InputError
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.glass.crops import CropSampler, cover, cover_origins
from glass_edge.glass.data import ClothStrip, TileShape
from glass_edge.glass.synthesis import Synthesiser

TILE = TileShape(64, 48, 16, 1)


def coordinates(lines: int, width: int, span: ClothSpan, name: str = "a") -> ClothStrip:
    """A strip of three channels whose pixels say where they are: line // 2, column // 2, and the strip."""
    rows, columns = np.mgrid[:lines, :width] // 2
    pixels = np.stack([rows, columns, np.full((lines, width), ord(name))], axis=2).astype(np.uint8)
    return ClothStrip(name, pixels, span)


@settings(max_examples=60, deadline=None)
@given(
    left=st.integers(0, 50), right=st.integers(120, 200), lines=st.integers(64, 90), margin=st.integers(0, 24),
    share=st.sampled_from([0.0, 0.5, 1.0]), seed=st.integers(0, 2**31 - 1),
)  # fmt: skip
def test_crops_lie_on_cloth_and_are_functions_of_seed_epoch_and_index(  # noqa: PLR0917
    left: int, right: int, lines: int, margin: int, share: float, seed: int
) -> None:
    strip = coordinates(lines, 200, ClothSpan(left, right))
    tile = TileShape(64, 48, 16, 3, margin)
    sampler = CropSampler([strip], tile, selvedge_share=share, seed=seed)
    again = CropSampler([strip], tile, selvedge_share=share, seed=seed)
    first = left + (max(0, margin - 16) if left > 0 else 0)
    end = right - (max(0, margin - 16) if right < 200 else 0)
    for index in range(20):
        _, row, column = sampler.origin(sampler.generator(1, 3, index))
        assert 0 <= row <= lines - 64
        assert first <= column <= end - 48
        if share == 1.0 and sampler.has_selvedges:
            assert (left > 0 and column < first + 16) or (right < 200 and column > end - 48 - 16)
        tile_pixels = again.draw(again.generator(1, 3, index))
        assert np.array_equal(tile_pixels, strip.pixels[row : row + 64, column : column + 48])
    streams = {tuple(sampler.origin(sampler.generator(s, e, i)) for i in range(12)) for s in (1, 2) for e in (1, 2)}
    assert len(streams) == 4


def test_every_origin_is_drawn_and_strips_by_their_room() -> None:
    strips = [coordinates(64, 50, ClothSpan(0, 50)), coordinates(66, 53, ClothSpan(0, 53), "b")]
    sampler = CropSampler(strips, TILE, selvedge_share=0.5, seed=1)
    origins = [sampler.origin(sampler.generator(1, 1, index)) for index in range(4000)]
    assert set(origins) == {(0, 0, x) for x in range(3)} | {(1, y, x) for y in range(3) for x in range(6)}
    counts = np.array([origins.count(origin) for origin in sorted(set(origins))])
    assert abs(counts - 4000 / 21).max() < 5 * np.sqrt(4000 / 21)  # uniform: 5 standard deviations
    assert not sampler.has_selvedges


def test_selvedge_share_is_the_share_of_crops_at_a_selvedge() -> None:
    strip = coordinates(64, 500, ClothSpan(40, 500))
    sampler = CropSampler([strip], TILE, selvedge_share=0.3, seed=1)
    columns = np.array([sampler.origin(sampler.generator(1, 1, index))[2] for index in range(3000)])
    expected = 0.3 + 0.7 * 16 / 413
    assert abs((columns < 56).mean() - expected) < 5 * np.sqrt(expected * (1 - expected) / 3000)


@settings(max_examples=60, deadline=None)
@given(
    lines=st.integers(64, 200), width=st.integers(48, 180), left=st.integers(0, 100), jitter=st.sampled_from([0, 1, 15])
)
def test_cover_leaves_no_scored_cell_out(lines: int, width: int, left: int, jitter: int) -> None:
    left = min(left, width - 48)
    tile = TileShape(64, 48, 16, 3)
    seen = np.zeros((lines, width), np.int64)
    for pixels in cover([coordinates(lines, width, ClothSpan(left, width))], tile, jitter_px=jitter):
        assert pixels.shape == (64, 48, 3)
        inside = pixels[16:-16:2, 16:-16:2].astype(int) * 2
        seen[inside[..., 0].min() : inside[..., 0].max() + 2, inside[..., 1].min() : inside[..., 1].max() + 2] += 1
    edge = 17 + jitter
    assert (seen[edge : lines - edge, left + edge : width - edge] > 0).all()


def test_cover_thins_evenly() -> None:
    strips = [coordinates(64, 400, ClothSpan(0, 400), name) for name in "abcd"]
    tile = TileShape(64, 48, 16, 3)
    everything = list(cover(strips, tile))
    few = list(cover(strips, tile, 8))
    assert len(few) == 8 < len(everything)
    assert [chr(pixels[0, 0, 2]) for pixels in few] == list("aabbccdd")


@pytest.mark.parametrize(("most", "jitter"), [(None, 0), (None, 15), (7, 15)])
def test_cover_cuts_at_its_origins(most: int | None, jitter: int) -> None:
    strips = [coordinates(100, 200, ClothSpan(0, 200)), coordinates(64, 150, ClothSpan(10, 150), "b")]
    tile = TileShape(64, 48, 16, 3)
    tiles = list(cover(strips, tile, most, jitter_px=jitter))
    origins = cover_origins(strips, tile, most, jitter_px=jitter)
    for (index, row, column), pixels in zip(origins, tiles, strict=True):
        assert np.array_equal(pixels, strips[index].pixels[row : row + 64, column : column + 48])


def test_strips_without_room_are_refused_by_name() -> None:
    with pytest.raises(InputError, match="a: cloth of 40 x 64 px"):
        CropSampler([coordinates(64, 100, ClothSpan(60, 100))], TILE, selvedge_share=0, seed=0)
    with pytest.raises(InputError, match="no good image"):
        CropSampler([], TILE, selvedge_share=0, seed=0)


@pytest.mark.parametrize("source", ["perlin", "cloth", "mixed"])
def test_synthetic_tiles_differ_exactly_near_their_mask(tmp_path_factory: pytest.TempPathFactory, source: str) -> None:
    made = recipe(tmp_path_factory.getbasetemp(), las={"source": source}, training={"batch": 6})
    strip = ClothStrip("a", weave(np.random.default_rng(0), 90, 200), ClothSpan(0, 200))
    sampler = CropSampler([strip], TileShape(64, 64, 16, 1), selvedge_share=0.0, seed=3)
    batch = Synthesiser(made, sampler).batch(1, 1, 0)
    again = next(iter(Synthesiser(made, sampler).batches(1, 1, 3)))
    assert batch.synthetic is not None
    assert batch.mask is not None
    assert again.synthetic is not None
    assert np.array_equal(batch.good, again.good)
    assert np.array_equal(batch.synthetic, again.synthetic)
    assert batch.mask.shape == (6, 4, 4)
    assert batch.mask.any(axis=(1, 2)).all()
    changed = (batch.good != batch.synthetic)[..., 0]
    assert changed.any(axis=(1, 2)).all()
    cells = changed.reshape(6, 8, 8, 8, 8).sum(axis=(2, 4))[:, 2:6, 2:6]
    # a cell without mask may hold soft edges of a cloth defect only (covered by less than half), a Perlin one nothing
    assert (cells[~batch.mask] == 0).all() or source != "perlin"
    assert (cells[batch.mask] > 0).mean() > 0.9


def test_las_can_be_switched_off(tmp_path_factory: pytest.TempPathFactory) -> None:
    made = recipe(tmp_path_factory.getbasetemp(), las={"enabled": False})
    strip = ClothStrip("a", weave(np.random.default_rng(0), 90, 200), ClothSpan(0, 200))
    sampler = CropSampler([strip], TileShape(64, 64, 16, 1), selvedge_share=0.0, seed=3)
    batch = Synthesiser(made, sampler).batch(1, 1, 0)
    assert batch.synthetic is None
    assert batch.mask is None
    assert batch.good.shape == (3, 64, 64, 1)
