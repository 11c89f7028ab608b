"""BatchNorm statistics of a head in closed form, from mean and covariance of the features.

Promises: mean and unbiased variance of the hidden layer over the points behind the moments, for any weights of the
head, without looking at a point again: everything between the features and the BatchNorm is affine.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from glass_edge.glass.networks import Head
from glass_edge.glass.statistics import StreamingMoments


@torch.no_grad()
def set_norm_statistics(head: Head, moments: StreamingMoments) -> None:
    """Set the running statistics to those of all points of `moments` (features that are not whitened).

    The moving average of training rests on the last batch alone (0.9^22 = 9.8 % of the history survive a step).

    Raises:
        InputError: fewer than two points.
    """
    hidden, norm = head.discriminator.hidden, head.discriminator.norm
    mean, covariance = torch.from_numpy(moments.mean), torch.from_numpy(moments.covariance())
    weight, offset = _double(head.adaptor.weight), _double(head.adaptor.bias)
    if head.whitening is not None:
        mean = mean - _double(head.whitening.mean)
        weight = weight @ _double(head.whitening.matrix)
    weight, offset = _double(hidden.weight) @ weight, _double(hidden.weight) @ offset + _double(hidden.bias)
    cast(Tensor, norm.running_mean).copy_(weight @ mean + offset)
    cast(Tensor, norm.running_var).copy_(((weight @ covariance) * weight).sum(dim=1))


def _double(tensor: Tensor) -> Tensor:
    return tensor.detach().cpu().double()
