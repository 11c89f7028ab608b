"""Truncated projection: moving points radially into a band around a base.

Promises: the published form, the small number added to norms before dividing included; a point that lies on its base
has no direction to be moved in and stays there.

Source: Chen et al., ECCV 2024, section 3.3.
"""

from __future__ import annotations

import torch
from torch import Tensor

TINY = 1e-10
"""Added to norms before dividing, as published."""
Limit = Tensor | float


def row_norms(points: Tensor) -> Tensor:
    """Euclidean norm of each row, (n, 1)."""
    norms: Tensor = torch.linalg.vector_norm(points, dim=1, keepdim=True)
    return norms


def projection_ratio(norms: Tensor, lower: Limit, upper: Limit) -> Tensor:
    """Factor of an offset of length `norms` that brings the length into [lower, upper]."""
    allowed: Tensor = norms.clamp(lower, upper)  # type: ignore[arg-type]
    return allowed / (norms + TINY)


def project(points: Tensor, base: Tensor, lower: Limit, upper: Limit) -> Tensor:
    """Move points radially until their distance to `base` is within [lower, upper]; differentiable."""
    offsets = points - base
    moved: Tensor = base + offsets * projection_ratio(row_norms(offsets), lower, upper)
    return moved
