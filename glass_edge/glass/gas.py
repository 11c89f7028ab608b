"""GAS: global anomalies in feature space, by noise, gradient ascent and truncated projection.

Promises: the published form, constant by constant; no graph is kept over the ascent (one pass at a time); the gradient
of the result with respect to the adapted features is exact: the identity for the manifold, the product of the radial
projections' Jacobians for the hypersphere.

Source: Chen et al., ECCV 2024, section 3.3; the direction follows S. Goyal et al., "DROCC", ICML 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import cast

import torch
from torch import Tensor

from glass_edge.glass.losses import mean_bce
from glass_edge.glass.networks import Discriminator

_TINY = 1e-10  # added to norms before dividing, as published

Observer = Callable[[str, Tensor], None]


class Hypothesis(StrEnum):
    """What good features are assumed to lie on: each its own centre, or one around a common centre."""

    MANIFOLD = "manifold"
    HYPERSPHERE = "hypersphere"


@dataclass(frozen=True, slots=True)
class GasConfig:
    """Constants of GAS; the defaults are the published ones for 1536 features of a WideResNet50.

    Attributes:
        hypothesis: manifold or hypersphere.
        noise_sigma: standard deviation of the noise, a feature.
        steps: ascent steps; 0 leaves the noise alone.
        step_length: length of a step.
        projection_period: a projection follows every so many steps.
        manifold_band: allowed distance of a synthetic point to its own normal point.
        sphere_band: allowed distance to the centre, in radii (hypersphere).
        las_sphere_band: the same for features of synthetic images where their mask is set.
        radius_quantile: quantile of the distances of normal points that is the radius.
        moves_statistics: the ascent's passes move the BatchNorm's running statistics, as published.
        full_steps: descend the points' logits instead of ascending their mean loss, whose gradient fades below the
            small number added to its norm where the discriminator is sure. Same direction (but for the coupling through
            the batch statistics), full length.
    """

    hypothesis: Hypothesis = Hypothesis.MANIFOLD
    noise_sigma: float = 0.015
    steps: int = 20
    step_length: float = 0.001
    projection_period: int = 5
    manifold_band: tuple[float, float] = (0.5, 1.0)
    sphere_band: tuple[float, float] = (1.0, 2.0)
    las_sphere_band: tuple[float, float] = (2.0, 4.0)
    radius_quantile: float = 0.75
    moves_statistics: bool = True
    full_steps: bool = False


@dataclass(slots=True)
class Ascended:
    """Result of `ascend`.

    Attributes:
        points: synthetic points (n, d), with gradient to the adapted normal points.
        before_last_projection: their values before the last projection, no gradient.
    """

    points: Tensor
    before_last_projection: Tensor
    displacements: list[Tensor] = field(default_factory=list)


def draw_noise(shape: tuple[int, int], sigma: float, generator: torch.Generator, device: torch.device) -> Tensor:
    """Gaussian noise of standard deviation `sigma`, float32, from a generator of `device`."""
    return torch.randn(shape, generator=generator, device=device) * sigma


def row_norms(points: Tensor) -> Tensor:
    """Euclidean norm of each row, (n, 1)."""
    norms: Tensor = torch.linalg.vector_norm(points, dim=1, keepdim=True)
    return norms


def project(points: Tensor, base: Tensor, lower: Tensor | float, upper: Tensor | float) -> Tensor:
    """Move points radially until their distance to `base` is within [lower, upper]; differentiable."""
    offsets = points - base
    norms = row_norms(offsets)
    allowed = norms.clamp(lower, upper)  # type: ignore[arg-type]
    moved: Tensor = base + offsets * (allowed / (norms + _TINY))
    return moved


def band(config: GasConfig, radius: Tensor | None) -> tuple[Tensor | float, Tensor | float]:
    """Smallest and largest allowed distance of a synthetic point to its base."""
    if config.hypothesis is Hypothesis.MANIFOLD:
        return config.manifold_band
    if radius is None:
        raise ValueError("the hypersphere needs a radius")
    return radius * config.sphere_band[0], radius * config.sphere_band[1]


def ascend(
    discriminator: Discriminator,
    normal: Tensor,
    noise: Tensor,
    config: GasConfig,
    *,
    centre: Tensor | None = None,
    radius: Tensor | None = None,
    whitened: Tensor | None = None,
    observe: Observer | None = None,
) -> Ascended:
    """Synthetic anomalous points near normal ones.

    Each step raises the loss of the points against the label "anomalous", so they move towards what the discriminator
    takes for normal. One pass scores [normal; synthetic] together, in the discriminator's current mode.

    Args:
        discriminator: in train mode during training.
        normal: adapted normal points (n, d); gradients flow to them from the result.
        noise: (n, d), see `draw_noise`.
        config: constants.
        centre: centre of each point (n, d); hypersphere only.
        radius: scalar; hypersphere only.
        whitened: the normal points before the adaptor, for a prior that takes those; a synthetic point is given the
            same displacement there.
        observe: receives ("ascent_<t>", points) as they enter pass t + 1.
    """
    fixed = normal.detach()
    is_sphere = config.hypothesis is Hypothesis.HYPERSPHERE
    if is_sphere and centre is None:
        raise ValueError("the hypersphere needs a centre")
    base = cast(Tensor, centre) if is_sphere else fixed
    lower, upper = band(config, radius)
    points = fixed + noise
    block_start = points  # points after the last projection
    before_projection = points
    displacements: list[Tensor] = []  # what the steps of each finished block added
    for step in range(1, config.steps + 1):
        if observe is not None:
            observe(f"ascent_{step - 1}", points)
        direction = _ascent_direction(discriminator, fixed, points, whitened, config)
        points = points + config.step_length * (direction / (row_norms(direction) + _TINY))
        if step % config.projection_period == 0:
            displacements.append(points - block_start)
            before_projection = points
            points = block_start = project(points, base, lower, upper)
    if observe is not None:
        observe(f"ascent_{config.steps}", points)
    if not is_sphere:
        return Ascended(points + (normal - fixed), before_projection, displacements)
    replayed = normal + noise  # the same values again, now with the projections' Jacobians
    for displacement in displacements:
        replayed = project(replayed + displacement, base, lower, upper)
    return Ascended(replayed + (points - replayed.detach()), before_projection, displacements)


def project_las(points: Tensor, mask: Tensor, centre: Tensor, radius: Tensor, config: GasConfig) -> Tensor:
    """Features of synthetic images (n, d), where `mask` (n,) is set moved into their band around the centre."""
    lower, upper = (radius * factor for factor in config.las_sphere_band)
    return torch.where(mask[:, None], project(points, centre, lower, upper), points)


def _ascent_direction(
    discriminator: Discriminator, normal: Tensor, points: Tensor, whitened: Tensor | None, config: GasConfig
) -> Tensor:
    """Gradient of the loss of `points` against "anomalous" with respect to them, (n, d)."""
    moving = points.detach().requires_grad_()
    inputs = None if whitened is None else torch.cat([whitened, whitened + (moving - normal)])
    with torch.enable_grad():
        logits: Tensor = discriminator(torch.cat([normal, moving]), inputs, update_statistics=config.moves_statistics)
        own = logits[len(normal) :]
        loss = -own.sum() if config.full_steps else mean_bce(own.sigmoid(), 1.0)
        (gradient,) = torch.autograd.grad(loss, moving)
    return gradient
