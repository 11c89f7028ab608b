"""Everything between the backbone's maps and the hidden layer as one convolution a level.

Promises: the same logits as the unfused model but for rounding, borders and odd grids included; weights are derived in
float64. Patches, pooling, whitening, adaptor, hidden layer and its BatchNorm are affine, and bilinear resizing acts on
positions alone with weights that sum to 1, so it commutes with all of them: each level is brought to the few values
that are needed on its own grid, and only those are resized and added. `forward` takes what the backbone gives.

A Gaussian prior (and the Mahalanobis head) needs the mean square of the whitened or adapted features; their linear map
is computed in the same convolution, as further rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from glass_edge.glass.features import PATCH, level_convolution, level_matrices, resize_map
from glass_edge.glass.model import MeanSquareHead, StyleModel
from glass_edge.glass.networks import LEAKY_SLOPE, Discriminator, GaussianPrior, Head

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class AffineHead:
    """A head as an affine map of the features and what follows it.

    logit = output . leaky(first `n_hidden` rows) + square_weight . (the other rows)^2 + offset

    Attributes:
        matrix: (rows, n_features).
        bias: (rows,).
        n_hidden: rows that are hidden values.
        output: (n_hidden,).
        square_weight: (rows - n_hidden,).
        offset: constant.
    """

    matrix: Matrix
    bias: Matrix
    n_hidden: int
    output: Matrix
    square_weight: Matrix
    offset: float


class FixedConvolution(nn.Module):
    """A convolution with constant weights, no bias, stride 1, zero padded so that the size stays."""

    weight: Tensor

    def __init__(self, weight: Matrix, groups: int = 1) -> None:
        """Weights (out, in / groups, k, k), k odd."""
        super().__init__()
        self.register_buffer("weight", torch.from_numpy(np.ascontiguousarray(weight)).float())
        self.padding = weight.shape[-1] // 2
        self.groups = groups

    def forward(self, maps: Tensor) -> Tensor:
        """(n, in, h, w) to (n, out, h, w)."""
        return F.conv2d(maps, self.weight, padding=self.padding, groups=self.groups)


class LevelMap(nn.Module):
    """One level's share of the rows, on its own grid: a dense 3 x 3 convolution, or a grouped one and then a 1 x 1."""

    def __init__(self, matrix: Matrix, pooling: Matrix, channels: int) -> None:
        """Choose the form with fewer multiplications.

        Args:
            matrix: (rows, n_features), of the head.
            pooling: (n_features, 9 x channels), of the level.
            channels: of the level.
        """
        super().__init__()
        form = level_convolution(pooling, channels)
        used = len(form.weight)
        dense_cost = len(matrix) * pooling.shape[1]
        factored_cost = used * PATCH * PATCH * channels // form.groups + len(matrix) * used
        self.is_factored = factored_cost < dense_cost
        if self.is_factored:
            part = matrix[:, form.first_row : form.first_row + used]
            self.neighbourhood = FixedConvolution(form.weight, form.groups)
            self.mix = FixedConvolution(part[:, :, None, None])
        else:
            self.neighbourhood = FixedConvolution((matrix @ pooling).reshape(len(matrix), channels, PATCH, PATCH))

    def forward(self, level: Tensor) -> Tensor:
        """(n, channels, h, w) to (n, rows, h, w)."""
        values = cast(Tensor, self.neighbourhood(level))
        return cast(Tensor, self.mix(values)) if self.is_factored else values


class FusedHead(nn.Module):
    """Backbone maps to logits.

    Args:
        model: trained; its weights are read, not shared.
    """

    bias: Tensor

    def __init__(self, model: StyleModel) -> None:
        super().__init__()
        affine = affine_head(model.head)
        pooling = level_matrices(model.spec)
        self.levels = nn.ModuleList(
            LevelMap(affine.matrix, part, channels) for part, channels in zip(pooling, model.spec.channels, strict=True)
        )
        self.register_buffer("bias", torch.from_numpy(affine.bias).float().view(1, -1, 1, 1))
        self.n_hidden = affine.n_hidden
        self.n_squares = len(affine.square_weight)
        self.offset = affine.offset
        if self.n_hidden:
            self.output = FixedConvolution(affine.output[None, :, None, None])
        if self.n_squares:
            self.square = FixedConvolution(affine.square_weight[None, :, None, None])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        """Levels (n, c, h, w), finest first, to logits (n, h, w) of the finest grid."""
        rows, columns = (int(size) for size in maps[0].shape[-2:])
        total = self.bias
        for part, level in zip(self.levels, maps, strict=True):
            total = resize_map(part(level), rows, columns) + total
        logits: Tensor | None = None
        if self.n_hidden:
            logits = self.output(F.leaky_relu(total[:, : self.n_hidden], LEAKY_SLOPE))
        if self.n_squares:
            rest = total[:, self.n_hidden :]
            squares: Tensor = self.square(rest * rest)
            logits = squares if logits is None else logits + squares
        assert logits is not None
        return logits.squeeze(1) + self.offset


