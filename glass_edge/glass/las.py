"""LAS: local anomalies on the image, by masks and foreign textures.

Promises: pure functions of the generator; a mask returned marks at least one cell of the score grid; a foreground that
leaves no room ends in an error that names the image instead of drawing for ever.

Source: Chen et al., ECCV 2024, section 3.4.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from glass_edge.errors import InputError
from glass_edge.glass.cloth_defects import MARKED, ClothDefectConfig, draw_cloth_defects
from glass_edge.glass.perlin import draw_perlin, rotate

Mask = NDArray[np.bool_]


class MaskSource(StrEnum):
    """Where masks come from."""

    PERLIN = "perlin"
    CLOTH = "cloth"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class LasConfig:
    """Constants of LAS; the defaults are the published ones.

    Attributes:
        source: Perlin blobs (published), shapes of weaving defects, or both.
        cloth_share: probability of the latter under 'mixed'.
        cloth: what they look like.
        max_exponent: Perlin cells an axis are 2^0 .. 2^max_exponent.
        threshold: Perlin values strictly above it are set.
        max_turn_deg: Perlin noise is turned by up to this much either way.
        opacity_mean, opacity_sigma, opacity_range: of the weight of the normal image under a Perlin mask.
        max_draws: draws before giving up.
    """

    source: MaskSource = MaskSource.PERLIN
    cloth_share: float = 0.5
    cloth: ClothDefectConfig = field(default_factory=ClothDefectConfig)
    max_exponent: int = 5
    threshold: float = 0.5
    max_turn_deg: float = 90.0
    opacity_mean: float = 0.5
    opacity_sigma: float = 0.1
    opacity_range: tuple[float, float] = (0.2, 0.8)
    max_draws: int = 1000


@dataclass(frozen=True, slots=True)
class LasMask:
    """Where a synthetic defect is.

    Attributes:
        coverage: float32 (height, width) in [0, 1]: 0 or 1 for Perlin masks, soft edges for cloth defects.
        grid: bool (rows, columns) of the score grid: cells touched by a pixel covered by half or more (by
            `MARKED` or more for cloth defects).
        opacity: weight of the normal image under a Perlin mask; None for cloth defects, whose fill draws its own.
    """

    coverage: NDArray[np.float32]
    grid: Mask
    opacity: float | None

    @property
    def is_cloth(self) -> bool:
        """Shaped like weaving defects (True) or Perlin blobs."""
        return self.opacity is None


def combine(first: Mask, second: Mask, u: float) -> Mask:
    """Union for u > 2/3, intersection for 1/3 < u <= 2/3, else the first alone."""
    if u > 2 / 3:
        return first | second
    return first & second if u > 1 / 3 else first


def grid_mask(mask: Mask, rows: int, columns: int) -> Mask:
    """Cells (rows, columns) that at least one set pixel of `mask` (height, width) touches.

    Window and stride are floor(height / rows) x floor(width / columns), as published.

    Raises:
        ValueError: a side is not (about) a multiple of its cells.
    """
    height, width = mask.shape
    down, across = height // rows, width // columns
    if not down or not across or height // down != rows or width // across != columns:
        raise ValueError(f"{height} x {width} px cannot be divided into {rows} x {columns} cells")
    cells = mask[: rows * down, : columns * across].reshape(rows, down, columns, across)
    return np.asarray(cells.any(axis=(1, 3)))


def inner(grid: Mask, halo_cells: int) -> Mask:
    """The cells of a grid (rows, columns) that are at least `halo_cells` from its border."""
    rows, columns = grid.shape
    return grid[halo_cells : rows - halo_cells, halo_cells : columns - halo_cells]


def draw_perlin_mask(rng: np.random.Generator, height: int, width: int, config: LasConfig) -> Mask:
    """One thresholded, turned Perlin noise; may be empty."""
    down, across = 2 ** rng.integers(0, config.max_exponent, size=2, endpoint=True)
    noise = draw_perlin(rng, height, width, (int(down), int(across)))
    turned = rotate(noise, rng.uniform(-config.max_turn_deg, config.max_turn_deg))
    return turned > config.threshold


def draw_opacity(rng: np.random.Generator, config: LasConfig) -> float:
    """Normal around the mean, clipped (not redrawn) at the range."""
    return float(np.clip(rng.normal(config.opacity_mean, config.opacity_sigma), *config.opacity_range))


def draw_las_mask(
    rng: np.random.Generator,
    size_px: tuple[int, int],
    grid: tuple[int, int],
    config: LasConfig,
    *,
    halo_cells: int = 0,
    foreground: Mask | None = None,
    image_name: str = "image",
) -> LasMask:
    """Draw until the grid mask is not empty, and marks a cell inside the halo.

    Args:
        rng: source of chance.
        size_px: height, width of the image.
        grid: rows, columns of the score grid.
        config: constants.
        halo_cells: cells at the grid's border that do not count.
        foreground: bool (height, width), where defects may lie; None: everywhere.
        image_name: named when there is no room.

    Raises:
        InputError: the foreground is empty or so small that no draw touched it, or none fell inside the halo.
    """
    if foreground is not None and not foreground.any():
        raise InputError(f"{image_name}: its foreground mask is empty; mark the part, or leave the mask away")
    for _ in range(config.max_draws):
        coverage, opacity = _draw_once(rng, size_px, config)
        if foreground is not None:
            coverage = coverage * foreground
        cells = grid_mask(coverage >= (MARKED if opacity is None else 0.5), *grid)
        if inner(cells, halo_cells).any():
            return LasMask(coverage, cells, opacity)
    if foreground is None:
        place, remedy = (
            f"the halo of a tile of {size_px[1]} x {size_px[0]} px",
            "choose a larger tile or a smaller halo",
        )
    else:
        place = f"its foreground of {np.count_nonzero(foreground)} px"
        remedy = "enlarge the foreground mask, leave it away, or set las.source = 'cloth'"
    raise InputError(f"{image_name}: no synthetic defect fell inside {place} in {config.max_draws} draws; {remedy}")


def fuse(image: Tensor, texture: Tensor, coverage: Tensor, opacity: float) -> Tensor:
    """I (1 - M) + (1 - opacity) T M + opacity I M.

    Args:
        image: I, normalised, (..., height, width).
        texture: T, normalised, like I.
        coverage: M in [0, 1], (height, width).
        opacity: weight of the *normal* image under the mask.
    """
    return image * (1 - coverage) + (1 - opacity) * texture * coverage + opacity * image * coverage


def _draw_once(
    rng: np.random.Generator, size_px: tuple[int, int], config: LasConfig
) -> tuple[NDArray[np.float32], float | None]:
    """Coverage and opacity (None for cloth defects)."""
    is_cloth = config.source is MaskSource.CLOTH or (
        config.source is MaskSource.MIXED and rng.random() < config.cloth_share
    )
    if is_cloth:
        return draw_cloth_defects(rng, *size_px, config.cloth), None
    first = draw_perlin_mask(rng, *size_px, config)
    second = draw_perlin_mask(rng, *size_px, config)
    return combine(first, second, rng.random()).astype(np.float32), draw_opacity(rng, config)
