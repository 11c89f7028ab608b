"""Both forms of the ascent against a plain one that is left to autograd, and against each other."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from glass_edge.glass.gas import Ascended, GasConfig, Hypothesis, ascend, band
from glass_edge.glass.hidden_gradient import HiddenGradient
from glass_edge.glass.networks import Discriminator, GaussianPrior, build_head
from glass_edge.glass.step import StepConfig, StepInput, compute_losses

N_POINTS, N_FEATURES, N_HIDDEN = 30, 14, 9


def random_points(seed: int, n: int = N_POINTS, d: int = N_FEATURES) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make_discriminator(source: str | None, *, train: bool) -> Discriminator:
    """In float64, with nothing trivial in it."""
    prior = None
    if source is not None:
        prior = GaussianPrior(1.7, 0.8, learnable=True, source=source)  # type: ignore[arg-type]
    made = build_head(N_FEATURES, N_HIDDEN, seed=5, prior=prior).discriminator.double()
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        made.norm.weight.normal_(1, 0.3, generator=generator)
        made.norm.bias.normal_(0, 0.3, generator=generator)
        made.norm.running_mean.normal_(0, 0.3, generator=generator)  # type: ignore[union-attr]
        made.norm.running_var.uniform_(0.5, 2, generator=generator)  # type: ignore[union-attr]
    return made.train(train)


def published(
    discriminator: Discriminator,
    normal: Tensor,
    noise: Tensor,
    config: GasConfig,
    *,
    centre: Tensor | None,
    radius: Tensor | None,
    whitened: Tensor,
) -> Tensor:
    """The synthetic points with one graph through all of it; each step's direction is a constant."""
    points = normal + noise
    base = normal.detach() if config.hypothesis is Hypothesis.MANIFOLD else centre
    assert base is not None
    for step in range(1, config.steps + 1):
        moving = points.detach().requires_grad_()
        both = torch.cat([normal.detach(), moving])
        prior_input = torch.cat([whitened, whitened + (moving - normal.detach())])
        logits = discriminator(both, prior_input, update_statistics=config.moves_statistics)[len(normal) :]
        loss = -logits.sum() if config.full_steps else -logits.sigmoid().log().mean()
        (direction,) = torch.autograd.grad(loss, moving)
        points = points + config.step_length * direction / (direction.norm(dim=1, keepdim=True) + 1e-10)
        if config.projection and step % config.projection_period == 0:
            lower, upper = band(config, radius)
            offsets = points - base
            norms = offsets.norm(dim=1, keepdim=True)
            points = base + offsets * (norms.clamp(lower, upper) / (norms + 1e-10))  # type: ignore[arg-type]
    if config.hypothesis is Hypothesis.MANIFOLD:  # its base moves along with the points, so nothing is scaled
        return points.detach() + (normal - normal.detach())
    return points


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    hypothesis=st.sampled_from(list(Hypothesis)),
    source=st.sampled_from([None, "whitened", "adapted"]),
    train=st.booleans(),
    with_noise=st.booleans(),
    projection=st.booleans(),
    full_steps=st.booleans(),
    moves=st.booleans(),
    steps=st.integers(0, 12),
    period=st.integers(1, 5),
)
def test_both_forms_are_the_published_ascent(
    *,
    hypothesis: Hypothesis,
    source: str | None,
    train: bool,
    with_noise: bool,
    projection: bool,
    full_steps: bool,
    moves: bool,
    steps: int,
    period: int,
) -> None:
    config = GasConfig(
        hypothesis,
        steps=steps,
        step_length=0.2,
        projection=projection,
        projection_period=period,
        manifold_band=(0.7, 1.1),
        full_steps=full_steps,
        moves_statistics=moves,
    )
    normal, noise = random_points(1), 0.3 * random_points(2) * with_noise
    centre = 0.2 * random_points(3) if hypothesis is Hypothesis.HYPERSPHERE else None
    around: dict[str, Any] = {"centre": centre, "radius": torch.tensor(3.0), "whitened": random_points(4)}
    weights = random_points(7)
    found = []
    for form in ("plain", "features", "hidden"):
        discriminator, z = make_discriminator(source, train=train), normal.clone().requires_grad_()
        if form == "plain":
            points = published(discriminator, z, noise, config, **around)
        else:
            points = ascend(discriminator, z, noise, replace(config, ascent=form), **around).points  # type: ignore[arg-type]
        (gradient,) = torch.autograd.grad((points * weights).sum(), z)
        found.append([points.detach(), gradient, *discriminator.norm.buffers()])
    for plain, features, hidden in zip(*found, strict=True):
        assert torch.allclose(features, plain, rtol=1e-9, atol=1e-9)
        assert torch.allclose(hidden, plain, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("full_steps", [True, False])
def test_gradients_at_the_hidden_layer_are_those_of_autograd(*, train: bool, full_steps: bool) -> None:
    discriminator = make_discriminator("adapted", train=train)
    normal, points = random_points(1), 1.5 * random_points(2) + 0.3
    hidden = (points @ discriminator.hidden.weight.T + discriminator.hidden.bias).detach()
    gradient = HiddenGradient(
        copy.deepcopy(discriminator),
        (normal @ discriminator.hidden.weight.T + discriminator.hidden.bias).detach(),
        full_steps=full_steps,
        moves_statistics=True,
    )
    at_hidden, at_logits = gradient(hidden, points.square().mean(dim=1))

    seen: dict[str, Tensor] = {}

    def keep(module: torch.nn.Module, inputs: object, output: Tensor) -> None:
        output.retain_grad()
        seen["hidden"] = output

    discriminator.hidden.register_forward_hook(keep)
    logits = discriminator(torch.cat([normal, points]))
    logits.retain_grad()
    own = logits[N_POINTS:]
    (-own.sum() if full_steps else torch.nn.functional.softplus(-own).mean()).backward()
    assert seen["hidden"].grad is not None
    assert logits.grad is not None
    assert torch.allclose(at_hidden, seen["hidden"].grad[N_POINTS:], atol=1e-12)
    assert torch.allclose(at_logits, logits.grad[N_POINTS:], atol=1e-12)
    assert not at_hidden.requires_grad


def gradients(ascent: str, hypothesis: Hypothesis, source: str | None = "whitened") -> dict[str, Tensor]:
    """What a step of the default recipe's form comes to in float32."""
    prior = None if source is None else GaussianPrior(3.0, 3.0, learnable=True, source=source)  # type: ignore[arg-type]
    head = build_head(96, 64, seed=1, prior=prior, adaptor="identity").train()
    mask = torch.arange(80) % 4 == 0
    normal, synthetic, noise = (random_points(seed, 80, 96).float() for seed in range(3))
    batch = StepInput(normal, synthetic + mask[:, None] * 0.5, mask, 2 * noise, torch.zeros(1, 96))
    length = 96**0.5
    gas = GasConfig(
        hypothesis,
        ascent=ascent,  # type: ignore[arg-type]
        step_length=0.004 * length,
        manifold_band=(1.6 * length, 4 * length),
    )
    losses = compute_losses(head, batch, StepConfig(gas, gaussian_weight=0.1))
    losses.total.backward()
    found = {name: parameter.grad for name, parameter in head.named_parameters() if parameter.grad is not None}
    assert len(found) == len(list(head.parameters()))
    return {**found, **dict(head.discriminator.norm.named_buffers()), "total": losses.total.detach()}


@pytest.mark.parametrize("hypothesis", list(Hypothesis))
def test_the_default_recipe_s_step_is_equal_in_single_precision(hypothesis: Hypothesis) -> None:
    features, hidden = gradients("features", hypothesis), gradients("hidden", hypothesis)
    for name, value in features.items():
        assert torch.allclose(value.double(), hidden[name].double(), rtol=3e-6, atol=3e-6), name


@pytest.mark.parametrize("ascent", ["features", "hidden"])
def test_no_graph_is_kept_over_the_steps(ascent: str) -> None:
    """What autograd holds for the result is the same for one block of steps and for none."""

    def held(steps: int, *, sphere: bool) -> int:
        discriminator, z = make_discriminator("adapted", train=True), random_points(1).requires_grad_()
        config = GasConfig(
            Hypothesis.HYPERSPHERE if sphere else Hypothesis.MANIFOLD,
            steps=steps,
            ascent=ascent,  # type: ignore[arg-type]
        )
        saved: list[Tensor] = []

        def pack(tensor: Tensor) -> Tensor:
            saved.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            result: Ascended = ascend(
                discriminator, z, 0.1 * random_points(2), config, centre=random_points(3), radius=torch.tensor(3.0)
            )
        assert result.points.requires_grad
        assert all(parameter.grad is None for parameter in discriminator.parameters())
        points_sized = [tensor for tensor in saved if tensor.numel() >= N_POINTS * N_HIDDEN]
        return len(points_sized)

    assert held(20, sphere=False) == 0
    assert held(4, sphere=True) == 0
    assert held(9, sphere=True) == held(5, sphere=True) > 0  # one projection's Jacobian, whatever the steps


def test_a_point_without_direction_stays_where_it_is() -> None:
    """No noise, and a discriminator that has no gradient yet: the points are the normal points."""
    discriminator = Discriminator(N_FEATURES, N_HIDDEN, zero_output=True).double().train()
    z = random_points(1)
    for form in ("features", "hidden"):
        result = ascend(discriminator, z, torch.zeros_like(z), GasConfig(ascent=form))  # type: ignore[arg-type]
        assert torch.equal(result.points, z)


@pytest.mark.parametrize("source", [None, "whitened"])
@pytest.mark.parametrize("hypothesis", list(Hypothesis))
def test_products_in_sixteen_bits_leave_the_rest_in_single_precision(
    hypothesis: Hypothesis, source: str | None
) -> None:
    found = []
    for ascent in ("features", "hidden"):
        exact = gradients(ascent, hypothesis, source)
        with torch.autocast("cpu", torch.bfloat16):
            short = gradients(ascent, hypothesis, source)
        for name, value in short.items():
            assert value.dtype == exact[name].dtype
            # eight bits of mantissa; biases have a gradient of rounding alone
            limit = 0.08 * float(exact[name].double().norm()) + 1e-3 * name.endswith(".bias")
            assert float((value - exact[name]).double().norm()) <= limit, name
        found.append(short["total"])
        assert float(short["total"]) == pytest.approx(float(exact["total"]), rel=5e-3)
        assert float(short["total"]) != float(exact["total"])
    assert float(found[0]) == pytest.approx(float(found[1]), rel=5e-3)
