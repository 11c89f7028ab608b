"""Small data sets of painted cloth and small recipes for the tests of the trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from glass_edge.config.recipe import Recipe
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.glass.data import GoodData, load_good_data
from glass_edge.glass.trainer_features import tile_shape

TABLES: dict[str, Any] = {
    "backbone": {"name": "resnet18", "levels": (8, 16), "weights": "random"},
    "tile": {"height_px": 64, "width_px": 64, "halo_px": 16, "channels": 1},
    "model": {"level_width": 24, "width": 24, "hidden": 16, "shrinkage": 0.1},
    "gas": {"steps": 3, "projection_period": 2},
    "training": {"epochs": 2, "samples_per_epoch": 5, "batch": 3, "threads": 1},
}
PUBLISHED: dict[str, Any] = {
    "tile": {**TABLES["tile"], "exposure": "camera"},
    "model": {
        "level_width": 24,
        "width": 24,
        "neighbours": "all",
        "hidden": 16,
        "whiten": False,
        "adaptor": "xavier",
        "prior": "none",
    },
    "gas": {"relative": False, "full_steps": False},
    "las": {"source": "perlin"},
    "training": {**TABLES["training"], "keep_norm_statistics": "last"},
}


def weave(rng: np.random.Generator, lines: int, width: int, noise: float = 6.0) -> NDArray[np.uint8]:
    """Plain weave of 4 px with noise, grey."""
    rows, columns = np.mgrid[:lines, :width]
    pattern = 110 + 40 * np.sign(np.sin(rows * np.pi / 4) * np.sin(columns * np.pi / 4))
    return np.clip(pattern + rng.normal(0, noise, (lines, width)), 0, 255).astype(np.uint8)


def save(path: Path, pixels: NDArray[np.uint8]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def paint_good(folder: Path, count: int = 4, size: tuple[int, int] = (80, 160), noise: float = 6.0) -> Path:
    rng = np.random.default_rng(0)
    for index in range(count):
        save(folder / f"{index:02d}.png", weave(rng, *size, noise))
    return folder


def recipe(folder: Path, **tables: dict[str, Any]) -> Recipe:
    """TABLES with the changes of `tables`, key by key."""
    names = {*TABLES, *tables}
    merged = {name: {**TABLES.get(name, {}), **tables.get(name, {})} for name in names}
    return Recipe.model_validate({"style": "tiny", "data": {"folder": folder}, **merged})


def whole_width(lines: NDArray[np.uint8]) -> ClothSpan:
    return ClothSpan(0, lines.shape[1])


def good_data(made: Recipe) -> GoodData:
    return load_good_data(made.data.folder, tile_shape(made), whole_width, holdout=made.data.holdout, seed=made.seed)
