"""Complete training steps against recordings of the authors' program, both sets."""

from __future__ import annotations

import copy
import zlib
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from golden_weights import ADAPTOR_NAMES, DISCRIMINATOR_NAMES, arrays, close, fill, named_head
from torch import Tensor

from glass_edge.glass.gas import GasConfig, Hypothesis
from glass_edge.glass.networks import Head, build_head
from glass_edge.glass.optimisers import Optimisers
from glass_edge.glass.step import StepConfig, StepInput, StepLosses, training_step

BOTH = ("manifold", "hypersphere")
FORMS = ("features", "hidden")
Ascent = Literal["features", "hidden"]
BIAS_WITHOUT_GRADIENT = "body.block1.0.bias"


class Trace(dict[str, Tensor]):
    """Collects what a step reports."""

    def __call__(self, name: str, tensor: Tensor) -> None:
        self[name] = tensor.detach().clone()


def tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(values)


def parameters(head: Head) -> dict[tuple[str, str], torch.nn.Parameter]:
    """Parameters by (network, name of the recording)."""
    found = {("adaptor", ADAPTOR_NAMES[name]): p for name, p in head.adaptor.named_parameters()}
    return found | {("disc", DISCRIMINATOR_NAMES[name]): p for name, p in head.discriminator.named_parameters()}


def gradient(parameter: torch.nn.Parameter) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def scalar(value: Tensor | None) -> float:
    assert value is not None
    return float(value.detach())


def check_scalars(losses: StepLosses, expected: dict[str, float], tolerance: float) -> None:
    for name, value in expected.items():
        assert scalar(getattr(losses, name)) == pytest.approx(value, abs=tolerance), name


@pytest.mark.parametrize("ascent", FORMS)
@pytest.mark.parametrize("hypothesis", BOTH)
def test_step_of_first_set(hypothesis: str, ascent: Ascent) -> None:
    golden = arrays(f"train_step_{hypothesis}")
    head = build_head(64, 32, seed=0).train()
    fill(head.adaptor, {n: n for n in ADAPTOR_NAMES}, {n: tensor(golden[f"init.adaptor.{n}"]) for n in ADAPTOR_NAMES})
    names = DISCRIMINATOR_NAMES
    fill(head.discriminator, names, {n: tensor(golden[f"init.disc.{n}"]) for n in names.values()})
    batch = StepInput(
        normal=tensor(golden["embeddings_normal"]),
        synthetic=tensor(golden["embeddings_augmented"]),
        mask=tensor(golden["mask"]).flatten() > 0,
        noise=tensor(golden["noise"]),
        centre=tensor(golden["center"]),
    )
    trace = Trace()
    config = StepConfig(GasConfig(Hypothesis(hypothesis), ascent=ascent))
    first = copy.deepcopy(head)
    losses = training_step(head, Optimisers(head), batch, config, trace)

    first_pass = first.discriminator(torch.cat([trace["normal"], trace["ascent_0"]])).sigmoid()
    close(first_pass, golden["scores_first"][:, 0], absolute=1e-5)
    for name, key in (
        ("normal", "adapted_normal"),
        ("synthetic", "adapted_augmented"),
        ("ascent_0", "gaussian"),
        ("ascent_1", "after_1"),
        ("ascent_4", "after_4"),
        ("ascent_5", "after_5"),
        ("gaussian", "after_20"),
        ("las_features", "las_features"),
    ):
        close(trace[name], golden[key], of_max=1e-5)
    scores = torch.cat([trace["scores_normal"], trace["scores_gaussian"]])
    close(scores, golden["scores_last"][:, 0], absolute=1e-5)
    close(trace["scores_las"], golden["las_scores"][:, 0], absolute=1e-5)
    centre = tensor(golden["center"]).repeat(2, 1)
    close((trace["gaussian"] - centre).norm(dim=1), golden["distance_to_center"], of_max=1e-5)
    close((trace["gaussian"] - trace["normal"]).norm(dim=1), golden["distance_to_own"], of_max=1e-5)
    expected = {
        "normal": "bce_normal",
        "gaussian": "bce_gaussian",
        "focal": "focal",
        "total": "total_loss",
        "hard_threshold": "ohem_threshold",
        "n_hard": "ohem_count",
        "normal_right": "p_true",
        "anomalous_right": "p_fake",
        "radius": "r_t",
        "radius_gaussian": "r_g",
        "radius_las": "r_f",
    }
    check_scalars(losses, {name: float(golden[key]) for name, key in expected.items()}, 1e-5)

    norms = dict(zip(golden["grad_names"], golden["grad_norms"], strict=True))
    assert len(norms) == len(parameters(head)) == 7
    for (network, name), parameter in parameters(head).items():
        own = f"{network}.{name.rpartition('.')[2] if network == 'adaptor' else name}"
        is_zero = name == BIAS_WITHOUT_GRADIENT or (own == "adaptor.bias" and hypothesis == "manifold")
        close(gradient(parameter), golden[f"grad.{own}"], absolute=1e-6 if is_zero else 1e-5)
        assert float(gradient(parameter).norm()) == pytest.approx(float(norms[f"grad.{own}"]), abs=1e-5)
        if name != BIAS_WITHOUT_GRADIENT:
            close(parameter, golden[f"after.{own}"], absolute=2e-4 if is_zero else 1e-6)
    for statistic in ("running_mean", "running_var"):
        close(getattr(head.discriminator.norm, statistic), golden[f"after.disc.body.block1.1.{statistic}"], of_max=1e-5)
    assert head.discriminator.norm.num_batches_tracked == 22


