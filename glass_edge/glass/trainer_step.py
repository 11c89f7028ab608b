"""One training step as a recipe describes it.

Promises: with both kinds of synthetic anomalies on, the step is `step.training_step`, order and constants as published
but for what the recipe changes; with one of them off its loss and its passes are left out. Lengths that are relative in
the recipe become absolute once for a run, from the spread of adapted good features before the first step.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor

from glass_edge.config.recipe import Recipe
from glass_edge.errors import InputError
from glass_edge.glass.gas import GasConfig, Hypothesis, ascend, project_las, row_norms
from glass_edge.glass.losses import focal_terms, hard_points, mean_bce
from glass_edge.glass.networks import Head
from glass_edge.glass.optimisers import Optimisers
from glass_edge.glass.quantiles import linear_quantile
from glass_edge.glass.step import StepConfig, StepInput, StepLosses, training_step

LAS_BAND_FACTOR = 2.0
"""Masked features of synthetic images lie this much further out than those of GAS (published: 2r..4r to r..2r)."""


def step_config(recipe: Recipe, spread: float) -> StepConfig:
    """Absolute constants of a step; `spread` see `trainer_features.spread_of_adapted`."""
    gas = recipe.gas
    is_sphere = gas.hypothesis == "hypersphere"
    feature = spread if gas.relative else 1.0
    length = feature * math.sqrt(recipe.n_features) if gas.relative else 1.0
    band = (gas.band_low, gas.band_high)
    defaults = GasConfig()
    return StepConfig(
        gas=GasConfig(
            hypothesis=Hypothesis(gas.hypothesis),
            noise_sigma=gas.noise_sigma * feature,
            steps=gas.steps,
            step_length=gas.step_length * length,
            projection_period=gas.projection_period,
            manifold_band=defaults.manifold_band if is_sphere else (band[0] * length, band[1] * length),
            sphere_band=band if is_sphere else defaults.sphere_band,
            las_sphere_band=(
                (LAS_BAND_FACTOR * band[0], LAS_BAND_FACTOR * band[1]) if is_sphere else defaults.las_sphere_band
            ),
            moves_statistics=gas.moves_statistics,
            full_steps=gas.full_steps,
        ),
        hard_quantile=recipe.training.hard_quantile,
        gaussian_weight=gas.weight,
    )


def recipe_step(
    head: Head, optimisers: Optimisers, batch: StepInput, config: StepConfig, *, with_gas: bool, with_las: bool
) -> StepLosses:
    """Losses of what is switched on, one backward pass, both optimiser steps.

    Args:
        head: in train mode.
        optimisers: of the head.
        batch: features; `synthetic` and `mask` are not looked at without LAS, `noise` not without GAS.
        config: constants.
        with_gas, with_las: which synthetic anomalies count; at least one.

    Raises:
        InputError: neither is on.
    """
    if with_gas and with_las:
        return training_step(head, optimisers, batch, config)
    if not (with_gas or with_las):
        raise InputError("gas.enabled and las.enabled are both false: nothing can be learnt; enable one of them")
    optimisers.zero_grad()
    losses = gas_losses(head, batch, config) if with_gas else las_losses(head, batch, config)
    cast(Callable[[], None], losses.total.backward)()
    optimisers.step()
    return losses


def gas_losses(head: Head, batch: StepInput, config: StepConfig) -> StepLosses:
    """Normal points and those of GAS, without synthetic images."""
    discriminator, gas = head.discriminator, config.gas
    chosen = batch.normal if batch.selection is None else batch.normal[batch.selection]
    z: Tensor = head.adaptor(chosen)
    white = chosen if discriminator.takes_whitened else None
    centre = radius = None
    if batch.centre is not None:
        repeated = batch.centre.repeat(len(batch.normal) // len(batch.centre), 1)
        centre = repeated if batch.selection is None else repeated[batch.selection]
        radius = linear_quantile(row_norms(z.detach() - centre), gas.radius_quantile)
    ascended = ascend(discriminator, z, batch.noise, gas, centre=centre, radius=radius, whitened=white)
    pair = None if white is None else torch.cat([white, white + (ascended.points - z)])
    scores = cast(Tensor, discriminator(torch.cat([z, ascended.points]), pair)).sigmoid()
    normal, gaussian = scores[: len(z)], scores[len(z) :]
    loss_normal, loss_gaussian = mean_bce(normal, 0.0), mean_bce(gaussian, 1.0)
    nothing = scores.new_zeros(())
    return StepLosses(
        total=loss_normal + config.gaussian_weight * loss_gaussian,
        normal=loss_normal.detach(),
        gaussian=loss_gaussian.detach(),
        focal=nothing,
        hard_threshold=nothing,
        n_hard=torch.zeros((), dtype=torch.int64),
        normal_right=(normal.detach() < 0.5).float().mean(),
        anomalous_right=(gaussian.detach() >= 0.5).float().mean(),
        radius=radius,
        radius_gaussian=None,
        radius_las=None,
    )


def las_losses(head: Head, batch: StepInput, config: StepConfig) -> StepLosses:
    """Normal points and those of synthetic images, without GAS."""
    discriminator, gas = head.discriminator, config.gas
    chosen = batch.normal if batch.selection is None else batch.normal[batch.selection]
    z: Tensor = head.adaptor(chosen)
    y: Tensor = head.adaptor(batch.synthetic)
    scores_normal = cast(Tensor, discriminator(z, chosen if discriminator.takes_whitened else None)).sigmoid()
    las, radius = y, None
    if gas.hypothesis is Hypothesis.HYPERSPHERE:
        if batch.centre is None:
            raise ValueError("the hypersphere needs a centre")
        centre = batch.centre.repeat(len(y) // len(batch.centre), 1)
        radius = linear_quantile(row_norms(y.detach() - centre)[~batch.mask], gas.radius_quantile)
        las = project_las(y, batch.mask, centre, radius, gas)
    prior = batch.synthetic + (las - y) if discriminator.takes_whitened else None
    scores = cast(Tensor, discriminator(las, prior)).sigmoid()
    targets = batch.mask.to(scores.dtype)
    hard, threshold = hard_points(scores, targets, config.hard_quantile)
    terms = focal_terms(
        scores[hard],
        targets[hard],
        gamma=config.focal_gamma,
        smoothing=config.focal_smoothing,
        clamp=config.clamp_focal,
    )
    loss_normal, loss_focal = mean_bce(scores_normal, 0.0), terms.mean()
    good = torch.cat([scores_normal.detach(), scores.detach()[~batch.mask]])
    return StepLosses(
        total=loss_normal + loss_focal,
        normal=loss_normal.detach(),
        gaussian=scores.new_zeros(()),
        focal=loss_focal.detach(),
        hard_threshold=threshold,
        n_hard=hard.sum(),
        normal_right=(good < 0.5).float().mean(),
        anomalous_right=(scores.detach()[batch.mask] >= 0.5).float().mean(),
        radius=radius,
        radius_gaussian=None,
        radius_las=None,
    )
