"""Patch features: 3 x 3 neighbourhoods of every level, pooled and brought to the finest grid.

Promises: `patch_features` is the published form step by step; `LinearFeatures` is the same linear map as (grouped)
convolutions, which needs a fraction of the memory; both give features in the order level, channel, kernel row, kernel
column before pooling. Points are ordered image, row, column.

Source: Roth et al., "Towards Total Recall in Industrial Anomaly Detection" (PatchCore), CVPR 2022, section 3.1, as used
by GLASS (Chen et al., ECCV 2024).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional as F

PATCH = 3
_TAPS = PATCH * PATCH


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """How maps become features.

    Attributes:
        channels: channels of each level, finest first.
        level_width: values a level after pooling; None: all 9 x channels values are kept ("stacked").
        width: values a point after the second pooling; None: the concatenation of the levels as it is.
        finest_only: neighbourhoods are taken of the finest level alone; of the others a cell is its own channels.
    """

    channels: tuple[int, ...]
    level_width: int | None
    width: int | None
    finest_only: bool = False

    def has_neighbours(self, level: int) -> bool:
        """Whether the 3 x 3 neighbourhoods of a level (0: the finest) count."""
        return level == 0 or not self.finest_only

    @property
    def entries(self) -> tuple[int, ...]:
        """Values a cell of each level before pooling."""
        return tuple(_TAPS * count if self.has_neighbours(i) else count for i, count in enumerate(self.channels))

    @property
    def level_widths(self) -> tuple[int, ...]:
        """Values each level contributes to the concatenation."""
        return tuple(self.level_width or count for count in self.entries)

    @property
    def n_features(self) -> int:
        """Values a point."""
        return self.width or sum(self.level_widths)


def patch_vectors(level: Tensor) -> Tensor:
    """3 x 3 neighbourhoods, zero padded: (n, c, h, w) to (n, 9c, h, w), entry 9c + 3ky + kx."""
    count, channels, height, width = level.shape
    return F.unfold(level, PATCH, padding=PATCH // 2).view(count, _TAPS * channels, height, width)


def pool_channels(vectors: Tensor, width: int) -> Tensor:
    """Adaptive average pooling over axis 1: (n, k, h, w) to (n, width, h, w)."""
    count, entries, rows, columns = vectors.shape
    flat = vectors.permute(0, 2, 3, 1).reshape(-1, 1, entries)
    pooled = F.adaptive_avg_pool1d(flat, width)
    return pooled.view(count, rows, columns, width).permute(0, 3, 1, 2)


def resize_map(values: Tensor, height: int, width: int) -> Tensor:
    """Bilinear resize of (n, k, h, w), half-pixel centres, edges clamped; unchanged when the size fits."""
    if tuple(values.shape[-2:]) == (height, width):
        return values
    return F.interpolate(values, (height, width), mode="bilinear", align_corners=False)


def level_features(levels: Sequence[Tensor], spec: FeatureSpec) -> list[Tensor]:
    """Each level's patch vectors (or cells) on the finest grid, pooled to `spec.level_width` (None: as they are)."""
    rows, columns = (int(size) for size in levels[0].shape[-2:])
    cells = [patch_vectors(level) if spec.has_neighbours(index) else level for index, level in enumerate(levels)]
    vectors = [resize_map(cell, rows, columns) for cell in cells]
    return vectors if spec.level_width is None else [pool_channels(vector, spec.level_width) for vector in vectors]


def patch_features(levels: Sequence[Tensor], spec: FeatureSpec) -> Tensor:
    """Features of every point of the finest grid, in the published order of operations.

    Args:
        levels: maps (n, c, h, w) of each level, finest first.
        spec: pooling widths.

    Returns:
        (n, spec.n_features, h, w) of the finest grid.
    """
    stacked = torch.cat(level_features(levels, spec), dim=1)
    return stacked if spec.width is None else pool_channels(stacked, spec.width)


def to_points(values: Tensor) -> Tensor:
    """(n, k, h, w) to points (n * h * w, k), ordered image, row, column."""
    return values.permute(0, 2, 3, 1).reshape(-1, values.shape[1])


def pooling_matrix(n_in: int, n_out: int) -> NDArray[np.float64]:
    """Adaptive average pooling as a matrix (n_out, n_in).

    Row j averages the entries floor(j n_in / n_out) .. ceil((j + 1) n_in / n_out) - 1.
    """
    return np.asarray(_sparse_pooling(n_in, n_out).toarray())