def check_trace_gradients(head: Head, golden: dict[str, np.ndarray], tolerance: float) -> None:
    for (network, name), parameter in parameters(head).items():
        full = f"{'pre_projection' if network == 'adaptor' else 'discriminator'}.{name}"
        close(gradient(parameter), golden[f"grad/{full}"], absolute=tolerance)


def check_trace_state(
    head: Head, golden: dict[str, np.ndarray], *, is_manifold: bool, mean_tolerance: float = 1e-5
) -> None:
    for (network, name), parameter in parameters(head).items():
        if name == BIAS_WITHOUT_GRADIENT or (is_manifold and name == ADAPTOR_NAMES["bias"]):
            continue
        full = f"{'pre_projection' if network == 'adaptor' else 'discriminator'}.{name}"
        close(parameter, golden[f"after/{full}"], absolute=1e-6)
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        buffer = getattr(head.discriminator.norm, name)
        tolerance = mean_tolerance if name == "running_mean" else 1e-5
        close(buffer, golden[f"after/discriminator.body.block1.1.{name}"], absolute=tolerance)


@pytest.mark.parametrize("ascent", FORMS)
@pytest.mark.parametrize(
    ("file", "noise", "config"),
    [
        ("manifold_small", "noise_small", StepConfig(GasConfig())),
        ("manifold_span", "noise_span", StepConfig(GasConfig())),
        ("hypersphere_small", "noise_small", StepConfig(GasConfig(Hypothesis.HYPERSPHERE))),
        ("hypersphere_span", "noise_span", StepConfig(GasConfig(Hypothesis.HYPERSPHERE))),
        ("manifold_no_ascent", "noise_span", StepConfig(GasConfig(steps=0))),
        ("manifold_no_ohem", "noise_span", StepConfig(GasConfig(), hard_quantile=0.0)),
    ],
)
def test_step_of_second_set(file: str, noise: str, config: StepConfig, ascent: Ascent) -> None:
    config = replace(config, gas=replace(config.gas, ascent=ascent))
    inputs, golden = arrays("traces/train_inputs"), arrays(f"traces/train_{file}")
    head = named_head(48, 32).train()
    batch = StepInput(
        normal=tensor(inputs["true_embed"]),
        synthetic=tensor(inputs["fake_embed"]),
        mask=tensor(inputs["mask"]).flatten() > 0,
        noise=tensor(inputs[noise]),
        centre=tensor(inputs["center"]),
    )
    trace = Trace()
    losses = training_step(head, Optimisers(head), batch, config, trace)
    close(trace["normal"], golden["true_feats"], absolute=1e-5)
    for t, state in enumerate(golden["gaus_trace"]):
        close(trace[f"ascent_{t}"], state, absolute=1e-5)
    assert f"ascent_{len(golden['gaus_trace'])}" not in trace
    close(trace["las_features"], golden["fake_feats_to_discriminator"], absolute=1e-5)
    close(trace["scores_normal"], golden["true_scores"][:, 0], absolute=1e-5)
    close(trace["scores_gaussian"], golden["gaus_scores"][:, 0], absolute=1e-5)
    close(trace["scores_las"], golden["fake_scores"][:, 0], absolute=1e-5)
    expected = {
        "normal": "true_loss",
        "gaussian": "gaus_loss",
        "focal": "focal_loss",
        "total": "loss",
        "normal_right": "p_true",
        "anomalous_right": "p_fake",
        "radius": "r_t",
        "radius_gaussian": "r_g",
        "radius_las": "r_f",
        "hard_threshold": "d_hard",
        "n_hard": "n_hard",
    }
    check_scalars(losses, {ours: golden[key].item() for ours, key in expected.items() if key in golden}, 1e-5)
    check_trace_gradients(head, golden, 2e-6)
    check_trace_state(head, golden, is_manifold=config.gas.hypothesis is Hypothesis.MANIFOLD)


