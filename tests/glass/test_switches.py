"""Each ablation switch of a recipe has exactly the meaning stated, against computations written out here."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from model_recipes import make_recipe, random_tiles
from torch import Tensor
from torch.nn import functional as F

from glass_edge.config.recipe import Recipe
from glass_edge.errors import InputError
from glass_edge.glass.checkpoint import CheckpointInfo, as_reference, load_checkpoint, save_checkpoint
from glass_edge.glass.fusion import FusedModel, fusion_error
from glass_edge.glass.gas import GasConfig, Hypothesis, draw_noise, project_las
from glass_edge.glass.mahalanobis import feature_moments
from glass_edge.glass.model import build_model
from glass_edge.glass.networks import Head, build_head
from glass_edge.glass.optimisers import Optimisers
from glass_edge.glass.step import StepConfig, StepInput, StepLosses, compute_losses, training_step
from glass_edge.glass.trainer_step import step_config

N, D, POSITIONS = 40, 12, 10
SPHERE = GasConfig(Hypothesis.HYPERSPHERE)


def points(seed: int, n: int = N) -> Tensor:
    return torch.randn(n, D, generator=torch.Generator().manual_seed(seed))


def head_of(adaptor: str = "xavier") -> Head:
    return build_head(D, 7, seed=3, adaptor=adaptor).train()  # type: ignore[arg-type]


def batch_of(**changes: Tensor | None) -> StepInput:
    mask = torch.arange(N) % 4 == 0
    made = StepInput(points(0), points(1) + mask[:, None] * 1.5, mask, 0.2 * points(2), 0.1 * points(3, POSITIONS))
    return replace(made, **changes)  # type: ignore[arg-type]


def scores(head: Head, values: Tensor) -> Tensor:
    """One pass in train mode, written out; the running statistics stay."""
    u = values @ head.discriminator.hidden.weight.T + head.discriminator.hidden.bias
    normalised = (u - u.mean(0)) / torch.sqrt(u.var(0, unbiased=False) + 1e-5)
    return torch.sigmoid(F.leaky_relu(normalised, 0.2) @ head.discriminator.output.weight[0])


def focal(score: Tensor, mask: Tensor) -> Tensor:
    """Focal loss of each point as the paper's program has it."""
    target = mask.float().clamp(1e-5, 1 - 1e-5)
    pt = target * score + (1 - target) * (1 - score) + 1e-5
    return -((1 - pt) ** 2) * torch.log(pt)


def value(loss: Tensor) -> float:
    return float(loss.detach())


def passes(head: Head) -> int:
    return int(head.discriminator.norm.num_batches_tracked)  # type: ignore[arg-type]


@pytest.mark.parametrize("hypothesis", list(Hypothesis))
def test_without_las_the_normal_points_and_those_of_gas_are_all(hypothesis: Hypothesis) -> None:
    config, seen, head = StepConfig(GasConfig(hypothesis), with_las=False), dict[str, Tensor](), head_of()
    losses = compute_losses(head, batch_of(), config, seen.__setitem__)
    both = scores(head, torch.cat([head.adaptor(points(0)), seen["gaussian"]]))
    assert value(losses.normal) == pytest.approx(value(-(1 - both[:N]).log().mean()), abs=1e-6)
    assert value(losses.gaussian) == pytest.approx(value(-both[N:].log().mean()), abs=1e-6)
    assert value(losses.total) == pytest.approx(value(losses.normal + losses.gaussian), abs=1e-6)
    assert (value(losses.focal), value(losses.n_hard), passes(head)) == (0, 0, 21)
    assert value(losses.normal_right) == pytest.approx(value((both[:N] < 0.5).float().mean()))
    assert value(losses.anomalous_right) == pytest.approx(value((both[N:] >= 0.5).float().mean()))
    nothing = batch_of(synthetic=torch.full((0, D), torch.nan), mask=torch.zeros(0, dtype=torch.bool))
    assert value(compute_losses(head_of(), nothing, config).total) == value(losses.total)
    assert losses.radius_las is None
    own = (head.adaptor(points(0)) - (0.1 * points(3, POSITIONS)).repeat(4, 1)).norm(dim=1)
    assert losses.radius is not None
    assert value(losses.radius) == pytest.approx(value(own.quantile(0.75)), abs=1e-5)  # of the normal points alone


