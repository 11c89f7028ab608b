"""One training step of GLASS on given features.

Promises: the published order of passes ([normal; synthetic] last, then the features of the synthetic images alone), so
losses, gradients, optimiser steps and BatchNorm statistics are reproducible number by number; nothing random happens
here.

Source: Chen et al., ECCV 2024, and the behaviour of the authors' program.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import Tensor

from glass_edge.glass.gas import GasConfig, Hypothesis, Observer, ascend, project_las, row_norms
from glass_edge.glass.losses import focal_terms, hard_points, mean_bce
from glass_edge.glass.networks import Head
from glass_edge.glass.optimisers import Optimisers
from glass_edge.glass.quantiles import linear_quantile


@dataclass(frozen=True, slots=True)
class StepConfig:
    """Constants of a step.

    Attributes:
        gas: constants of the feature-space synthesis.
        hard_quantile: quantile of squared errors from which on points enter the focal loss; 0: all.
        focal_gamma: focusing exponent.
        focal_smoothing: see `losses.focal_terms`.
        clamp_focal: see `losses.focal_terms`; False as published.
        gaussian_weight: weight of the term of GAS in the total; 1 as published.
    """

    gas: GasConfig = field(default_factory=GasConfig)
    hard_quantile: float = 0.5
    focal_gamma: float = 2.0
    focal_smoothing: float = 1e-5
    clamp_focal: bool = False
    gaussian_weight: float = 1.0


@dataclass(slots=True)
class StepInput:
    """Features of one batch, already whitened where the head whitens.

    Attributes:
        normal: (n, d) of the good images, points ordered image, row, column.
        synthetic: (n, d) of the same images with synthetic defects.
        mask: bool (n,), where the synthetic defects are.
        noise: (n, d), or (len(selection), d), of `gas.draw_noise`.
        centre: adapted centre, (positions, d) with positions dividing n, or (1, d) for one pooled centre; the manifold
            does without (then no radii are logged).
        selection: indices (k,) into the normal points: the pass of normal and synthetic points runs on these alone;
            None: on all, as published.
    """

    normal: Tensor
    synthetic: Tensor
    mask: Tensor
    noise: Tensor
    centre: Tensor | None = None
    selection: Tensor | None = None


@dataclass(frozen=True, slots=True)
class StepLosses:
    """The loss with its gradient, and what is logged (tensors without gradient, so nothing waits for the device).

    Attributes:
        total, normal, gaussian, focal: scalars; total is their (weighted) sum.
        hard_threshold: squared error from which on points entered the focal loss.
        n_hard: how many did.
        normal_right: share with a score below 0.5 of all normal points: those of the good images and those of the
            synthetic images where their mask is not set.
        anomalous_right: share with a score of at least 0.5 of all anomalous points: those of GAS and those of the
            synthetic images where their mask is set.
        radius, radius_gaussian, radius_las: quantile distances to the centre: of all normal points; of the points of
            GAS before their last projection; of the masked features before theirs. None without a centre (or without
            masked points).
    """

    total: Tensor
    normal: Tensor
    gaussian: Tensor
    focal: Tensor
    hard_threshold: Tensor
    n_hard: Tensor
    normal_right: Tensor
    anomalous_right: Tensor
    radius: Tensor | None
    radius_gaussian: Tensor | None
    radius_las: Tensor | None


def compute_losses(head: Head, batch: StepInput, config: StepConfig, observe: Observer | None = None) -> StepLosses:
    """Forward part of a step; call `.total.backward()` on the result.

    Args:
        head: adaptor and discriminator, in train mode.
        batch: features.
        config: constants.
        observe: receives intermediate tensors by name: normal, synthetic, ascent_<t>, gaussian, las_features,
            scores_normal, scores_gaussian, scores_las.

    Raises:
        ValueError: shapes that do not fit, or a hypersphere without centre.
    """
    note = observe if observe is not None else _ignore
    chosen = batch.normal if batch.selection is None else batch.normal[batch.selection]
    if batch.noise.shape != chosen.shape:
        raise ValueError(f"noise {tuple(batch.noise.shape)} does not fit the normal points {tuple(chosen.shape)}")
    z: Tensor = head.adaptor(chosen)
    y: Tensor = head.adaptor(batch.synthetic)
    note("normal", z)
    note("synthetic", y)
    discriminator, gas = head.discriminator, config.gas
    prior_z, prior_y = (chosen, batch.synthetic) if discriminator.takes_whitened else (None, None)

    spheres = _Spheres.measure(z, y, batch, gas)
    ascended = ascend(
        discriminator,
        z,
        batch.noise,
        gas,
        centre=spheres.centre_normal,
        radius=spheres.radius,
        whitened=prior_z,
        observe=observe,
    )
    note("gaussian", ascended.points)
    prior_pair = None if prior_z is None else torch.cat([prior_z, prior_z + (ascended.points - z)])
    pair_scores = cast(Tensor, discriminator(torch.cat([z, ascended.points]), prior_pair)).sigmoid()
    scores_normal, scores_gaussian = pair_scores[: len(z)], pair_scores[len(z) :]
    note("scores_normal", scores_normal)
    note("scores_gaussian", scores_gaussian)

    las = y
    if gas.hypothesis is Hypothesis.HYPERSPHERE:
        assert spheres.centre_synthetic is not None
        assert spheres.radius is not None
        las = project_las(y, batch.mask, spheres.centre_synthetic, spheres.radius, gas)
    note("las_features", las)
    prior_las = None if prior_y is None else prior_y + (las - y)
    scores_las = cast(Tensor, discriminator(las, prior_las)).sigmoid()
    note("scores_las", scores_las)

    loss_normal, loss_gaussian = mean_bce(scores_normal, 0.0), mean_bce(scores_gaussian, 1.0)
    targets = batch.mask.to(scores_las.dtype)
    hard, threshold = hard_points(scores_las, targets, config.hard_quantile)
    loss_focal = focal_terms(
        scores_las[hard],
        targets[hard],
        gamma=config.focal_gamma,
        smoothing=config.focal_smoothing,
        clamp=config.clamp_focal,
    ).mean()
    return StepLosses(
        total=loss_normal + config.gaussian_weight * loss_gaussian + loss_focal,
        normal=loss_normal.detach(),
        gaussian=loss_gaussian.detach(),
        focal=loss_focal.detach(),
        hard_threshold=threshold,
        n_hard=hard.sum(),
        normal_right=(torch.cat([scores_normal, scores_las[~batch.mask]]).detach() < 0.5).float().mean(),
        anomalous_right=(torch.cat([scores_gaussian, scores_las[batch.mask]]).detach() >= 0.5).float().mean(),
        radius=spheres.radius,
        radius_gaussian=spheres.quantile_to_centre(ascended.before_last_projection, gas),
        radius_las=spheres.radius_las,
    )


def training_step(
    head: Head,
    optimisers: Optimisers,
    batch: StepInput,
    config: StepConfig,
    observe: Observer | None = None,
) -> StepLosses:
    """Losses, one backward pass, both optimiser steps; gradients stay readable until the next step."""
    optimisers.zero_grad()
    losses = compute_losses(head, batch, config, observe)
    cast(Callable[[], None], losses.total.backward)()
    optimisers.step()
    return losses


@dataclass(frozen=True, slots=True)
class _Spheres:
    """Centres of each point and the radii around them; empty without a centre."""

    centre_normal: Tensor | None
    centre_synthetic: Tensor | None
    radius: Tensor | None
    radius_las: Tensor | None

    @classmethod
    def measure(cls, z: Tensor, y: Tensor, batch: StepInput, gas: GasConfig) -> _Spheres:
        if batch.centre is None:
            return cls(None, None, None, None)
        n_positions = len(batch.centre)
        if len(y) % n_positions or len(batch.normal) % n_positions:
            raise ValueError(f"a centre of {n_positions} positions does not fit {len(y)} points of whole images")
        centre = batch.centre.detach()
        centre_y = centre.repeat(len(y) // n_positions, 1)
        centre_z = centre.repeat(len(batch.normal) // n_positions, 1)
        if batch.selection is not None:
            centre_z = centre_z[batch.selection]
        with torch.no_grad():
            from_z, from_y = row_norms(z - centre_z), row_norms(y - centre_y)
            masked = from_y[batch.mask]
            return cls(
                centre_z,
                centre_y,
                linear_quantile(torch.cat([from_y[~batch.mask], from_z]), gas.radius_quantile),
                linear_quantile(masked, gas.radius_quantile) if len(masked) else None,
            )

    def quantile_to_centre(self, points: Tensor, gas: GasConfig) -> Tensor | None:
        if self.centre_normal is None:
            return None
        return linear_quantile(row_norms(points - self.centre_normal), gas.radius_quantile)


def _ignore(name: str, tensor: Tensor) -> None:
    """Observe nothing."""
