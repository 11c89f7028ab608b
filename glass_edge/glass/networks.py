"""The trained networks: adaptor and discriminator, behind an optional whitening of the features.

Promises: everything is float32; initial values depend on the seed alone; with whitening the constants in the state are
all that the head needs, and `Head.forward` is the complete map from features to logits.

Names in the state: `whitening.mean`, `whitening.matrix`, `adaptor.weight`, `adaptor.bias`, `discriminator.hidden.*`
(linear layer), `discriminator.norm.*` (its BatchNorm), `discriminator.output.weight`, `discriminator.prior.alpha`,
`discriminator.prior.beta`.
"""

from __future__ import annotations

from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

LEAKY_SLOPE = 0.2
PriorInput = Literal["whitened", "adapted"]
AdaptorStart = Literal["xavier", "identity", "none"]


class Whitening(nn.Module):
    """x -> (x - mean) matrix^T with constants; the state after construction is the identity.

    Buffers: `mean` (d,), `matrix` (d, d).
    """

    mean: Tensor
    matrix: Tensor

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(n_features))
        self.register_buffer("matrix", torch.eye(n_features))

    def assign(self, mean: NDArray[np.float64], matrix: NDArray[np.float64]) -> None:
        """Set the constants, float64 (d,) and (d, d)."""
        self.mean.copy_(torch.from_numpy(mean))
        self.matrix.copy_(torch.from_numpy(matrix))

    def forward(self, points: Tensor) -> Tensor:
        """Map points (n, d) to (n, d)."""
        return (points - self.mean) @ self.matrix.T


class Adaptor(nn.Linear):
    """z = A x + a, D to D.

    Args:
        n_features: D.
        start: Xavier normal (published) or the identity; 'none': the identity for good, not trained and not computed.
    """

    def __init__(self, n_features: int, start: AdaptorStart = "xavier") -> None:
        super().__init__(n_features, n_features)
        self._is_absent = start == "none"
        if start == "xavier":
            nn.init.xavier_normal_(self.weight)
            return
        nn.init.eye_(self.weight)
        nn.init.zeros_(self.bias)
        self.requires_grad_(not self._is_absent)

    def forward(self, points: Tensor) -> Tensor:
        """Map points (n, d) to (n, d); under autocast the product alone is of the shorter type."""
        return points if self._is_absent else super().forward(points).to(self.weight.dtype)


class GaussianPrior(nn.Module):
    """alpha (mean over D of z^2 - beta): what a Gaussian around good cloth alone would say.

    On whitened features the mean square is the squared Mahalanobis distance divided by D, and its expectation for good
    cloth is 1.

    Args:
        alpha: initial weight.
        beta: initial offset.
        learnable: parameters if True, constants otherwise.
        source: 'whitened' takes the features before the adaptor, 'adapted' those behind it.
    """

    alpha: Tensor
    beta: Tensor

    def __init__(self, alpha: float, beta: float, *, learnable: bool, source: PriorInput) -> None:
        super().__init__()
        self.source: PriorInput = source
        for name, value in (("alpha", alpha), ("beta", beta)):
            if learnable:
                self.register_parameter(name, nn.Parameter(torch.tensor(value)))
            else:
                self.register_buffer(name, torch.tensor(value))

    def forward(self, points: Tensor) -> Tensor:
        """Map points (n, d) to (n,)."""
        return self.of_mean_square(points.square().mean(dim=1))

    def of_mean_square(self, mean_square: Tensor) -> Tensor:
        """Map mean squares of points (n,) to (n,)."""
        return self.alpha * (mean_square - self.beta)


