"""The folded passes against the unfolded ones, in float64 where rounding cannot hide a difference."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from glass_edge.glass.folded_step import can_fold
from glass_edge.glass.gas import GasConfig, Hypothesis, Observer
from glass_edge.glass.networks import GaussianPrior, Head, build_head
from glass_edge.glass.step import StepConfig, StepInput, StepLosses, compute_losses

WIDTH, HIDDEN, POINTS = 24, 16, 60
GAS = GasConfig(ascent="hidden", noise_sigma=0.15, step_length=0.02, manifold_band=(0.6, 0.8))


def made_head(*, prior: bool, adaptor: str) -> Head:
    gaussian = GaussianPrior(1.5, 0.8, learnable=True, source="whitened") if prior else None
    return build_head(WIDTH, HIDDEN, 3, prior=gaussian, adaptor=adaptor, whitened=False).double().train()  # type: ignore[arg-type]


def made_batch() -> StepInput:
    generator = torch.Generator().manual_seed(1)

    def draw(scale: float) -> Tensor:
        return torch.randn(POINTS, WIDTH, generator=generator, dtype=torch.float64) * scale

    return StepInput(draw(1.0), draw(1.4), torch.rand(POINTS, generator=generator) < 0.2, draw(0.15))


def gradients(
    head: Head, batch: StepInput, config: StepConfig, observe: Observer | None = None
) -> tuple[StepLosses, dict[str, Tensor]]:
    own = copy.deepcopy(head)
    losses = compute_losses(own, batch, config, observe)
    losses.total.backward()
    values = {name: parameter.grad for name, parameter in own.named_parameters() if parameter.grad is not None}
    return losses, values | dict(own.discriminator.norm.named_buffers())


@pytest.mark.parametrize(
    ("prior", "adaptor", "changes"),
    [
        (False, "xavier", {}),
        (True, "xavier", {}),
        (True, "none", {}),
        (False, "xavier", {"with_las": False}),
        (True, "xavier", {"with_gas": False}),
        (True, "xavier", {"gas": replace(GAS, projection=False, moves_statistics=False, full_steps=True)}),
        (False, "xavier", {"gas": replace(GAS, steps=0), "hard_quantile": 0.0, "gaussian_weight": 0.3}),
    ],
    ids=["published", "prior", "no adaptor", "gas alone", "las alone", "full steps", "no steps"],
)
def test_folding_changes_neither_losses_nor_gradients(prior: bool, adaptor: str, changes: dict[str, Any]) -> None:
    head, batch = made_head(prior=prior, adaptor=adaptor), made_batch()
    config = replace(StepConfig(gas=GAS), **changes)
    seen: list[str] = []
    expected, theirs = gradients(head, batch, config, observe=lambda name, _: seen.append(name))
    losses, own = gradients(head, batch, config)
    assert "normal" in seen  # watched, so not folded
    for name in ("total", "normal", "gaussian", "focal", "hard_threshold", "normal_right", "anomalous_right"):
        own_value, their_value = (float(getattr(one, name).detach()) for one in (losses, expected))
        assert own_value == pytest.approx(their_value, abs=1e-12), name
    assert own.keys() == theirs.keys()
    for name, value in own.items():
        assert torch.allclose(value, theirs[name], rtol=1e-9, atol=1e-12), name


def test_what_needs_adapted_features_is_not_folded() -> None:
    plain = made_head(prior=False, adaptor="xavier")
    assert can_fold(plain, GAS)
    assert not can_fold(plain, replace(GAS, ascent="features"))
    assert not can_fold(plain, replace(GAS, hypothesis=Hypothesis.HYPERSPHERE))
    prior = GaussianPrior(1.0, 1.0, learnable=True, source="adapted")
    assert not can_fold(build_head(WIDTH, HIDDEN, 0, prior=prior), GAS)
    batch = made_batch()
    batch.centre = batch.normal.mean(dim=0, keepdim=True)
    losses = compute_losses(plain, batch, StepConfig(gas=GAS))
    assert losses.radius is not None  # a centre asks for distances among the features
