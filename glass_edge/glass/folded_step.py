"""The passes of a training step without adapted features: adaptor and hidden layer as one product.

Promises: the scores of the manifold's step with the ascent in the hidden layer, and the same gradients, but for
rounding. Adaptor and hidden layer are affine with nothing between them, so hidden = B x + c with B = V A, c = V a + b;
autograd passes from B to V and A by two products of weights (n_hidden x d x d) instead of three products for each point
(n x d x d twice, n x n_hidden x d). A synthetic point is its normal point plus a constant offset, whose hidden value
the ascent knows already.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from glass_edge.glass.gas import GasConfig, Hypothesis
from glass_edge.glass.hidden_ascent import HiddenAscent
from glass_edge.glass.networks import LEAKY_SLOPE, Discriminator, Head


def can_fold(head: Head, gas: GasConfig) -> bool:
    """Whether nothing but the hidden layer asks for adapted features (and no radius is wanted)."""
    prior = head.discriminator.prior
    return (
        gas.hypothesis is Hypothesis.MANIFOLD
        and gas.ascent == "hidden"
        and (prior is None or prior.source == "whitened")
    )


def folded_scores(
    head: Head, normal: Tensor, synthetic: Tensor | None, noise: Tensor | None, gas: GasConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of normal points, of those of GAS, and of synthetic images, by the published order of passes.

    Args:
        head: in train mode; see `can_fold`.
        normal: features before the adaptor, (n, d).
        synthetic: those of synthetic images, (m, d); None: no such pass.
        noise: (n, d), see `gas.draw_noise`; None: no points of GAS.
        gas: constants.

    Returns:
        In [0, 1], (n,), (n,) and (m,); empty where there are none.
    """
    discriminator = head.discriminator
    weight, bias = _together(head)
    hidden, white = F.linear(normal, weight).to(weight.dtype) + bias, normal
    if noise is not None:
        with torch.no_grad():
            offset, lifted = _climb(discriminator, hidden.detach(), normal, noise, gas)
        moved = cast(Tensor, _Moved.apply(hidden, discriminator.hidden.weight, offset, lifted))
        hidden, white = torch.cat([hidden, moved]), torch.cat([normal, normal + offset])
    pair = _scores(discriminator, hidden, white)
    pasted = pair[:0]
    if synthetic is not None:
        pasted = _scores(discriminator, F.linear(synthetic, weight).to(weight.dtype) + bias, synthetic)
    return pair[: len(normal)], pair[len(normal) :], pasted


def _together(head: Head) -> tuple[Tensor, Tensor]:
    """Adaptor and hidden layer as one weight (n_hidden, d) and bias (n_hidden,)."""
    layer, adaptor = head.discriminator.hidden, head.adaptor
    if not adaptor.weight.requires_grad:  # there is none
        return layer.weight, layer.bias
    with torch.autocast(layer.weight.device.type, enabled=False):
        return layer.weight @ adaptor.weight, layer.weight @ adaptor.bias + layer.bias


def _climb(
    discriminator: Discriminator, hidden: Tensor, normal: Tensor, noise: Tensor, gas: GasConfig
) -> tuple[Tensor, Tensor]:
    """Offsets of the synthetic points after the ascent, (n, d), and the hidden layer's weights times them."""
    ascent = HiddenAscent(
        discriminator,
        hidden,
        noise,
        None if discriminator.prior is None else normal,
        full_steps=gas.full_steps,
        moves_statistics=gas.moves_statistics,
    )
    for step in range(1, gas.steps + 1):
        ascent.climb(gas.step_length)
        if gas.projection and step % gas.projection_period == 0:
            ascent.project(*gas.manifold_band)
    return ascent.offset(), ascent.lifted_offset


class _Moved(torch.autograd.Function):
    """Hidden values of points moved by constant offsets: the normal ones' plus V offset, which is known."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, offset: Tensor, lifted: Tensor) -> Tensor:  # noqa: ANN401
        del weight  # takes part for its gradient alone
        ctx.save_for_backward(offset)
        return hidden + lifted

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:  # noqa: ANN401
        (offset,) = ctx.saved_tensors
        return gradients[0], gradients[0].T @ offset, None, None


def _scores(discriminator: Discriminator, hidden: Tensor, white: Tensor) -> Tensor:
    activations = F.leaky_relu(discriminator.norm(hidden), LEAKY_SLOPE)
    logits: Tensor = discriminator.output(activations).squeeze(1).to(hidden.dtype)
    return (logits if discriminator.prior is None else logits + discriminator.prior(white)).sigmoid()