class Discriminator(nn.Module):
    """logit = v . leaky(BN(V z + b)) (+ prior); high means anomalous.

    Args:
        n_features: D.
        n_hidden: width of the hidden layer.
        prior: optional additional term.
        zero_output: start with v = 0 instead of Xavier normal, so that the prior alone speaks first.
    """

    def __init__(
        self, n_features: int, n_hidden: int, *, prior: GaussianPrior | None = None, zero_output: bool = False
    ) -> None:
        super().__init__()
        self.hidden = nn.Linear(n_features, n_hidden)
        self.norm = nn.BatchNorm1d(n_hidden, eps=1e-5, momentum=0.1)
        self.output = nn.Linear(n_hidden, 1, bias=False)
        self.prior = prior
        nn.init.xavier_normal_(self.hidden.weight)
        if zero_output:
            nn.init.zeros_(self.output.weight)
        else:
            nn.init.xavier_normal_(self.output.weight)

    @property
    def takes_whitened(self) -> bool:
        """Whether `forward` needs the features before the adaptor as well."""
        return self.prior is not None and self.prior.source == "whitened"

    def hidden_activations(self, points: Tensor, *, update_statistics: bool = True) -> Tensor:
        """BN(V z + b) of points (n, d): (n, n_hidden), before the leaky ReLU.

        In train mode with `update_statistics` False the batch's own statistics are used and the running ones stay.
        Under autocast the layer's product alone is of the shorter type.
        """
        values = self.hidden(points).to(self.hidden.weight.dtype)
        if self.training and not update_statistics:
            return F.batch_norm(values, None, None, self.norm.weight, self.norm.bias, True, 0.0, self.norm.eps)
        return cast(Tensor, self.norm(values))

    def forward(self, points: Tensor, whitened: Tensor | None = None, *, update_statistics: bool = True) -> Tensor:
        """Logits (n,) of adapted points (n, d).

        Args:
            points: adapted features.
            whitened: features before the adaptor, (n, d); needed if `takes_whitened`.
            update_statistics: see `hidden_activations`.

        Raises:
            ValueError: `whitened` is needed and missing.
        """
        hidden = self.hidden_activations(points, update_statistics=update_statistics)
        logits: Tensor = self.output(F.leaky_relu(hidden, LEAKY_SLOPE)).squeeze(1).to(hidden.dtype)
        if self.prior is None:
            return logits
        source = whitened if self.takes_whitened else points
        if source is None:
            raise ValueError("the prior needs the features before the adaptor")
        return logits + cast(Tensor, self.prior(source))


class Head(nn.Module):
    """Features to logits: whitening (optional), adaptor, discriminator."""

    def __init__(self, adaptor: Adaptor, discriminator: Discriminator, whitening: Whitening | None = None) -> None:
        super().__init__()
        self.whitening = whitening
        self.adaptor = adaptor
        self.discriminator = discriminator

    def whiten(self, points: Tensor) -> Tensor:
        """Features (n, d) as the adaptor takes them."""
        return points if self.whitening is None else cast(Tensor, self.whitening(points))

    def forward(self, points: Tensor) -> Tensor:
        """Logits (n,) of features (n, d)."""
        white = self.whiten(points)
        return cast(Tensor, self.discriminator(self.adaptor(white), white))


def build_head(
    n_features: int,
    n_hidden: int,
    seed: int,
    *,
    whitened: bool = False,
    prior: GaussianPrior | None = None,
    adaptor: AdaptorStart = "xavier",
    zero_output: bool = False,
) -> Head:
    """A head with initial values that depend on `seed` alone; the caller's random generator stays untouched.

    Args:
        n_features: D.
        n_hidden: width of the hidden layer; 0: none, the prior alone is the discriminator. One silent unit stands for
            it (output 0, not trained), so that ascent, statistics and states need no second form; fusion drops it.
        seed: of the initial values.
        whitened: with a whitening.
        prior: see `Discriminator`.
        adaptor: see `Adaptor`.
        zero_output: see `Discriminator`.

    Raises:
        ValueError: neither a hidden layer nor a prior.
    """
    if not n_hidden and prior is None:
        raise ValueError("without a hidden layer the discriminator needs a prior")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        first = Adaptor(n_features, adaptor)
        discriminator = Discriminator(n_features, n_hidden or 1, prior=prior, zero_output=zero_output or not n_hidden)
    if not n_hidden:
        for part in (discriminator.hidden, discriminator.norm, discriminator.output):
            part.requires_grad_(False)
    return Head(first, discriminator, Whitening(n_features) if whitened else None)
