"""Gradient ascent in the discriminator's hidden layer: the same steps with far less arithmetic.

Promises: the points of `feature_ascent` but for rounding, with one product n x n_hidden x n_hidden a step instead of
two n x d x n_hidden. The hidden layer is linear, so a gradient among the features is e V (e: gradient at the layer's
output, V: its weights), and whatever a step needs to know of it follows from e and the Gram matrix K = V V^T:

    V d = e K,   |d|^2 = (e K) . e,   (offset) . d = (V offset) . e

A point is kept as base + offset, offset = a start + (sum of steps' e) V, and its features are made at the end alone. A
Gaussian prior adds p w to the gradient, w the features that it reads: w = rest + offset with `rest` constant, so the
offset gains a multiple of `rest` and its other parts grow by a factor, at the price of two products of rows a step.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from glass_edge.glass.hidden_gradient import HiddenGradient
from glass_edge.glass.networks import Discriminator, GaussianPrior
from glass_edge.glass.radial import TINY, Limit, projection_ratio


class HiddenAscent:
    """Synthetic points of one ascent; used without autograd."""

    def __init__(
        self,
        discriminator: Discriminator,
        normal_hidden: Tensor,
        start: Tensor,
        rest: Tensor | None,
        *,
        full_steps: bool,
        moves_statistics: bool,
        base: Tensor | None = None,
        base_hidden: Tensor | None = None,
    ) -> None:
        """Begin.

        Args:
            discriminator: whose idea of "normal" is climbed towards.
            normal_hidden: output of the hidden layer for the normal points, (n, n_hidden), no gradient.
            start: first offsets from the base, (n, d).
            rest: what the prior reads of a point on its base, (n, d); needed if there is a prior.
            full_steps: see `gas.GasConfig`.
            moves_statistics: see `gas.GasConfig`.
            base: (n, d), what distances are measured from; needed for `points` alone.
            base_hidden: output of the hidden layer for the base; None: the normal points are the base.
        """
        self._weight = discriminator.hidden.weight.detach()
        with torch.autocast(start.device.type, enabled=False):
            self._gram = self._weight @ self._weight.T
        self._gradient = HiddenGradient(
            discriminator, normal_hidden, full_steps=full_steps, moves_statistics=moves_statistics
        )
        self._base = base
        self._base_hidden = normal_hidden if base_hidden is None else base_hidden
        self._start, self._start_share = start, torch.ones_like(start[:, :1])
        self._moved = _lift(start, self._weight)  # V offset
        self._steps = torch.zeros_like(self._moved)  # sum of the steps' e
        self._square = _dot(start, start)  # |offset|^2
        self._hidden, self._lifted = torch.empty_like(self._moved), torch.empty_like(self._moved)
        self._rest = None
        if discriminator.prior is not None:
            assert rest is not None
            self._rest = _Rest(discriminator.prior, rest, _lift(rest, self._weight), _dot(rest, start))

    @classmethod
    def from_points(
        cls,
        discriminator: Discriminator,
        normal: Tensor,
        noise: Tensor,
        base: Tensor,
        whitened: Tensor | None,
        *,
        full_steps: bool,
        moves_statistics: bool,
    ) -> HiddenAscent:
        """Start at `normal + noise`; arguments as those of `FeatureAscent`."""
        layer = discriminator.hidden
        weight, bias = layer.weight.detach(), layer.bias.detach()
        normal_hidden = _lift(normal, weight) + bias
        is_apart = base is not normal
        rest = None
        if discriminator.prior is not None:
            rest = (normal if whitened is None else whitened) + (base - normal)
        return cls(
            discriminator,
            normal_hidden,
            noise + (normal - base) if is_apart else noise,
            rest,
            full_steps=full_steps,
            moves_statistics=moves_statistics,
            base=base,
            base_hidden=_lift(base, weight) + bias if is_apart else None,
        )

    @property
    def lifted_offset(self) -> Tensor:
        """The hidden layer's weights times the offsets, (n, n_hidden); changes with every step."""
        return self._moved

    def offset(self) -> Tensor:
        """Offsets of the points from their base now, (n, d)."""
        moved = (self._steps @ self._weight).to(self._start.dtype)
        offset = torch.addcmul(moved, self._start, self._start_share)
        return offset if self._rest is None else torch.addcmul(offset, self._rest.features, self._rest.share)

    def points(self) -> Tensor:
        """The points now, (n, d)."""
        assert self._base is not None
        return self._base + self.offset()

    def climb(self, length: float) -> None:
        """One pass and one step of `length` along each point's gradient."""
        moved, rest = self._moved, self._rest
        torch.add(self._base_hidden, moved, out=self._hidden)
        e, at_logits = self._gradient(self._hidden, None if rest is None else rest.mean_square(self._square))
        lifted = self._lifted_steps(e)  # V d
        square, along = _dot(e, lifted), _dot(e, moved)  # |d|^2 and offset . d
        if rest is not None:
            pull = rest.pull(at_logits)
            along_rest = _dot(e, rest.hidden)
            square = square + pull * (2 * (along_rest + along) + pull * rest.read_square(self._square))
            along = along + pull * (rest.dot_offset + self._square)
            along_rest = along_rest + pull * (rest.square + rest.dot_offset)
            lifted.addcmul_(rest.hidden, pull).addcmul_(moved, pull)
        factor = length / (square.clamp_min(0).sqrt() + TINY)
        self._square += factor * (2 * along + factor * square)
        moved.addcmul_(lifted, factor)
        if rest is not None:
            pull = factor * pull
            rest.dot_offset += factor * along_rest
            rest.share.mul_(1 + pull).add_(pull)
            self._scale(1 + pull)
        self._steps.addcmul_(e, factor)

    def project(self, lower: Limit, upper: Limit) -> Tensor:
        """Truncated projection; returns the factor (n, 1) by which each distance to the base changed."""
        ratio = projection_ratio(self._square.clamp_min(0).sqrt(), lower, upper)
        self._scale(ratio)
        self._moved *= ratio
        self._square *= ratio.square()
        if self._rest is not None:
            self._rest.share *= ratio
            self._rest.dot_offset *= ratio
        return ratio

    def _lifted_steps(self, e: Tensor) -> Tensor:
        if torch.is_autocast_enabled(e.device.type):  # which passes over products into a given tensor
            return (e @ self._gram).to(e.dtype)
        return torch.mm(e, self._gram, out=self._lifted)

    def _scale(self, factor: Tensor) -> None:
        self._steps *= factor
        self._start_share *= factor


