"""An endless texture from a small photograph: image quilting on a torus.

Promises: `quilt` returns an image whose opposite edges continue each other, made only of pieces of the sample joined
along paths of least difference; a pure function of its arguments.

Source: A. A. Efros and W. T. Freeman, "Image Quilting for Texture Synthesis and Transfer", SIGGRAPH 2001. Here the
patches lie on a torus, so the last row and column are cut on all sides, and candidates come from a random share of the
sample, so that no place of it is used over and over.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.loom.noise import key_of, uniform

Image = NDArray[np.float32]
Mask = NDArray[np.bool_]


def _cheapest_path(cost: NDArray[np.float64]) -> NDArray[np.int64]:
    """Column of the cheapest top-to-bottom path, one a row of `cost`; steps of at most one column."""
    total = cost.copy()
    for row in range(1, total.shape[0]):
        above = np.pad(total[row - 1], 1, constant_values=np.inf)
        total[row] += np.minimum(np.minimum(above[:-2], above[1:-1]), above[2:])
    path = np.empty(total.shape[0], dtype=np.int64)
    path[-1] = int(total[-1].argmin())
    for row in range(total.shape[0] - 2, -1, -1):
        low = max(0, path[row + 1] - 1)
        path[row] = low + int(total[row, low : path[row + 1] + 2].argmin())
    return path


def _take_new(difference: NDArray[np.float64], overlap: int, sides: tuple[bool, bool, bool, bool]) -> Mask:
    """Where the new patch replaces what is there; `sides` = there is old texture at left, top, right, bottom."""
    take = np.ones(difference.shape, dtype=bool)
    for turns, present in enumerate(sides):
        if not present:
            continue
        # Turn the side in question to the left; a view, so `take` itself is changed.
        turned, view = np.rot90(difference, turns), np.rot90(take, turns)
        path = _cheapest_path(turned[:, :overlap])
        view &= np.arange(turned.shape[1])[None, :] >= path[:, None]
    return take


def _best_place(sample: Image, old: Image, known: Mask, key: int) -> tuple[int, int]:
    """Top-left corner in `sample` of a patch that agrees with `old` where `known`."""
    height, width = old.shape
    rows, columns = int(sample.shape[0]) - height + 1, int(sample.shape[1]) - width + 1
    if not known.any():
        pick = uniform(key, [0, 1])
        return int(pick[0] * rows), int(pick[1] * columns)
    cost = cv2.matchTemplate(sample, old, cv2.TM_SQDIFF, mask=known.astype(np.float32))
    cost = np.where(np.isfinite(cost), np.maximum(cost, 0), np.inf)
    flat = cost.ravel()
    few = np.argpartition(flat, 24)[:24]
    few = few[np.argsort(flat[few], kind="stable")]
    good = few[flat[few] <= flat[few[0]] * 1.15 + 1e-9]
    chosen = int(good[int(uniform(key, 7)[0] * len(good))])
    return chosen // columns, chosen % columns


def quilt(sample: Image, *, min_height: int, min_width: int, patch: int, overlap: int, seed: int) -> Image:
    """Toroidal texture of at least `min_height` x `min_width` from `sample`, float32 (height, width).

    Args:
        sample: float32 (h, w), both sides longer than `patch`.
        min_height: least height, px; rounded up to a multiple of patch - overlap.
        min_width: least width, px; rounded up likewise.
        patch: side of a patch, px.
        overlap: width of the joint in which patches are cut, px.
        seed: another seed gives another arrangement.
    """
    step = patch - overlap
    rows, columns = max(2, -(-min_height // step)), max(2, -(-min_width // step))
    height, width = rows * step, columns * step
    out = np.zeros((height, width), np.float32)
    filled = np.zeros((height, width), dtype=bool)
    for row in range(rows):
        for column in range(columns):
            y = np.arange(row * step, row * step + patch) % height
            x = np.arange(column * step, column * step + patch) % width
            place = np.ix_(y, x)
            old, known = out[place], filled[place]
            top, left = _best_place(sample, old, known, key_of(seed, "quilt", row, column))
            new = sample[top : top + patch, left : left + patch]
            sides = (column > 0, row > 0, column == columns - 1, row == rows - 1)
            take = _take_new(np.where(known, (new - old).astype(np.float64) ** 2, 0.0), overlap, sides) | ~known
            out[place] = np.where(take, new, old)
            filled[place] = True
    return out
