from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from glass_edge.glass.gas import GasConfig, Hypothesis, ascend, draw_noise, project_las
from glass_edge.glass.networks import Discriminator, GaussianPrior, Head, build_head
from glass_edge.glass.optimisers import Optimisers
from glass_edge.glass.radial import project
from glass_edge.glass.step import StepConfig, StepInput, StepLosses, compute_losses, training_step

SPHERE = GasConfig(Hypothesis.HYPERSPHERE)


def head_of(d: int = 16, **options: object) -> Head:
    return build_head(d, 8, seed=1, **options).train()  # type: ignore[arg-type]


def normal_points(n: int = 40, d: int = 16, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


def batch_of(n: int = 40, d: int = 16, sigma: float = 0.2) -> StepInput:
    mask = torch.zeros(n, dtype=torch.bool)
    mask[::5] = True
    noise = draw_noise((n, d), sigma, torch.Generator().manual_seed(3), torch.device("cpu"))
    return StepInput(normal_points(n, d), normal_points(n, d, 1) + mask[:, None] * 2.0, mask, noise)


def test_projection_keeps_the_direction_and_limits_the_distance() -> None:
    base, points = normal_points(seed=1), normal_points(seed=2)
    points[0] = base[0] + 1e-3 * points[0]
    points[1] = base[1] + 0.7 * points[1] / points[1].norm()
    moved = project(points, base, 0.5, 1.0)
    distance = (moved - base).norm(dim=1)
    assert float(distance.min()) >= 0.5 - 1e-5
    assert float(distance.max()) <= 1.0 + 1e-5
    assert torch.allclose(moved[1], points[1], atol=1e-6)
    cosine = torch.nn.functional.cosine_similarity(moved - base, points - base)
    assert torch.allclose(cosine, torch.ones(len(cosine)), atol=1e-5)


def test_ascent_raises_the_loss_against_anomalous() -> None:
    head, z = head_of(), normal_points()
    noise = draw_noise((40, 16), 0.01, torch.Generator().manual_seed(0), torch.device("cpu"))
    config = GasConfig(step_length=0.01, projection_period=100, steps=15)
    seen: dict[str, Tensor] = {}
    ascend(head.discriminator, z, noise, config, observe=seen.__setitem__)
    losses = [
        float(-head.discriminator(torch.cat([z, seen[f"ascent_{t}"]]))[40:].sigmoid().log().mean().detach())
        for t in (0, 5, 10, 15)
    ]
    assert losses == sorted(losses)
    assert losses[-1] > losses[0]
    step = (seen["ascent_8"] - seen["ascent_7"]).norm(dim=1)
    assert torch.allclose(step, torch.full_like(step, 0.01), rtol=1e-3)


def test_full_steps_go_the_same_way_and_do_not_fade() -> None:
    head, z = head_of().eval(), normal_points()
    noise = torch.zeros_like(z)
    config = GasConfig(steps=1, projection_period=2)
    published = ascend(head.discriminator, z, noise, config).points - z
    full = ascend(head.discriminator, z, noise, replace(config, full_steps=True)).points - z
    assert torch.allclose(published, full, atol=1e-6)
    with torch.no_grad():
        head.discriminator.output.weight.mul_(400)
    published = ascend(head.discriminator, z, noise, config).points - z
    full = ascend(head.discriminator, z, noise, replace(config, full_steps=True)).points - z
    sure = head.discriminator(z) > 30
    assert 5 < int(sure.sum()) < 35
    assert float(published[sure].norm(dim=1).max()) < 1e-4
    assert torch.allclose(full.norm(dim=1), torch.full((40,), 0.001), rtol=1e-2)


def test_hypersphere_gradient_is_that_of_the_projections() -> None:
    """With steps of length 0 the whole synthesis is four projections, which autograd can be asked about directly."""
    head = head_of().double()
    z = normal_points(6).double().requires_grad_()
    noise, centre = 0.1 * normal_points(6, seed=4).double(), 0.2 * normal_points(6, seed=5).double()
    radius = torch.tensor(3.0, dtype=torch.float64)
    result = ascend(head.discriminator, z, noise, replace(SPHERE, step_length=0.0), centre=centre, radius=radius)
    direct = z + noise
    for _ in range(4):
        direct = project(direct, centre, 3.0, 6.0)
    assert torch.allclose(result.points, direct)
    weights = normal_points(6, seed=6).double()
    (actual,) = torch.autograd.grad((result.points * weights).sum(), z)
    (expected,) = torch.autograd.grad((direct * weights).sum(), z)
    assert torch.allclose(actual, expected, atol=1e-12)


def test_las_projection_moves_masked_points_only() -> None:
    y, centre = normal_points().requires_grad_(), torch.zeros(40, 16)
    mask = torch.arange(40) % 2 == 0
    moved = project_las(y, mask, centre, torch.tensor(0.5), SPHERE)
    assert torch.equal(moved[~mask], y[~mask])
    distance = moved[mask].detach().norm(dim=1)
    assert float(distance.max()) <= 2.0 + 1e-5
    assert moved.requires_grad


def test_frozen_statistics_move_by_two_passes_only() -> None:
    batch = batch_of()
    counts = []
    for moves in (True, False):
        head = head_of()
        compute_losses(head, batch, StepConfig(GasConfig(moves_statistics=moves)))
        counts.append(int(head.discriminator.norm.num_batches_tracked))  # type: ignore[arg-type]
    assert counts == [22, 2]


def loss_values(losses: StepLosses) -> list[float]:
    return [float(value.detach()) for value in (losses.total, losses.normal, losses.gaussian, losses.focal)]


def test_selecting_every_point_changes_nothing() -> None:
    batch = replace(batch_of(), centre=0.1 * normal_points(10, seed=8))
    config = StepConfig(replace(SPHERE, noise_sigma=0.2))
    everything = replace(batch, selection=torch.arange(40))
    assert loss_values(compute_losses(head_of(), batch, config)) == loss_values(
        compute_losses(head_of(), everything, config)
    )


def test_a_selection_keeps_points_with_their_own_centre() -> None:
    batch = replace(batch_of(), centre=normal_points(10, seed=8))
    chosen = torch.tensor([3, 17, 25, 39, 8, 11])
    picked = replace(batch, selection=chosen, noise=batch.noise[chosen])
    head, seen = head_of(), dict[str, Tensor]()
    compute_losses(head, picked, StepConfig(SPHERE), seen.__setitem__)
    assert torch.allclose(seen["normal"], head.adaptor(batch.normal[chosen]))
    y = head.adaptor(batch.synthetic) - normal_points(10, seed=8).repeat(4, 1)
    from_z = seen["normal"] - normal_points(10, seed=8)[chosen % 10]
    radius = torch.quantile(torch.cat([y[~batch.mask], from_z]).norm(dim=1), 0.75)
    distance = (seen["gaussian"] - normal_points(10, seed=8)[chosen % 10]).detach().norm(dim=1)
    assert float(distance.min()) >= float(radius.detach()) - 1e-4
    assert float(distance.max()) <= 2 * float(radius.detach()) + 1e-4


def test_a_pooled_centre_serves_every_position() -> None:
    one = normal_points(1, seed=8)
    config = StepConfig(SPHERE)
    pooled = compute_losses(head_of(), replace(batch_of(), centre=one), config)
    repeated = compute_losses(head_of(), replace(batch_of(), centre=one.repeat(10, 1)), config)
    assert loss_values(pooled) == loss_values(repeated)


def test_what_does_not_fit_is_refused() -> None:
    head, batch = head_of(), batch_of()
    with pytest.raises(ValueError, match="noise"):
        compute_losses(head, replace(batch, noise=batch.noise[:3]), StepConfig())
    with pytest.raises(ValueError, match="centre of 7 positions"):
        compute_losses(head, replace(batch, centre=normal_points(7)), StepConfig())
    with pytest.raises(ValueError, match="needs a centre"):
        compute_losses(head, batch, StepConfig(SPHERE))


def test_the_manifold_does_without_a_centre_and_a_batch_without_a_mask() -> None:
    batch = replace(batch_of(), mask=torch.zeros(40, dtype=torch.bool), centre=normal_points(10))
    losses = compute_losses(head_of(), batch, StepConfig())
    assert losses.radius_las is None
    assert losses.radius is not None
    bare = compute_losses(head_of(), replace(batch, centre=None), StepConfig())
    assert bare.radius is None
    assert float(bare.total.detach()) == float(losses.total.detach())


@pytest.mark.parametrize("hypothesis", list(Hypothesis))
def test_a_prior_on_whitened_features_follows_the_displacement(hypothesis: Hypothesis) -> None:
    """With an identity adaptor the two sources of a prior are the same numbers all the way."""
    totals = []
    for source in ("whitened", "adapted"):
        prior = GaussianPrior(0.5, 1.0, learnable=True, source=source)  # type: ignore[arg-type]
        head = head_of(prior=prior, adaptor="identity")
        batch = replace(batch_of(), centre=torch.zeros(1, 16))
        losses = training_step(head, Optimisers(head), batch, StepConfig(GasConfig(hypothesis)))
        assert prior.alpha.grad is not None
        totals.append(loss_values(losses))
    assert totals[0] == pytest.approx(totals[1], abs=1e-5)


def test_steps_learn_to_tell_the_points_apart() -> None:
    head = head_of(16)
    optimisers = Optimisers(head)
    batch, config = batch_of(), StepConfig(GasConfig(noise_sigma=0.2, manifold_band=(0.8, 1.6)))
    values = [loss_values(training_step(head, optimisers, batch, config))[0] for _ in range(60)]
    assert values[-1] < values[0] - 0.05


def test_training_resumes_where_its_state_was_saved() -> None:
    batch, config = batch_of(), StepConfig(GasConfig(noise_sigma=0.2))
    head = head_of()
    optimisers = Optimisers(head)
    for _ in range(3):
        training_step(head, optimisers, batch, config)
    again = head_of()
    again.load_state_dict(head.state_dict())
    resumed = Optimisers(again)
    resumed.load_state_dict(copy.deepcopy(optimisers.state_dict()))
    for one, opt in ((head, optimisers), (again, resumed)):
        training_step(one, opt, batch, config)
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in head.state_dict().items())


def test_noise_is_of_the_stated_spread_and_repeats() -> None:
    one, two = (draw_noise((500, 40), 0.3, torch.Generator().manual_seed(9), torch.device("cpu")) for _ in range(2))
    assert torch.equal(one, two)
    assert float(one.std()) == pytest.approx(0.3, rel=0.02)


def test_a_discriminator_alone_can_be_ascended_in_evaluation_mode() -> None:
    discriminator = Discriminator(16, 8).eval()
    result = ascend(discriminator, normal_points(), torch.zeros(40, 16), GasConfig(steps=5))
    assert torch.equal(discriminator.norm.running_mean, torch.zeros(8))
    distance = (result.points - normal_points()).norm(dim=1)
    assert torch.allclose(distance, torch.full((40,), 0.5), atol=1e-5)
