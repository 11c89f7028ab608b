from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from golden_weights import arrays
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.glass.losses import focal_terms, hard_points, mean_bce
from glass_edge.glass.quantiles import linear_quantile


def test_focal_of_the_second_set() -> None:
    golden = arrays("traces/focal")
    scores = torch.from_numpy(golden["probability"]).requires_grad_()
    terms = focal_terms(scores, torch.from_numpy(golden["target"]))
    values, expected = terms.detach().double().numpy(), golden["per_element"]
    assert np.allclose(values[:8], expected[:8], rtol=1e-3, atol=2e-6)
    assert np.all(np.abs(values[8:] - expected[8:]) <= np.maximum(2e-6, 1e-5 * np.abs(expected[8:])))
    assert float(terms.mean().detach()) == pytest.approx(float(golden["mean"]), rel=1e-5)
    (gradient,) = torch.autograd.grad(terms.mean(), scores)
    assert np.allclose(gradient[8:], golden["grad"][8:], rtol=1e-5, atol=2e-6)
    assert np.allclose(gradient[:8], golden["grad"][:8], rtol=1e-3, atol=2e-6)


@pytest.mark.parametrize("hypothesis", ["manifold", "hypersphere"])
def test_focal_and_mining_of_the_first_set(hypothesis: str) -> None:
    golden = arrays(f"train_step_{hypothesis}")
    scores = torch.from_numpy(golden["las_scores"])[:, 0]
    targets = torch.from_numpy(golden["mask"]).flatten()
    hard, threshold = hard_points(scores, targets, 0.5)
    assert float(threshold) == pytest.approx(float(golden["ohem_threshold"]), abs=1e-6)
    assert torch.equal(scores[hard], torch.from_numpy(golden["focal_probabilities"]))
    assert torch.equal(targets[hard], torch.from_numpy(golden["focal_targets"])[:, 0])
    assert float(focal_terms(scores[hard], targets[hard]).mean()) == pytest.approx(float(golden["focal"]), abs=1e-6)


def test_clamped_focal_differs_only_where_the_probability_exceeds_one() -> None:
    scores = torch.tensor([0.0, 1e-7, 0.3, 1.0], dtype=torch.float64)
    targets = torch.tensor([0.0, 0.0, 1.0, 1.0])
    free, clamped = focal_terms(scores, targets), focal_terms(scores, targets, clamp=True)
    assert (clamped >= 0).all()
    assert torch.allclose(free, clamped, atol=1e-9)
    assert free[2] == clamped[2] == pytest.approx(0.7**2 * -math.log(0.3), rel=1e-3)


def test_bce_clamps_its_logarithm() -> None:
    assert float(mean_bce(torch.tensor([0.0, 1.0]), 1.0)) == 50.0
    assert float(mean_bce(torch.tensor([0.25]), 0.0)) == pytest.approx(-math.log(0.75))


def test_quantile_zero_keeps_every_point() -> None:
    assert hard_points(torch.rand(50), torch.zeros(50), 0.0)[0].all()


@given(
    values=st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=60),
    q=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]),
)
def test_quantile_equals_torch(values: list[float], q: float) -> None:
    data = torch.tensor(values)
    assert torch.allclose(linear_quantile(data, q), torch.quantile(data, q), rtol=1e-5, atol=1e-30)


def test_quantile_takes_more_values_than_torch_once_did() -> None:
    data = torch.arange(2**24 + 5, dtype=torch.float64).flip(0)
    assert float(linear_quantile(data, 0.75)) == 0.75 * (2**24 + 4)
    with pytest.raises(ValueError, match="no values"):
        linear_quantile(data[:0], 0.5)
