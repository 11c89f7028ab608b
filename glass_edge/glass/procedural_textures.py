"""Texture patterns drawn from chance alone: clouds, stripes, checks, blobs, grain.

Promises: uint8 RGB of the size asked for, a pure function of the generator; scales from single pixels to the whole tile
and the full range of colours and contrasts occur.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float64]


def draw_pattern(rng: np.random.Generator, height: int, width: int) -> NDArray[np.uint8]:
    """A random pattern between two or three random colours, uint8 (height, width, 3)."""
    field = _PATTERNS[rng.integers(len(_PATTERNS))](rng, height, width)
    if rng.random() < 0.5:  # warp the pattern a little, so that straight edges are not the rule
        field = _warp(rng, field)
    if rng.random() < 0.3:
        field = 0.5 * (field + _clouds(rng, height, width))
    colours = rng.uniform(0, 255, size=(3, 3))
    if rng.random() < 0.4:
        colours = np.repeat(colours.mean(axis=1, keepdims=True), 3, axis=1)  # grey, as most cloth cameras are
    low = np.clip(field * 2, 0, 1)[..., None]
    high = np.clip(field * 2 - 1, 0, 1)[..., None]
    mixed = colours[0] + (colours[1] - colours[0]) * low + (colours[2] - colours[1]) * high
    mixed += rng.normal(0, rng.uniform(0, 12), size=(height, width, 1))
    return np.asarray(np.clip(mixed, 0, 255), np.uint8)


def _unit(field: Field) -> Field:
    low, high = float(field.min()), float(field.max())
    return (field - low) / (high - low) if high > low else np.zeros_like(field)


def _coordinates(rng: np.random.Generator, height: int, width: int) -> tuple[Field, Field]:
    """Row and column of each pixel, turned by a random angle."""
    angle = rng.uniform(0, np.pi)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    return np.cos(angle) * rows + np.sin(angle) * columns, np.cos(angle) * columns - np.sin(angle) * rows


def _clouds(rng: np.random.Generator, height: int, width: int) -> Field:
    """Value noise of several octaves."""
    total = np.zeros((height, width))
    gain = rng.uniform(0.4, 0.9)
    first = int(rng.integers(0, 4))
    for octave in range(first, first + int(rng.integers(2, 6))):
        cells = 2**octave + 1
        grid = rng.random((min(cells, height), min(cells, width)))
        total += gain ** (octave - first) * cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    return _unit(total)


def _stripes(rng: np.random.Generator, height: int, width: int) -> Field:
    """Waves of random direction, period and sharpness."""
    along, _ = _coordinates(rng, height, width)
    wave = np.sin(2 * np.pi * along / np.exp(rng.uniform(np.log(3), np.log(80))) + rng.uniform(0, 2 * np.pi))
    return np.asarray(0.5 + 0.5 * np.tanh(rng.uniform(0.5, 8) * wave))


def _checks(rng: np.random.Generator, height: int, width: int) -> Field:
    """Two waves across each other: checks, grids, weaves."""
    along, across = _coordinates(rng, height, width)
    periods = np.exp(rng.uniform(np.log(4), np.log(64), size=2))
    product = np.sin(2 * np.pi * along / periods[0]) * np.sin(2 * np.pi * across / periods[1])
    return np.asarray(0.5 + 0.5 * np.tanh(rng.uniform(0.5, 8) * product))


def _blobs(rng: np.random.Generator, height: int, width: int) -> Field:
    """Discs of random size, place and tone."""
    field = np.full((height, width), rng.random())
    for _ in range(int(rng.integers(10, 120))):
        centre = (int(rng.integers(0, width)), int(rng.integers(0, height)))
        radius = int(np.exp(rng.uniform(np.log(2), np.log(max(4, min(height, width) / 6)))))
        cv2.circle(field, centre, radius, float(rng.random()), thickness=-1)
    return field


def _grain(rng: np.random.Generator, height: int, width: int) -> Field:
    """White noise, blurred to a random grain (also longer one way than the other)."""
    sigma_x, sigma_y = np.exp(rng.uniform(np.log(0.4), np.log(6), size=2))
    return _unit(
        cv2.GaussianBlur(rng.random((height, width)), (0, 0), float(sigma_x), sigmaY=float(sigma_y)).astype(float)
    )


def _flat(rng: np.random.Generator, height: int, width: int) -> Field:
    """One tone."""
    return np.full((height, width), rng.random())


def _warp(rng: np.random.Generator, field: Field) -> Field:
    height, width = field.shape
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    reach = rng.uniform(0, 0.08) * min(height, width)
    shift_rows, shift_columns = (
        (reach * (2 * cv2.resize(rng.random((5, 5)), (width, height), interpolation=cv2.INTER_CUBIC) - 1))
        for _ in range(2)
    )
    return np.asarray(
        cv2.remap(
            field,
            columns + shift_columns.astype(np.float32),
            rows + shift_rows.astype(np.float32),
            cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_REFLECT_101,
        ),
        np.float64,
    )


_PATTERNS = (_clouds, _clouds, _stripes, _checks, _blobs, _grain, _flat)
