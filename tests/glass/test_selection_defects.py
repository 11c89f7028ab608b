"""Synthetic defects that choose an epoch: what they change and what they leave."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_cloth import weave

from glass_edge.errors import InputError
from glass_edge.glass.las import MaskSource
from glass_edge.glass.selection_defects import draw_defect

STRIDE, HALO = 8, 2


def cloth(channels: int = 1) -> np.ndarray:
    tile = weave(np.random.default_rng(0), 96, 160)
    return np.repeat(tile[:, :, None], channels, axis=2)


def cells(changed: np.ndarray) -> np.ndarray:
    """Largest change of each cell."""
    return changed.reshape(96 // STRIDE, STRIDE, 160 // STRIDE, STRIDE).max(axis=(1, 3))


@pytest.mark.parametrize("source", [MaskSource.CLOTH, MaskSource.PERLIN])
@pytest.mark.parametrize("channels", [1, 3])
def test_defects_lie_where_the_mask_says(source: MaskSource, channels: int) -> None:
    tile = cloth(channels)
    before = tile.copy()
    strongest = []
    for seed in range(40):
        rng = np.random.default_rng(seed)
        spoilt, mask = draw_defect(rng, tile, (12, 20), halo_cells=HALO, source=source)
        assert spoilt.dtype == np.uint8
        assert spoilt.shape == tile.shape
        assert mask.shape == (8, 16)
        assert mask.any()
        assert not mask.all()
        changed = cells(np.abs(spoilt.astype(int) - tile).max(axis=2))[HALO:-HALO, HALO:-HALO]
        # a soft edge reaches a little into cells that are not marked
        assert changed[~mask].max() <= 0.35 * 255
        if source is MaskSource.PERLIN:
            assert (changed[~mask] == 0).all()
        strongest.append(changed[mask].max())
    np.testing.assert_array_equal(tile, before)
    assert np.mean(np.array(strongest) >= 20) > 0.7  # most can be seen
    assert len(set(strongest)) > 10


def test_defects_follow_the_generator_alone() -> None:
    pictures = [
        draw_defect(np.random.default_rng(seed), cloth(), (12, 20), halo_cells=HALO, source=MaskSource.CLOTH)[0]
        for seed in (5, 5, 6)
    ]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert (pictures[0] != pictures[2]).any()


def test_the_cloth_s_own_tone_is_kept_on_average() -> None:
    """Looks are made of the cloth: nothing foreign is pasted, so a flat tile can only change its shade."""
    flat = np.full((96, 160, 1), 120, np.uint8)
    changes = []
    for seed in range(60):
        spoilt, _ = draw_defect(np.random.default_rng(seed), flat, (12, 20), halo_cells=HALO, source=MaskSource.PERLIN)
        changes.append(np.unique(spoilt).tolist())
    assert sum(one == [120] for one in changes) > 5
    assert all(len(one) <= 4 for one in changes)  # at most three looks beside the cloth, each flat again


def test_defects_stay_inside_the_foreground() -> None:
    foreground = np.zeros((96, 160), bool)
    foreground[:, :80] = True
    for seed in range(20):
        spoilt, mask = draw_defect(
            np.random.default_rng(seed),
            cloth(),
            (12, 20),
            halo_cells=HALO,
            source=MaskSource.CLOTH,
            foreground=foreground,
        )
        np.testing.assert_array_equal(spoilt[:, 80:], cloth()[:, 80:])
        assert not mask[:, 8:].any()
    with pytest.raises(InputError, match=r"bobbin\.png"):
        draw_defect(
            np.random.default_rng(0), cloth(), (12, 20), halo_cells=HALO, source=MaskSource.CLOTH,
            foreground=np.zeros((96, 160), bool), image_name="bobbin.png",
        )  # fmt: skip
