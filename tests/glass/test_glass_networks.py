from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from glass_edge.glass.networks import Discriminator, GaussianPrior, build_head


def points(n: int = 64, d: int = 12, seed: int = 0) -> Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed)) * 2 + 0.5


def test_initial_values_follow_the_published_distributions() -> None:
    head = build_head(512, 256, seed=0)
    for weight, fan in ((head.adaptor.weight, 1024), (head.discriminator.hidden.weight, 768)):
        assert float(weight.std()) == pytest.approx(math.sqrt(2 / fan), rel=0.02)
    assert float(head.discriminator.output.weight.std()) == pytest.approx(math.sqrt(2 / 257), rel=0.15)
    assert head.discriminator.output.bias is None
    assert float(head.adaptor.bias.abs().max()) <= 1 / math.sqrt(512)
    assert float(head.adaptor.bias.std()) == pytest.approx(1 / math.sqrt(3 * 512), rel=0.1)
    assert torch.equal(head.discriminator.norm.weight, torch.ones(256))


def test_initial_values_follow_the_seed_and_leave_the_generator_alone() -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)
    heads = [build_head(8, 4, seed=seed) for seed in (7, 7, 8)]
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(heads[0].adaptor.weight, heads[1].adaptor.weight)
    assert not torch.equal(heads[0].adaptor.weight, heads[2].adaptor.weight)


def test_names_of_the_state() -> None:
    prior = GaussianPrior(1.0, 1.0, learnable=False, source="whitened")
    head = build_head(8, 4, seed=0, whitened=True, prior=prior)
    assert set(head.state_dict()) == {
        "whitening.mean",
        "whitening.matrix",
        "adaptor.weight",
        "adaptor.bias",
        "discriminator.hidden.weight",
        "discriminator.hidden.bias",
        "discriminator.norm.weight",
        "discriminator.norm.bias",
        "discriminator.norm.running_mean",
        "discriminator.norm.running_var",
        "discriminator.norm.num_batches_tracked",
        "discriminator.output.weight",
        "discriminator.prior.alpha",
        "discriminator.prior.beta",
    }
    assert all(value.dtype == torch.float32 for name, value in head.state_dict().items() if "tracked" not in name)


@pytest.mark.parametrize("source", ["whitened", "adapted"])
def test_with_a_zero_output_and_an_identity_adaptor_the_prior_speaks_alone(source: str) -> None:
    prior = GaussianPrior(3.0, 0.25, learnable=True, source=source)  # type: ignore[arg-type]
    head = build_head(12, 4, seed=0, prior=prior, adaptor="identity", zero_output=True).eval()
    x = points()
    assert torch.allclose(head(x), 3.0 * (x.square().mean(dim=1) - 0.25), atol=1e-5)


def test_the_prior_reads_the_features_it_was_told_to() -> None:
    x = points()
    for source, scale in (("whitened", 1.0), ("adapted", 4.0)):
        prior = GaussianPrior(1.0, 0.0, learnable=False, source=source)  # type: ignore[arg-type]
        head = build_head(12, 4, seed=0, prior=prior, adaptor="identity", zero_output=True).eval()
        with torch.no_grad():
            head.adaptor.weight.mul_(2)
        assert torch.allclose(head(x), scale * x.square().mean(dim=1), rtol=1e-5)
    discriminator = Discriminator(12, 4, prior=GaussianPrior(1.0, 0.0, learnable=False, source="whitened"))
    with pytest.raises(ValueError, match="before the adaptor"):
        discriminator(x)


def test_learnable_prior_is_a_parameter_and_a_fixed_one_is_not() -> None:
    learnable = GaussianPrior(1.0, 1.0, learnable=True, source="adapted")
    fixed = GaussianPrior(1.0, 1.0, learnable=False, source="adapted")
    assert {name for name, _ in learnable.named_parameters()} == {"alpha", "beta"}
    assert not list(fixed.parameters())
    assert set(fixed.state_dict()) == {"alpha", "beta"}


def test_discriminator_is_the_stated_formula() -> None:
    head = build_head(12, 5, seed=2).eval()
    disc, x = head.discriminator, points()
    with torch.no_grad():
        nn.init.uniform_(disc.norm.running_mean)  # type: ignore[arg-type]
        nn.init.uniform_(disc.norm.running_var, 0.5, 2)  # type: ignore[arg-type]
        z = x @ head.adaptor.weight.T + head.adaptor.bias
        u = z @ disc.hidden.weight.T + disc.hidden.bias
        n = (u - disc.norm.running_mean) / torch.sqrt(disc.norm.running_var + 1e-5)  # type: ignore[operator]
        expected = torch.where(n > 0, n, 0.2 * n) @ disc.output.weight[0]
        assert torch.allclose(head(x), expected, atol=1e-5)


def test_a_pass_can_leave_the_running_statistics_alone() -> None:
    disc, x = build_head(12, 5, seed=2).discriminator.train(), points()
    frozen = disc(x, update_statistics=False)
    assert torch.equal(disc.norm.running_mean, torch.zeros(5))
    assert disc.norm.num_batches_tracked == 0
    assert torch.allclose(disc(x), frozen, atol=1e-6)
    assert disc.norm.num_batches_tracked == 1
    disc.eval()
    assert torch.equal(disc(x, update_statistics=False), disc(x))
