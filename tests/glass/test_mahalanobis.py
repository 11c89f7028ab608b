"""The Mahalanobis map against a direct computation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from model_recipes import make_recipe, random_tiles

from glass_edge.errors import InputError
from glass_edge.glass.mahalanobis import fit_mahalanobis, inner_points
from glass_edge.glass.model import build_model


def test_logit_is_the_squared_distance_by_the_number_of_features() -> None:
    recipe = make_recipe(levels=(8,), model={"shrinkage": 0.05, "width": 60})
    good = random_tiles(12, recipe)
    model = fit_mahalanobis(recipe, (torch.from_numpy(part) for part in np.split(good, 4)))
    assert model.recipe.method == "mahalanobis"

    features = build_model(recipe)
    maps = features.points(torch.from_numpy(good))[0].double().numpy().reshape(12, 8, 14, -1)
    inside = maps[:, 2:-2, 2:-2].reshape(-1, 60)  # a halo of 16 px is 2 cells of 8 px
    covariance = np.cov(inside.T)
    covariance = 0.95 * covariance + 0.05 * np.trace(covariance) / 60 * np.eye(60)
    other = torch.from_numpy(random_tiles(2, recipe, seed=6))
    centred = features.points(other)[0].double().numpy() - inside.mean(axis=0)
    expected = np.einsum("nd,nd->n", centred, np.linalg.solve(covariance, centred.T).T) / 60
    with torch.no_grad():
        found = model(other).numpy()
    np.testing.assert_allclose(found, expected.reshape(2, 8, 14), rtol=1e-4)


def test_good_cloth_scores_one_on_average() -> None:
    recipe = make_recipe(model={"shrinkage": 0.0})
    tiles = torch.from_numpy(random_tiles(6, recipe))
    model = fit_mahalanobis(recipe, [tiles])
    with torch.no_grad():
        logits = model.head(inner_points(model, tiles))
    n = len(logits)
    assert float(logits.mean()) == pytest.approx((n - 1) / n, rel=1e-4)


def test_too_little_cloth_is_refused() -> None:
    recipe = make_recipe(model={"shrinkage": 0.0}, tile={"height_px": 48, "width_px": 48, "channels": 1})
    with pytest.raises(InputError, match="no good tiles"):
        fit_mahalanobis(recipe, [])
    with pytest.raises(InputError, match="give more good images"):
        fit_mahalanobis(recipe, [torch.from_numpy(random_tiles(1, recipe))])