class _Rest:
    """What a Gaussian prior reads besides the offset, and how much of it has been added to the offset."""

    def __init__(self, prior: GaussianPrior, features: Tensor, hidden: Tensor, dot_offset: Tensor) -> None:
        self.features, self.hidden, self.dot_offset = features, hidden, dot_offset
        self.square = _dot(features, features)
        self.share = torch.zeros_like(dot_offset)
        self._n_features = features.shape[1]
        self._twice_alpha = 2 * prior.alpha.detach()

    def read_square(self, offset_square: Tensor) -> Tensor:
        """|rest + offset|^2, (n, 1)."""
        return self.square + 2 * self.dot_offset + offset_square

    def mean_square(self, offset_square: Tensor) -> Tensor:
        """What the prior takes, (n,)."""
        return self.read_square(offset_square)[:, 0] / self._n_features

    def pull(self, at_logits: Tensor) -> Tensor:
        """Factor of what the prior reads in the gradient among the features, (n, 1)."""
        return at_logits[:, None] * (self._twice_alpha / self._n_features)


def _lift(points: Tensor, weight: Tensor) -> Tensor:
    return F.linear(points, weight).to(points.dtype)  # of a shorter type under autocast


def _dot(one: Tensor, other: Tensor) -> Tensor:
    """Inner products of rows, (n, 1)."""
    return (one * other).sum(dim=1, keepdim=True)
