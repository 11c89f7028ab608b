"""Masks shaped like weaving defects: thin lines along warp or weft and small specks.

Promises: pure functions of the generator; every mask sets at least one pixel; sizes are in pixels of the tile.
These masks are no part of the published method: Perlin blobs cover 5 % of a tile on average, while broken picks are
1 to 2 px wide and neps 3 to 8 px across.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Coverage = NDArray[np.float32]

MARKED = 0.3
"""Coverage from which on a pixel counts as part of the defect; fainter edges are hardly seen."""
_REFERENCE_AREA_PX = 256 * 256
_DASH_PX = 4


@dataclass(frozen=True, slots=True)
class ClothDefectConfig:
    """What is drawn.

    Attributes:
        count: fewest and most defects a reference area of 256 x 256 px: few enough that most of the tile stays good,
            many enough that small ones are learnt.
        line_share: probability that a defect is a line rather than a speck.
        dashed_share: share of the lines that come and go along their length (a float, a yarn that surfaces).
        line_width_px: thinnest and thickest line.
        line_length: shortest and longest line as a share of the tile's side.
        line_waviness_px: largest departure of a line from straight.
        weft_share: probability that a line runs across the web (weft, along rows) rather than along it (warp).
        speck_px: smallest and largest diameter; small ones are as frequent as large ones on a logarithmic scale.
        soft_share: share of the defects with a blurred edge.
    """

    count: tuple[int, int] = (4, 15)
    line_share: float = 0.45
    dashed_share: float = 0.5
    line_width_px: tuple[float, float] = (1.0, 4.0)
    line_length: tuple[float, float] = (0.05, 1.0)
    line_waviness_px: float = 1.5
    weft_share: float = 0.5
    speck_px: tuple[float, float] = (2.4, 12.0)
    soft_share: float = 0.7


def draw_cloth_defects(rng: np.random.Generator, height: int, width: int, config: ClothDefectConfig) -> Coverage:
    """Coverage of each pixel by defects, float32 (height, width) in [0, 1]; edges are one pixel soft."""
    coverage = np.zeros((height, width), np.float32)
    areas = height * width / _REFERENCE_AREA_PX
    while not (coverage >= MARKED).any():  # a speck of 2 px between pixel centres may cover none by half
        for _ in range(max(1, round(areas * rng.integers(*config.count, endpoint=True)))):
            defect = np.zeros_like(coverage)
            if rng.random() >= config.line_share:
                _add_speck(rng, defect, config)
            elif rng.random() < config.weft_share:
                _add_line(rng, defect, config)
            else:
                _add_line(rng, defect.T, config)
            if rng.random() < config.soft_share:
                defect = _soften(defect, float(rng.uniform(0.5, 1.2)))
            np.maximum(coverage, defect, out=coverage)
    return coverage


def _soften(defect: Coverage, sigma_px: float) -> Coverage:
    """Blur the edges and keep the peak: a blurred speck of 3 px would fade below what is marked as a defect."""
    peak = float(defect.max())
    soft = cv2.GaussianBlur(defect, (0, 0), sigma_px)
    return np.asarray(soft * (peak / max(float(soft.max()), 1e-6)), np.float32)


def _add_line(rng: np.random.Generator, coverage: Coverage, config: ClothDefectConfig) -> None:
    """Draw a line along the columns' direction (axis 1) of `coverage`, in place."""
    rows, columns = coverage.shape
    shortest, longest = np.log(config.line_length)
    length = max(1, round(columns * np.exp(rng.uniform(shortest, longest))))
    start = int(rng.integers(0, columns - length, endpoint=True))
    x = np.arange(length)
    waves = (
        config.line_waviness_px * rng.random() * np.sin(2 * np.pi * (x * rng.uniform(0.5, 3) / columns + rng.random()))
    )
    path = rng.uniform(0, rows - 1) + waves
    thickness = rng.uniform(*config.line_width_px)
    distance = np.abs(np.arange(rows)[:, None] - path[None, :])
    line = np.clip(thickness / 2 + 0.5 - distance, 0, 1).astype(np.float32)
    if rng.random() < config.dashed_share:
        dashes = rng.random(-(-length // _DASH_PX)) > rng.uniform(0.3, 0.7)
        line *= np.repeat(dashes, _DASH_PX)[None, :length]
    part = coverage[:, start : start + length]
    np.maximum(part, line, out=part)


def _add_speck(rng: np.random.Generator, coverage: Coverage, config: ClothDefectConfig) -> None:
    """Draw an elliptic speck of random diameter, aspect and direction, in place."""
    rows, columns = coverage.shape
    radius = np.exp(rng.uniform(*np.log(config.speck_px))) / 2
    aspect = rng.uniform(0.5, 1.0)
    angle = rng.uniform(0, np.pi)
    y0, x0 = rng.uniform(0, rows - 1), rng.uniform(0, columns - 1)
    reach = int(np.ceil(radius)) + 1
    top, left = max(0, int(y0) - reach), max(0, int(x0) - reach)
    part = coverage[top : int(y0) + reach + 2, left : int(x0) + reach + 2]
    y = np.arange(part.shape[0])[:, None] + top - y0
    x = np.arange(part.shape[1])[None, :] + left - x0
    along = np.cos(angle) * x + np.sin(angle) * y
    across = (np.cos(angle) * y - np.sin(angle) * x) / aspect
    speck = np.clip(radius + 0.5 - np.hypot(along, across), 0, 1).astype(np.float32)
    np.maximum(part, speck, out=part)
