"""Styles whose training takes seconds: painted or simulated cloth, and recipes for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from glass_edge.cli.main import run

_RECIPE = """
seed = {seed}
[data]
folder = "{style}"
span = {{ left_px = 0, right_px = {width} }}
mm_per_px = 0.5
[backbone]
name = "resnet18"
levels = [8, 16]
weights = "random"
[tile]
height_px = 64
width_px = 64
halo_px = 16
[model]
level_width = 24
width = 24
hidden = 16
shrinkage = 0.1
[gas]
steps = 3
[training]
epochs = {epochs}
samples_per_epoch = 5
batch = 3
threads = 1
[inspection]
block_height_px = 32
block_width_px = 32
selvedge_zone_px = 0
"""

WOVEN_RECIPE = """
seed = 4
[data]
folder = "cloth"
[tile]
height_px = 96
width_px = 128
[model]
shrinkage = 0.05
hidden = 16
[gas]
points = 64
steps = 2
[training]
epochs = 2
samples_per_epoch = 5
batch = 2
threads = 1
schedule = "constant"
[inspection]
block_height_px = 64
block_width_px = 64
selvedge_zone_px = 0
"""
"""Of the cloth of `weave_cloth`, in the folder `cloth` beside the recipe; trained in seconds."""


def weave_cloth(folder: Path) -> Path:
    """Simulated cloth with labelled defects, five good strips to train on; its folder."""
    cloth = ["--cloth", "plain", "--width-px", "460", "--lines", "160", "--background", "dark"]
    order = ["--good", "5", "--test-good", "2", "--defects", "hole:2@3x3,slub:2"]
    assert run(["simulate", str(folder), *order, *cloth]) == 0
    return folder


def tiny_style(place: Path, style: str, *, seed: int = 0, epochs: int = 2, images: int = 4) -> Path:
    """Write `place`/`style`/00.png... (80 lines of 160 px, 40 mm of web each) and `place`/`style`.toml; its path."""
    folder = place / style
    folder.mkdir()
    rng = np.random.default_rng(seed)
    lines, width = 80, 160
    rows, columns = np.mgrid[:lines, :width]
    for number in range(images):
        weave = 110 + 40 * np.sign(np.sin(rows * np.pi / 4) * np.sin(columns * np.pi / 4))
        pixels = np.clip(weave + rng.normal(0, 6, (lines, width)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number:02d}.png")
    recipe = place / f"{style}.toml"
    recipe.write_text(_RECIPE.format(style=style, seed=seed, epochs=epochs, width=width), encoding="utf-8")
    return recipe
