"""The ascent's gradient at the discriminator's hidden layer, in closed form.

Promises: what autograd gives for one pass of [normal; synthetic] points, but for rounding, batch statistics included:
in train mode the gradient flows through the mean and variance of both halves, and the running statistics move as by a
pass of both. The normal half is constant over an ascent, so only its mean and variance are kept, and no graph is built.

Source: the derivative of S. Ioffe, C. Szegedy, "Batch Normalization", ICML 2015, section 3.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor

from glass_edge.glass.losses import mean_bce
from glass_edge.glass.networks import LEAKY_SLOPE, Discriminator, GaussianPrior


class HiddenGradient:
    """Gradients of the loss of synthetic points against "anomalous", pass after pass of one ascent."""

    def __init__(
        self, discriminator: Discriminator, normal_hidden: Tensor, *, full_steps: bool, moves_statistics: bool
    ) -> None:
        """Keep what stays the same.

        Args:
            discriminator: its mode decides between batch and running statistics.
            normal_hidden: output of the hidden layer for the normal points, (n, n_hidden), no gradient.
            full_steps: see `gas.GasConfig`.
            moves_statistics: move the running statistics in train mode.
        """
        self._norm = discriminator.norm
        self._prior: GaussianPrior | None = discriminator.prior
        self._output = discriminator.output.weight.detach()[0]
        self._full_steps = full_steps
        self._by_batch = discriminator.training
        self._moves = moves_statistics and discriminator.training
        self._normalised, self._values = torch.empty_like(normal_hidden), torch.empty_like(normal_hidden)
        self._gradient = torch.empty_like(normal_hidden)
        if self._by_batch:
            self._normal_mean = normal_hidden.mean(dim=0)
            torch.sub(normal_hidden, self._normal_mean, out=self._values)
            self._normal_variance = self._values.square_().mean(dim=0)

    def __call__(self, hidden: Tensor, mean_square: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """One pass.

        Args:
            hidden: output of the hidden layer for the synthetic points, as many as normal ones.
            mean_square: (n,) of what the prior reads of them; needed if there is a prior.

        Returns:
            Gradient at `hidden`, (n, n_hidden), valid until the next call; gradient at the logits, (n,).
        """
        with torch.autocast(hidden.device.type, enabled=False):  # cheap, and small differences matter
            return self._pass(hidden, mean_square)

    def _pass(self, hidden: Tensor, mean_square: Tensor | None) -> tuple[Tensor, Tensor]:
        normalised, values, gradient = self._normalised, self._values, self._gradient
        scale = self._normalise(hidden)
        weight, bias = self._norm.weight.detach(), self._norm.bias.detach()
        torch.addcmul(bias, normalised, weight, out=values)
        torch.nn.functional.leaky_relu(values, LEAKY_SLOPE, inplace=True)
        logits = values @ self._output
        if self._prior is not None:
            assert mean_square is not None
            logits = logits + self._prior.of_mean_square(mean_square).detach()
        at_logits = self._at_logits(logits)

        torch.gt(values, 0, out=gradient)  # the rectifier's slopes, then times the rest of the chain, from the left
        gradient.mul_(1 - LEAKY_SLOPE).add_(LEAKY_SLOPE)
        factor = self._output * weight * scale
        if not self._by_batch:
            return gradient.mul_(at_logits[:, None]).mul_(factor), at_logits
        n_both = 2 * len(hidden)
        through_mean = (at_logits @ gradient) / n_both
        torch.mul(gradient, normalised, out=values)
        through_variance = (at_logits @ values) / n_both
        gradient.mul_(at_logits[:, None]).sub_(through_mean)
        gradient.addcmul_(normalised, through_variance, value=-1)
        return gradient.mul_(factor), at_logits

    def _normalise(self, hidden: Tensor) -> Tensor:
        """Fill `_normalised`; returns the factor 1 / standard deviation, (n_hidden,)."""
        norm = self._norm
        if self._by_batch:
            mean = (self._normal_mean + hidden.mean(dim=0)) / 2
            torch.sub(hidden, mean, out=self._normalised)
            own = torch.mul(self._normalised, self._normalised, out=self._values).mean(dim=0)
            variance = (self._normal_variance + (self._normal_mean - mean).square() + own) / 2
            if self._moves:
                self._move_statistics(mean, variance, 2 * len(hidden))
        else:
            mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
            torch.sub(hidden, mean, out=self._normalised)
        scale = (variance + norm.eps).rsqrt()
        self._normalised.mul_(scale)
        return scale

    def _move_statistics(self, mean: Tensor, variance: Tensor, n_points: int) -> None:
        norm = self._norm
        momentum = cast(float, norm.momentum)
        cast(Tensor, norm.running_mean).lerp_(mean, momentum)
        cast(Tensor, norm.running_var).lerp_(variance * (n_points / (n_points - 1)), momentum)
        cast(Tensor, norm.num_batches_tracked).add_(1)

    def _at_logits(self, logits: Tensor) -> Tensor:
        if self._full_steps:
            return torch.full_like(logits, -1.0)
        with torch.enable_grad():
            leaf = logits.detach().requires_grad_()
            (gradient,) = torch.autograd.grad(mean_bce(leaf.sigmoid(), 1.0), leaf)
        return gradient
