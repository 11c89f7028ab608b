"""Gradient ascent among the features: the published form of the steps.

Promises: the steps of one pass of [normal; synthetic] points each, number by number but for rounding; no graph is
kept. The hidden output of the normal points, which do not move, is computed once.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from glass_edge.glass.hidden_gradient import HiddenGradient
from glass_edge.glass.networks import Discriminator
from glass_edge.glass.radial import TINY, Limit, projection_ratio, row_norms


class FeatureAscent:
    """Synthetic points of one ascent; used without autograd."""

    def __init__(
        self,
        discriminator: Discriminator,
        normal: Tensor,
        noise: Tensor,
        base: Tensor,
        whitened: Tensor | None,
        *,
        full_steps: bool,
        moves_statistics: bool,
    ) -> None:
        """Start at `normal + noise`.

        Args:
            discriminator: whose idea of "normal" is climbed towards.
            normal: adapted normal points (n, d), no gradient.
            noise: (n, d).
            base: (n, d), what distances are measured from: the normal points themselves or their centres.
            whitened: the normal points before the adaptor, where the prior reads those.
            full_steps: see `gas.GasConfig`.
            moves_statistics: see `gas.GasConfig`.
        """
        layer = discriminator.hidden
        self._weight, self._bias = layer.weight.detach(), layer.bias.detach()
        self._gradient = HiddenGradient(
            discriminator,
            self._hidden(normal),
            full_steps=full_steps,
            moves_statistics=moves_statistics,
        )
        self._base = base
        self._points = normal + noise
        self._prior = discriminator.prior
        self._to_prior = None if whitened is None else whitened - normal

    def points(self) -> Tensor:
        """The points now, (n, d)."""
        return self._points

    def climb(self, length: float) -> None:
        """One pass and one step of `length` along each point's gradient."""
        hidden = self._hidden(self._points)
        if self._prior is None:
            at_hidden, _ = self._gradient(hidden)
            direction = (at_hidden @ self._weight).to(at_hidden.dtype)
        else:
            read = self._points if self._to_prior is None else self._points + self._to_prior
            at_hidden, at_logits = self._gradient(hidden, read.square().mean(dim=1))
            pull = at_logits * (2 * self._prior.alpha.detach() / read.shape[1])
            direction = torch.addcmul((at_hidden @ self._weight).to(read.dtype), read, pull[:, None])
        self._points = torch.addcmul(self._points, direction, length / (row_norms(direction) + TINY))

    def project(self, lower: Limit, upper: Limit) -> Tensor:
        """Truncated projection; returns the factor (n, 1) by which each distance to the base changed."""
        offsets = self._points - self._base
        ratio = projection_ratio(row_norms(offsets), lower, upper)
        self._points = torch.addcmul(self._base, offsets, ratio)
        return ratio

    def _hidden(self, points: Tensor) -> Tensor:
        return F.linear(points, self._weight, self._bias).to(points.dtype)  # of a shorter type under autocast