@pytest.mark.parametrize("hypothesis", list(Hypothesis))
def test_without_gas_the_normal_points_pass_alone(hypothesis: Hypothesis) -> None:
    config, head = StepConfig(GasConfig(hypothesis), with_gas=False), head_of()
    losses = compute_losses(head, batch_of(noise=torch.full((1, 1), torch.nan)), config)
    mask = batch_of().mask
    z, y = head.adaptor(points(0)), head.adaptor(batch_of().synthetic)
    if hypothesis is Hypothesis.HYPERSPHERE:  # the radius is that of all normal points, as with GAS
        centre = (0.1 * points(3, POSITIONS)).repeat(4, 1)
        radius = torch.cat([(y - centre)[~mask], z - centre]).norm(dim=1).quantile(0.75)
        y = project_las(y, mask, centre, radius.detach(), SPHERE)
    normal, pasted = scores(head, z), scores(head, y)
    errors = (pasted - mask.float()).square()
    hard = errors >= errors.quantile(0.5)
    assert value(losses.normal) == pytest.approx(value(-(1 - normal).log().mean()), abs=1e-6)
    assert value(losses.focal) == pytest.approx(value(focal(pasted, mask)[hard].mean()), abs=1e-6)
    assert value(losses.total) == pytest.approx(value(losses.normal + losses.focal), abs=1e-6)
    assert (value(losses.gaussian), passes(head)) == (0, 2)
    right = torch.cat([normal, pasted[~mask]]) < 0.5
    assert value(losses.normal_right) == pytest.approx(value(right.float().mean()))
    assert value(losses.anomalous_right) == pytest.approx(value((pasted[mask] >= 0.5).float().mean()))


def test_without_hard_example_mining_every_point_counts() -> None:
    head = head_of()
    losses = compute_losses(head, batch_of(), StepConfig(hard_quantile=0.0))
    pasted = scores(head, head.adaptor(batch_of().synthetic))
    assert value(losses.n_hard) == N
    assert value(losses.focal) == pytest.approx(value(focal(pasted, batch_of().mask).mean()), abs=1e-6)
    same = batch_of(synthetic=points(1)[:1].repeat(N, 1))  # ties at the threshold
    assert value(compute_losses(head_of(), same, StepConfig(hard_quantile=0.0)).n_hard) == N


def recipe_of(**gas: object) -> Recipe:
    return make_recipe(gas=gas, model={"hidden": 8})


def test_recipe_keys_arrive_in_the_step() -> None:
    default = step_config(recipe_of(), 1.0)
    assert default.with_gas
    assert default.with_las
    assert default.gas.projection
    assert default.gas.ascent == "features"
    assert default.gas.noise_sigma == 2.0
    gas = {"projection": False, "noise": False}
    config = step_config(make_recipe(las={"enabled": False}, training={"hard_quantile": 0.0}, gas=gas), 3.0)
    assert (config.with_las, config.hard_quantile) == (False, 0)
    assert (config.gas.projection, config.gas.noise_sigma) == (False, 0)
    assert step_config(recipe_of(enabled=False), 1.0).with_gas is False
    assert step_config(recipe_of(ascent="hidden", steps=0), 1.0).gas == replace(default.gas, ascent="hidden", steps=0)
    with pytest.raises(InputError, match="nothing can be learnt"):
        step_config(make_recipe(gas={"enabled": False}, las={"enabled": False}), 1.0)
    with pytest.raises(ValueError, match="judge"):
        step_config(recipe_of(hypothesis="judge"), 1.0)


@pytest.mark.parametrize("ascent", ["features", "hidden"])
def test_without_noise_the_ascent_starts_at_the_normal_points(ascent: str) -> None:
    config = replace(
        step_config(recipe_of(noise=False, ascent=ascent, relative=False, full_steps=True), 1.0), with_las=False
    )
    noise = draw_noise((N, D), config.gas.noise_sigma, torch.Generator().manual_seed(0), torch.device("cpu"))
    seen, head = dict[str, Tensor](), head_of()
    compute_losses(head, batch_of(noise=noise), config, seen.__setitem__)
    z = seen["normal"]
    assert torch.equal(seen["ascent_0"], z)
    # the first step goes along the gradient alone, here that of all points passed twice
    moving = z.clone().requires_grad_()
    u = torch.cat([z, moving]) @ head.discriminator.hidden.weight.T.detach()
    normalised = (u - u.mean(0)) / torch.sqrt(u.var(0, unbiased=False) + 1e-5)
    logits = F.leaky_relu(normalised, 0.2) @ head.discriminator.output.weight[0].detach()
    (gradient,) = torch.autograd.grad(-logits[N:].sum(), moving)
    step = gradient / gradient.norm(dim=1, keepdim=True)
    assert torch.allclose(seen["ascent_1"] - z, 0.001 * step, atol=2e-6)
    # the projection then carries it to the near edge of its band
    assert torch.allclose((seen["ascent_5"] - z).norm(dim=1), torch.full((N,), 0.5), atol=1e-4)
    cosine = F.cosine_similarity(seen["ascent_5"] - z, seen["ascent_4"] - z)
    assert float(cosine.detach().min()) > 0.99


