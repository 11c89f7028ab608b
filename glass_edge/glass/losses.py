"""The three losses of GLASS.

Promises: exactly the published forms (BCE with its logarithm clamped at -100, hard-example mining by squared error,
focal loss with smoothed targets); selections and thresholds carry no gradient.

Sources: Chen et al., ECCV 2024; T.-Y. Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017; A. Shrivastava
et al., "Training Region-based Object Detectors with Online Hard Example Mining", CVPR 2016.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from glass_edge.glass.quantiles import linear_quantile


def mean_bce(scores: Tensor, label: float) -> Tensor:
    """Mean binary cross-entropy of scores in [0, 1] against one label for all, in their own type under autocast too."""
    with torch.autocast(scores.device.type, enabled=False):
        return F.binary_cross_entropy(scores, torch.full_like(scores, label))


def hard_points(scores: Tensor, targets: Tensor, quantile: float) -> tuple[Tensor, Tensor]:
    """Points whose squared error is at or above its `quantile`.

    Args:
        scores: (n,) in [0, 1].
        targets: (n,) of 0 and 1.
        quantile: 0 keeps all, 0.5 the harder half.

    Returns:
        Selection bool (n,), threshold (scalar).
    """
    errors = (scores.detach() - targets).square()
    threshold = linear_quantile(errors, quantile)
    return errors >= threshold, threshold


def focal_terms(
    scores: Tensor, targets: Tensor, *, gamma: float = 2.0, smoothing: float = 1e-5, clamp: bool = False
) -> Tensor:
    """Focal loss of each point, without class weights.

    Args:
        scores: (n,) probability of 1.
        targets: (n,) of 0 and 1.
        gamma: focusing exponent.
        smoothing: one-hot targets are clipped to [smoothing, 1 - smoothing], and it is added to the probability.
        clamp: keep the probability of the true class at or below 1 (the published program lets it exceed 1 by
            `smoothing`).
    """
    for_one = torch.where(targets > 0.5, 1.0 - smoothing, smoothing)
    for_zero = torch.where(targets > 0.5, smoothing, 1.0 - smoothing)
    probability = for_zero * (1.0 - scores) + for_one * scores + smoothing
    if clamp:
        probability = probability.clamp(max=1.0)
    return -((1.0 - probability) ** gamma) * probability.log()
