"""GAS: global anomalies in feature space, by noise, gradient ascent and truncated projection.

Promises: the published form, constant by constant; no graph is kept over the ascent; the gradient of the result with
respect to the adapted features is exact: the identity for the manifold, the product of the radial projections'
Jacobians for the hypersphere. A point without noise, gradient or distance to its base has no direction and stays.

Source: Chen et al., ECCV 2024, section 3.3; the direction follows S. Goyal et al., "DROCC", ICML 2020.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol, cast

import torch
from torch import Tensor

from glass_edge.glass.feature_ascent import FeatureAscent
from glass_edge.glass.hidden_ascent import HiddenAscent
from glass_edge.glass.networks import Discriminator
from glass_edge.glass.radial import Limit, project

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
        noise_sigma: standard deviation of the noise, a feature; 0: none.
        steps: ascent steps; 0 leaves the noise alone.
        step_length: length of a step.
        ascent: where the steps are computed: among the features, or in the hidden layer (equal but for rounding).
        projection: move the points into their band; False: they stay where noise and ascent bring them.
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
    ascent: Literal["features", "hidden"] = "features"
    projection: bool = True
    projection_period: int = 5
    manifold_band: tuple[float, float] = (0.5, 1.0)
    sphere_band: tuple[float, float] = (1.0, 2.0)
    las_sphere_band: tuple[float, float] = (2.0, 4.0)
    radius_quantile: float = 0.75
    moves_statistics: bool = True
    full_steps: bool = False


@dataclass(frozen=True, slots=True)
class Ascended:
    """Result of `ascend`.

    Attributes:
        points: synthetic points (n, d), with gradient to the adapted normal points.
        before_last_projection: their values before the last projection, no gradient; None without a centre.
    """

    points: Tensor
    before_last_projection: Tensor | None


class _Ascent(Protocol):
    """`FeatureAscent` or `HiddenAscent`."""

    def points(self) -> Tensor: ...

    def climb(self, length: float) -> None: ...

    def project(self, lower: Limit, upper: Limit) -> Tensor: ...


def draw_noise(shape: tuple[int, int], sigma: float, generator: torch.Generator, device: torch.device) -> Tensor:
    """Gaussian noise of standard deviation `sigma`, float32, from a generator of `device`."""
    return torch.randn(shape, generator=generator, device=device) * sigma


def band(config: GasConfig, radius: Tensor | None) -> tuple[Limit, Limit]:
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
        centre: centre of each point (n, d); the hypersphere needs it, the manifold has it for the record alone.
        radius: scalar; hypersphere only.
        whitened: the normal points before the adaptor, for a prior that takes those; a synthetic point is given the
            same displacement there.
        observe: receives ("ascent_<t>", points) as they enter pass t + 1.

    Raises:
        ValueError: no centre or radius for a hypersphere, or no `whitened` for a prior that needs it.
    """
    is_sphere = config.hypothesis is Hypothesis.HYPERSPHERE
    if is_sphere and centre is None:
        raise ValueError("the hypersphere needs a centre")
    if discriminator.takes_whitened and whitened is None:
        raise ValueError("the prior needs the features before the adaptor")
    fixed = normal.detach()
    base = cast(Tensor, centre) if is_sphere else fixed
    lower, upper = band(config, radius)
    displacements: list[Tensor] = []  # what the steps of each finished block added
    with torch.no_grad():
        kind = HiddenAscent.from_points if config.ascent == "hidden" else FeatureAscent
        ascent: _Ascent = kind(
            discriminator,
            fixed,
            noise,
            base,
            whitened if discriminator.takes_whitened else None,
            full_steps=config.full_steps,
            moves_statistics=config.moves_statistics,
        )
        block_start = before_projection = None if centre is None else fixed + noise
        for step in range(1, config.steps + 1):
            if observe is not None:
                observe(f"ascent_{step - 1}", ascent.points())
            ascent.climb(config.step_length)
            if not config.projection or step % config.projection_period:
                continue
            if block_start is None:
                ascent.project(lower, upper)
                continue
            before_projection = ascent.points()
            displacements.append(before_projection - block_start)
            ratio = ascent.project(lower, upper)
            block_start = base + (before_projection - base) * ratio
        points = ascent.points()
    if observe is not None:
        observe(f"ascent_{config.steps}", points)
    if not is_sphere:
        return Ascended(points + (normal - fixed), before_projection)
    replayed = normal + noise  # the same values again, now with the projections' Jacobians
    for displacement in displacements:
        replayed = project(replayed + displacement, base, lower, upper)
    return Ascended(replayed + (points - replayed.detach()), before_projection)


def project_las(points: Tensor, mask: Tensor, centre: Tensor, radius: Tensor, config: GasConfig) -> Tensor:
    """Features of synthetic images (n, d), where `mask` (n,) is set moved into their band around the centre."""
    lower, upper = (radius * factor for factor in config.las_sphere_band)
    return torch.where(mask[:, None], project(points, centre, lower, upper), points)
