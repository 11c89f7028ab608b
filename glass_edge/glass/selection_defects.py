"""Synthetic defects that choose an epoch: made otherwise than those of training.

Promises: a pure function of the generator and the tile; every defect drawn has a marked cell inside the halo; nothing
is pasted that training pastes. An epoch chosen by training's own defects would be the one that fits them best; so the
looks here come from the cloth itself, changed as weaving changes it, and the shapes are Perlin blobs and lines and
specks by turns whatever the recipe trains on:

- shade: lighter or darker, the weave still seen (oil, dirt, thin and thick places);
- turned: the cloth turned and stretched (a foreign piece, a fold, a loose sett);
- exchanged: contrast reversed or raised (the other yarn lies on top);
- smeared: blurred along warp or weft (a yarn floats over those it should cross).

Source: the idea to make anomalies of normal patches is that of Li, Sohn, Yoon, Pfister, "CutPaste", CVPR 2021; the
masks are those of `las`.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.glass.las import LasConfig, MaskSource, draw_las_mask, inner

Pixels = NDArray[np.uint8]
_Floats = NDArray[np.float32]
_LOOKS_A_TILE = 3
_OPACITY = (0.05, 0.65)  # of lines and specks; Perlin masks bring theirs
_SHADE = (0.15, 0.8)  # of the logarithm of the gain: 1.16 to 2.2 times, or as much darker
_STRETCH = 0.5  # of the logarithm of the scale, each way
_RAISED = (1.6, 2.6)
_REVERSED = (-1.5, 0.3)
_SMEAR_PX = (5, 25)


def draw_defect(
    rng: np.random.Generator,
    tile: Pixels,
    grid: tuple[int, int],
    *,
    halo_cells: int,
    source: MaskSource,
    foreground: NDArray[np.bool_] | None = None,
    image_name: str = "image",
) -> tuple[Pixels, NDArray[np.bool_]]:
    """A tile with synthetic defects of one kind of shape.

    Args:
        rng: source of chance.
        tile: good cloth, uint8 (height, width, channels).
        grid: rows and columns of the tile's score cells.
        halo_cells: cells at the border that do not count.
        source: kind of the shapes.
        foreground: bool (height, width), where defects may lie; None: everywhere.
        image_name: named when there is no room.

    Returns:
        The tile, uint8 of the same shape, and bool (rows, columns) of the cells inside the halo, True on defects.

    Raises:
        InputError: no defect fell inside the halo and the foreground.
    """
    mask = draw_las_mask(
        rng,
        tile.shape[:2],
        grid,
        LasConfig(source=source),
        halo_cells=halo_cells,
        foreground=foreground,
        image_name=image_name,
    )
    opacity = float(rng.uniform(*_OPACITY)) if mask.opacity is None else mask.opacity
    cloth = tile.astype(np.float32)
    looks = [_LOOKS[rng.integers(len(_LOOKS))](rng, cloth) for _ in range(_LOOKS_A_TILE)]
    count, parts = cv2.connectedComponents((mask.coverage > 0).astype(np.uint8), connectivity=8)
    chosen = rng.integers(_LOOKS_A_TILE, size=count)[parts]
    weight = ((1 - opacity) * mask.coverage)[..., None]
    for number, look in enumerate(looks):
        here = weight * (chosen == number)[..., None]
        cloth += here * (look - tile)
    return np.clip(np.rint(cloth), 0, 255).astype(np.uint8), inner(mask.grid, halo_cells)


def _shade(rng: np.random.Generator, cloth: _Floats) -> _Floats:
    return np.asarray(cloth * np.exp(rng.choice([-1, 1]) * rng.uniform(*_SHADE)), np.float32)


def _turned(rng: np.random.Generator, cloth: _Floats) -> _Floats:
    height, width = cloth.shape[:2]
    angle = rng.uniform(np.pi / 12, np.pi - np.pi / 12)
    across, along = np.exp(rng.uniform(-_STRETCH, _STRETCH, size=2))
    turn = np.array([[across * np.cos(angle), -along * np.sin(angle)], [across * np.sin(angle), along * np.cos(angle)]])
    centre = np.array([width / 2, height / 2])
    moved = cv2.warpAffine(
        cloth,
        np.column_stack([turn, centre - turn @ centre]),
        (width, height),
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(moved, np.float32).reshape(cloth.shape)


def _exchanged(rng: np.random.Generator, cloth: _Floats) -> _Floats:
    mean = cloth.mean(axis=(0, 1))
    return np.asarray(mean + rng.uniform(*(_RAISED if rng.random() < 0.5 else _REVERSED)) * (cloth - mean), np.float32)


def _smeared(rng: np.random.Generator, cloth: _Floats) -> _Floats:
    length = int(rng.integers(*_SMEAR_PX, endpoint=True))
    size = (length, 1) if rng.random() < 0.5 else (1, length)
    return np.asarray(cv2.blur(cloth, size, borderType=cv2.BORDER_REFLECT_101), np.float32).reshape(cloth.shape)


_LOOKS: tuple[Callable[[np.random.Generator, _Floats], _Floats], ...] = (_shade, _turned, _exchanged, _smeared)