@pytest.mark.parametrize("ascent", ["features", "hidden"])
def test_without_ascent_noise_alone_makes_the_points(ascent: str) -> None:
    seen, head = dict[str, Tensor](), head_of()
    config = StepConfig(GasConfig(steps=0, ascent=ascent))  # type: ignore[arg-type]
    compute_losses(head, batch_of(), config, seen.__setitem__)
    assert torch.equal(seen["gaussian"], seen["normal"] + 0.2 * points(2))
    assert passes(head) == 2


@pytest.mark.parametrize("ascent", ["features", "hidden"])
@pytest.mark.parametrize("hypothesis", list(Hypothesis))
def test_without_projection_the_points_go_on_freely(hypothesis: Hypothesis, ascent: str) -> None:
    seen = dict[str, Tensor]()
    gas = GasConfig(hypothesis, projection=False, step_length=0.01, ascent=ascent)  # type: ignore[arg-type]
    head = head_of()
    losses = compute_losses(head, batch_of(noise=3.0 * points(2)), StepConfig(gas), seen.__setitem__)
    start = seen["normal"] + 3.0 * points(2)
    path = torch.stack([seen[f"ascent_{t}"] for t in range(21)])
    assert torch.allclose(path[0], start, atol=1e-6)
    lengths = (path[1:] - path[:-1]).norm(dim=2)
    assert torch.allclose(lengths, torch.full_like(lengths, 0.01), rtol=2e-2)  # steps, and nothing else, moved them
    assert float((path[-1] - seen["normal"]).detach().norm(dim=1).min()) > 1.0  # far outside the manifold's band
    if hypothesis is Hypothesis.HYPERSPHERE:
        assert losses.radius is not None
        centre = (0.1 * points(3, POSITIONS)).repeat(4, 1)
        masked = (seen["las_features"] - centre)[batch_of().mask].norm(dim=1)
        assert float(masked.detach().min()) >= 2 * value(losses.radius) - 1e-4  # of synthetic images: all the same
    (gradient,) = torch.autograd.grad(seen["gaussian"].sum(), seen["normal"])
    assert torch.allclose(gradient, torch.ones_like(gradient), atol=1e-6)


@pytest.mark.parametrize("hypothesis", list(Hypothesis))
def test_no_adaptor_leaves_the_features_as_they_are(hypothesis: Hypothesis) -> None:
    head, seen = head_of("none"), dict[str, Tensor]()
    other = head_of("identity")
    assert torch.equal(head.adaptor(points(0)), points(0))
    optimisers = Optimisers(head)
    first = copy.deepcopy(head.state_dict())
    config = StepConfig(replace(SPHERE, hypothesis=hypothesis))
    one = training_step(head, optimisers, batch_of(), config, seen.__setitem__)
    two = training_step(other, Optimisers(other), batch_of(), config)  # it starts as the identity, then trains
    assert value(one.total) == pytest.approx(value(two.total), abs=1e-6)
    assert torch.equal(seen["normal"], points(0))
    after = head.state_dict()
    for name in after:
        is_trained = name.startswith("discriminator.") and name != "discriminator.hidden.bias"
        assert torch.equal(after[name], first[name]) != is_trained or name.endswith("hidden.bias"), name
    assert not torch.equal(other.adaptor.weight, torch.eye(D))
    resumed = head_of("none")
    resumed.load_state_dict(after)
    again = Optimisers(resumed)
    again.load_state_dict(copy.deepcopy(optimisers.state_dict()))
    results: list[StepLosses] = [
        training_step(each, both, batch_of(), config) for each, both in ((head, optimisers), (resumed, again))
    ]
    assert torch.equal(results[0].total, results[1].total)
    assert all(torch.equal(tensor, resumed.state_dict()[name]) for name, tensor in head.state_dict().items())


