"""Thresholds of body and selvedge."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from glass_edge.cli.good_strips import GoodStrip
from glass_edge.cli.good_threshold import good_threshold
from glass_edge.config.recipe import Recipe
from glass_edge.engine.base import EngineFacts
from glass_edge.fabric.geometry import ClothSpan


class BrightnessEngine:
    """Scores a cell by its mean brightness: a real computation whose maxima are known."""

    facts = EngineFacts("numpy", "0", "CPU", "f32", 1)
    tile_height_px, tile_width_px, channels, score_stride_px = 64, 64, 1, 4
    max_batch, depth = 4, 2

    def __init__(self) -> None:
        self._done: list[NDArray[np.float32]] = []

    def submit(self, tiles: NDArray[np.uint8]) -> None:
        cells = tiles[..., 0].reshape(len(tiles), 16, 4, 16, 4).astype(np.float32)
        self._done.append(cells.mean(axis=(2, 4)))

    def collect(self) -> NDArray[np.float32]:
        return self._done.pop(0)

    def infer(self, tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.submit(tiles)
        return self.collect()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


def recipe(zone_px: int) -> Recipe:
    return Recipe.model_validate(
        {
            "data": {"folder": Path()},
            "tile": {"height_px": 64, "width_px": 64, "halo_px": 16},
            "inspection": {
                "smoothing_sigma_px": 0,
                "selvedge_zone_px": zone_px,
                "block_height_px": 32,
                "block_width_px": 32,
            },
        }
    )


def cloth(left_px: int = 100) -> GoodStrip:
    """Body at 10 with one cell at 20, selvedge (the first 80 px) at 50 with one at 60."""
    pixels = np.zeros((96, 500), np.uint8)
    pixels[:, left_px:] = 10
    pixels[:, left_px : left_px + 80] = 50
    pixels[40:44, left_px + 20 : left_px + 24] = 60
    pixels[60:64, 400:404] = 20
    return GoodStrip("a.png", pixels, ClothSpan(left_px, 500))


def test_body_and_selvedge_each_have_their_own_largest_good_score() -> None:
    with BrightnessEngine() as engine:
        good = good_threshold(engine, recipe(80), [cloth()])
    assert good.spec.logit == 20
    assert good.spec.selvedge is not None
    assert good.spec.logit + good.spec.selvedge.offset_logit == 60
    assert good.spec.selvedge.zone_px == 80
    assert good.spec.n_blocks == len(good.strips[0].body)
    assert good.spec.selvedge.n_blocks == len(good.strips[0].selvedge)
    assert good.spec.good_cloth_lines == 96 - 2 * 16


def test_without_a_zone_the_selvedge_sets_the_threshold_of_all() -> None:
    with BrightnessEngine() as engine:
        good = good_threshold(engine, recipe(0), [cloth()])
    assert good.spec.logit == 60
    assert good.spec.selvedge is None


def test_cloth_that_is_all_zone_has_one_threshold() -> None:
    with BrightnessEngine() as engine:
        good = good_threshold(engine, recipe(4000), [cloth()])
    assert good.spec.logit == 60
    assert good.spec.selvedge is None