class FusedModel(nn.Module):
    """`StyleModel` with its head fused: tiles (n, height, width, channels) of 0..255 to logits (n, rows, columns)."""

    def __init__(self, model: StyleModel) -> None:
        super().__init__()
        self.normalise = model.normalise
        self.backbone = model.backbone
        self.head = FusedHead(model)
        self.train(False)

    def forward(self, tiles: Tensor) -> Tensor:
        """See the class. Padding stays where it was in training: between normalisation and every convolution."""
        return cast(Tensor, self.head(self.backbone(self.normalise(tiles))))


@torch.inference_mode()
def fusion_error(model: StyleModel, fused: FusedModel, tiles: NDArray[np.uint8]) -> float:
    """Largest absolute logit difference between the unfused and the fused form over `tiles` (n, h, w, c)."""
    batch = torch.from_numpy(np.ascontiguousarray(tiles))
    return max(float((model(batch[i : i + 1]) - fused(batch[i : i + 1])).abs().max()) for i in range(len(batch)))


def affine_head(head: Head | MeanSquareHead) -> AffineHead:
    """Fold whitening, adaptor, hidden layer and BatchNorm (running statistics) into one affine map, in float64."""
    if isinstance(head, MeanSquareHead):
        matrix, bias = _whitening(head)
        weight = np.full(len(matrix), 1.0 / len(matrix))
        return AffineHead(matrix, bias, 0, np.zeros(0), weight, 0.0)
    white, white_bias = _whitening(head)
    adaptor = _double(head.adaptor.weight)
    adapted, adapted_bias = adaptor @ white, adaptor @ white_bias + _double(head.adaptor.bias)
    layer, layer_bias = _folded_hidden(head.discriminator)
    hidden, hidden_bias = layer @ adapted, layer @ adapted_bias + layer_bias
    output = _double(head.discriminator.output.weight)[0]
    prior = head.discriminator.prior
    if prior is None:
        return AffineHead(hidden, hidden_bias, len(hidden), output, np.zeros(0), 0.0)
    if not output.any():  # a silent hidden layer is left out
        hidden, hidden_bias, output = hidden[:0], hidden_bias[:0], output[:0]
    rest, rest_bias = (white, white_bias) if head.discriminator.takes_whitened else (adapted, adapted_bias)
    alpha, beta = _prior_constants(prior)
    return AffineHead(
        np.concatenate([hidden, rest]),
        np.concatenate([hidden_bias, rest_bias]),
        len(hidden),
        output,
        np.full(len(rest), alpha / len(rest)),
        -alpha * beta,
    )


def _whitening(head: Head | MeanSquareHead) -> tuple[Matrix, Matrix]:
    """Matrix and bias of the whitening; the identity without one."""
    whitening = head.whitening
    if whitening is None:
        size = cast(Head, head).adaptor.in_features
        return np.eye(size), np.zeros(size)
    matrix = _double(whitening.matrix)
    return matrix, -matrix @ _double(whitening.mean)


def _folded_hidden(discriminator: Discriminator) -> tuple[Matrix, Matrix]:
    """Hidden layer and BatchNorm as one affine map."""
    norm = discriminator.norm
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = _double(norm.weight) / np.sqrt(_double(norm.running_var) + norm.eps)
    bias = scale * (_double(discriminator.hidden.bias) - _double(norm.running_mean)) + _double(norm.bias)
    return scale[:, None] * _double(discriminator.hidden.weight), bias


def _prior_constants(prior: GaussianPrior) -> tuple[float, float]:
    return float(prior.alpha.detach().double()), float(prior.beta.detach().double())


def _double(tensor: Tensor) -> Matrix:
    return np.asarray(tensor.detach().cpu().double().numpy())