@pytest.mark.parametrize("ascent", FORMS)
def test_three_consecutive_steps(ascent: Ascent) -> None:
    inputs, golden = arrays("traces/train_inputs"), arrays("traces/train_three_steps")
    head = named_head(48, 32).train()
    optimisers = Optimisers(head)
    for step in range(3):
        batch = StepInput(
            normal=tensor(golden["true_embed"][step]),
            synthetic=tensor(golden["fake_embed"][step]),
            mask=tensor(golden["mask"][step]).flatten() > 0,
            noise=tensor(golden["noise"][step]),
            centre=tensor(inputs["center"]),
        )
        losses = training_step(head, optimisers, batch, StepConfig(GasConfig(ascent=ascent)))
        expected = {"total": "losses", "normal_right": "p_true", "anomalous_right": "p_fake"}
        check_scalars(losses, {ours: float(golden[key][step]) for ours, key in expected.items()}, 1e-5)
    # From the second step on the running mean carries the biases that Adam moved by amplified rounding (up to the
    # learning rate a step): nothing else depends on them.
    check_trace_state(head, golden, is_manifold=True, mean_tolerance=1e-3)


@pytest.mark.parametrize("ascent", FORMS)
@pytest.mark.parametrize("hypothesis", BOTH)
def test_step_at_full_width(hypothesis: str, ascent: Ascent) -> None:
    golden, features = arrays(f"traces/train_full_{hypothesis}"), tensor(arrays("traces/forward_resnet18")["features"])
    head = named_head().train()
    with torch.no_grad():
        centre = head.adaptor(features).view(2, 64, 1536).mean(dim=0)
    n = np.random.RandomState(zlib.crc32(b"full_noise")).standard_normal((64, 1536))
    batch = StepInput(
        normal=features[:64],
        synthetic=features[64:],
        mask=tensor(golden["mask"]).flatten() > 0,
        noise=tensor((0.015 * n).astype(np.float32)),
        centre=centre,
    )
    trace = Trace()
    config = StepConfig(GasConfig(Hypothesis(hypothesis), ascent=ascent))
    losses = training_step(head, Optimisers(head), batch, config, trace)
    for t, norms in enumerate(golden["gaus_minus_true_norm"]):
        close((trace[f"ascent_{t}"] - trace["normal"]).norm(dim=1), norms, absolute=1e-5)
    close(trace["gaussian"][:8], golden["gaus_last_rows"], absolute=1e-5)
    for ours, key in (("normal", "true_scores"), ("gaussian", "gaus_scores"), ("las", "fake_scores")):
        close(trace[f"scores_{ours}"], golden[key][:, 0], absolute=1e-5)
    expected = {
        "normal": "true_loss",
        "gaussian": "gaus_loss",
        "focal": "focal_loss",
        "total": "loss",
        "radius": "r_t",
        "radius_gaussian": "r_g",
        "radius_las": "r_f",
        "hard_threshold": "d_hard",
    }
    check_scalars(losses, {ours: golden[key].item() for ours, key in expected.items()}, 1e-5)
    for (network, name), parameter in parameters(head).items():
        full = f"{'pre_projection' if network == 'adaptor' else 'discriminator'}.{name}"
        close(gradient(parameter)[:4], golden[f"grad_rows/{full}"], absolute=1e-5)
        assert float(gradient(parameter).norm()) == pytest.approx(float(golden[f"grad_norm/{full}"]), abs=1e-5)