@pytest.mark.parametrize("whiten", [True, False])
def test_a_model_without_adaptor_is_stored_and_fused_like_any(tmp_path: Path, *, whiten: bool) -> None:
    settings = {"adaptor": "none", "hidden": 8, "whiten": whiten, "prior": "whitened" if whiten else "none"}
    recipe = make_recipe(model=settings)
    model = build_model(recipe)
    generator = torch.Generator().manual_seed(1)
    head = model.glass_head
    with torch.no_grad():
        head.discriminator.output.weight.normal_(0, 0.3, generator=generator)
        head.discriminator.norm.running_mean.normal_(0, 0.3, generator=generator)  # type: ignore[union-attr]
    if whiten:
        model.fit_whitening(feature_moments(model, [torch.from_numpy(random_tiles(4, recipe))]))
    tiles = random_tiles(2, recipe, seed=3)
    largest = float(np.abs(as_reference(model)(tiles)).max())
    assert fusion_error(model, FusedModel(model), tiles) < 1e-5 * max(1, largest)
    save_checkpoint(tmp_path, model, recipe, CheckpointInfo(epoch=1, training_data_sha256="ab" * 32))
    loaded, stored, _ = load_checkpoint(tmp_path)
    assert stored.model.adaptor == "none"
    assert np.array_equal(as_reference(loaded)(tiles), as_reference(model)(tiles))
    assert not any(parameter.requires_grad for parameter in loaded.glass_head.adaptor.parameters())
    points_of, _ = model.points(torch.from_numpy(tiles))
    assert head.adaptor(points_of) is points_of


def test_selected_synthetic_points_keep_their_own_centre() -> None:
    chosen = torch.tensor([0, 4, 7, 13, 28, 33])
    config, seen = StepConfig(SPHERE), dict[str, Tensor]()
    head = head_of()
    losses = compute_losses(head, batch_of(synthetic_selection=chosen), config, seen.__setitem__)
    batch = batch_of()
    y, mask = head.adaptor(batch.synthetic[chosen]), batch.mask[chosen]
    centre = (0.1 * points(3, POSITIONS)).repeat(4, 1)
    from_z = (head.adaptor(points(0)) - centre).norm(dim=1)
    from_y = (y - centre[chosen]).norm(dim=1)
    assert losses.radius is not None
    assert value(losses.radius) == pytest.approx(value(torch.cat([from_y[~mask], from_z]).quantile(0.75)), abs=1e-5)
    assert torch.equal(seen["las_features"][~mask], y[~mask])
    everything = compute_losses(head_of(), batch_of(synthetic_selection=torch.arange(N)), config)
    assert value(everything.total) == value(compute_losses(head_of(), batch_of(), config).total)


def test_without_a_hidden_layer_the_prior_alone_speaks_and_the_adaptor_alone_learns() -> None:
    recipe = make_recipe(model={"hidden": 0, "shrinkage": 0.1})
    model = build_model(recipe)
    tiles = torch.from_numpy(random_tiles(6, recipe))
    with torch.no_grad():
        model.fit_whitening(feature_moments(model, [tiles]))
    head, discriminator = model.glass_head, model.glass_head.discriminator
    white = torch.randn(N, model.n_features, generator=torch.Generator().manual_seed(5))
    prior = discriminator.prior
    assert prior is not None

    def written_out() -> Tensor:
        adapted = white @ head.adaptor.weight.T + head.adaptor.bias
        return prior.alpha * (adapted.square().mean(1) - prior.beta)

    mask = torch.arange(N) % 2 == 0
    batch = StepInput(white, white * torch.where(mask, 2.0, 1.0)[:, None], mask, torch.zeros_like(white))
    before = {name: value.clone() for name, value in head.state_dict().items()}
    optimisers = Optimisers(head)
    for _ in range(3):
        training_step(head.train(), optimisers, batch, StepConfig(gas=GasConfig(steps=2)))
    head.eval()
    changed = {name for name, value in head.state_dict().items() if not torch.equal(value, before[name])}
    learnt = {"adaptor.weight", "adaptor.bias", "discriminator.prior.alpha", "discriminator.prior.beta"}
    assert learnt <= changed
    assert all(name in learnt or ".norm." in name for name in changed)
    with torch.no_grad():
        logits = discriminator(head.adaptor(white), white)
        assert torch.allclose(logits, written_out(), atol=1e-4)
    fused = FusedModel(model)
    assert fused.head.n_hidden == 0
    assert fusion_error(model, fused, tiles.numpy()) < 1e-2