def _sparse_pooling(n_in: int, n_out: int) -> sparse.csr_array:
    rows = np.arange(n_out + 1)
    starts, stops = rows[:-1] * n_in // n_out, -(-rows[1:] * n_in // n_out)
    lengths = stops - starts
    ends = np.concatenate([[0], np.cumsum(lengths)])
    columns = np.arange(ends[-1]) - np.repeat(ends[:-1] - starts, lengths)
    return sparse.csr_array((np.repeat(1.0 / lengths, lengths), columns, ends), shape=(n_out, n_in))


def level_matrices(spec: FeatureSpec) -> list[NDArray[np.float64]]:
    """The linear map of each level: (n_features, 9 x channels); the features are the sum of matrix x patch vector.

    Rows that average over the border of two levels have entries in both, so any number of levels and widths is right.
    """
    total = sum(spec.level_widths)
    outer = sparse.csc_array(sparse.eye_array(total) if spec.width is None else _sparse_pooling(total, spec.width))
    matrices, first = [], 0
    for index, (entries, width) in enumerate(zip(spec.entries, spec.level_widths, strict=True)):
        part = outer[:, first : first + width]
        first += width
        inner = sparse.eye_array(width) if spec.level_width is None else _sparse_pooling(entries, width)
        rows = part @ inner
        if not spec.has_neighbours(index):
            rows = rows @ _middle_taps(entries)
        matrices.append(np.asarray(rows.toarray()))
    return matrices


def _middle_taps(channels: int) -> sparse.csr_array:
    """Selects a cell itself, (channels, 9 x channels), from its patch vector."""
    rows = np.arange(channels)
    return sparse.csr_array((np.ones(channels), (rows, _TAPS * rows + _TAPS // 2)), shape=(channels, _TAPS * channels))


@dataclass(frozen=True, slots=True)
class LevelConvolution:
    """A level's linear map as one 3 x 3 convolution (zero padding 1, stride 1, no bias).

    Attributes:
        weight: float64 (rows, channels / groups, 3, 3).
        groups: groups of the convolution.
        first_row: feature index of its first output; outputs are contiguous.
    """

    weight: NDArray[np.float64]
    groups: int
    first_row: int


def level_convolution(matrix: NDArray[np.float64], channels: int) -> LevelConvolution:
    """Turn a level's matrix into the convolution with the most groups that represents it exactly.

    Args:
        matrix: (n_features, 9 x channels) of `level_matrices`.
        channels: channels of the level.
    """
    used = np.flatnonzero(matrix.any(axis=1))
    first, stop = int(used[0]), int(used[-1]) + 1
    rows = matrix[first:stop].reshape(stop - first, channels, PATCH, PATCH)
    touches = np.asarray(rows.any(axis=(2, 3)))
    for groups in range(int(np.gcd(len(rows), channels)), 0, -1):
        if len(rows) % groups or channels % groups:
            continue
        row_group = np.arange(len(rows)) // (len(rows) // groups)
        channel_group = np.arange(channels) // (channels // groups)
        inside = np.equal.outer(row_group, channel_group)
        if not touches[~inside].any():
            break
    per_group = channels // groups
    weight = np.stack([rows[row, group * per_group : (group + 1) * per_group] for row, group in enumerate(row_group)])
    return LevelConvolution(np.ascontiguousarray(weight), groups, first)


class LinearFeatures(nn.Module):
    """`patch_features` as convolutions on each level's own grid, resized afterwards (bilinear resizing commutes)."""

    def __init__(self, spec: FeatureSpec) -> None:
        super().__init__()
        self.spec = spec
        self._groups: list[int] = []
        self._first_rows: list[int] = []
        for index, (matrix, channels) in enumerate(zip(level_matrices(spec), spec.channels, strict=True)):
            form = level_convolution(matrix, channels)
            # derived from the spec, so no part of a checkpoint
            self.register_buffer(f"weight_{index}", torch.from_numpy(form.weight).float(), persistent=False)
            self._groups.append(form.groups)
            self._first_rows.append(form.first_row)

    def forward(self, levels: Sequence[Tensor]) -> Tensor:
        """Map levels (n, c, h, w), finest first, to features (n, n_features, h, w) of the finest grid."""
        rows, columns = (int(size) for size in levels[0].shape[-2:])
        parts: list[Tensor] = [
            resize_map(
                F.conv2d(level, self.get_buffer(f"weight_{index}"), padding=PATCH // 2, groups=groups), rows, columns
            )
            for index, (groups, level) in enumerate(zip(self._groups, levels, strict=True))
        ]
        if sum(part.shape[1] for part in parts) == self.spec.n_features:
            return torch.cat(parts, dim=1)
        total: Tensor | None = None  # rows that straddle levels: add up
        for part, first in zip(parts, self._first_rows, strict=True):
            after = self.spec.n_features - first - part.shape[1]
            placed = F.pad(part, (0, 0, 0, 0, first, after))
            total = placed if total is None else total + placed
        assert total is not None
        return total
