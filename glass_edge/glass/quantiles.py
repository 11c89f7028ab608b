"""Quantiles with linear interpolation, of any number of values.

Promises: equal to `torch.quantile(values, q)` (its default interpolation) without the limit of 2^24 values
that several releases of it have.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def linear_quantile(values: Tensor, q: float) -> Tensor:
    """The q-quantile, 0 <= q <= 1, of all of `values`; a scalar tensor without gradient.

    Raises:
        ValueError: no values.
    """
    if not values.numel():
        raise ValueError("a quantile of no values")
    ordered = values.detach().reshape(-1).sort().values  # kthvalue needs quadratic time on sorted input
    rank = q * (ordered.numel() - 1)
    below = math.floor(rank)
    return torch.lerp(ordered[below], ordered[min(below + 1, ordered.numel() - 1)], rank - below)
