"""The constants of a training step as a recipe gives them.

Promises: published but for what the recipe changes; lengths that are relative in the recipe become absolute once for a
run, from the spread of adapted good features before the first step.
"""

from __future__ import annotations

import math

from glass_edge.config.recipe import Recipe
from glass_edge.errors import InputError
from glass_edge.glass.gas import GasConfig, Hypothesis
from glass_edge.glass.step import StepConfig

LAS_BAND_FACTOR = 2.0
"""Masked features of synthetic images lie this much further out than those of GAS (published: 2r..4r to r..2r)."""


def step_config(recipe: Recipe, spread: float) -> StepConfig:
    """Absolute constants of a step; `spread` see `trainer_features.spread_of_adapted`.

    Raises:
        InputError: there is nothing to learn from.
        ValueError: the hypothesis was not judged yet.
    """
    gas = recipe.gas
    if not (gas.enabled or recipe.las.enabled):
        raise InputError("gas.enabled and las.enabled are both false: nothing can be learnt; enable one of them")
    is_sphere = gas.hypothesis == "hypersphere"
    feature = spread if gas.relative else 1.0
    length = feature * math.sqrt(recipe.n_features) if gas.relative else 1.0
    band = (gas.band_low, gas.band_high)
    defaults = GasConfig()
    return StepConfig(
        gas=GasConfig(
            hypothesis=Hypothesis(gas.hypothesis),
            noise_sigma=gas.noise_sigma * feature if gas.noise else 0.0,
            steps=gas.steps,
            step_length=gas.step_length * length,
            ascent=gas.ascent,
            projection=gas.projection,
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
        with_gas=gas.enabled,
        with_las=recipe.las.enabled,
    )
