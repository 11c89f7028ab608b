"""The model a recipe builds, from pixels to logits."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_weights import arrays, close
from model_recipes import PUBLISHED, filled_model, golden_model, make_recipe, random_tiles

from glass_edge.errors import InputError
from glass_edge.glass.mahalanobis import feature_moments
from glass_edge.glass.model import build_model
from glass_edge.glass.networks import Adaptor


def test_published_recipe_gives_the_recorded_logits_and_features() -> None:
    golden = arrays("inference_resnet18")
    model = golden_model("resnet18", ordered=True)
    images = torch.from_numpy(golden["image_uint8"])
    with torch.no_grad():
        close(model(images), golden["logits"], absolute=5e-5)
    points, grid = model.points(images)
    assert grid == golden["logits"].shape[1:]
    close(points[:, ::7], golden["pooled"], of_max=1e-5)
    assert (model.score_stride_px, model.n_features) == (8, 1536)


def test_points_and_head_agree_with_forward() -> None:
    recipe = make_recipe(levels=(2, 8))
    model = filled_model(recipe)
    tiles = torch.from_numpy(random_tiles(2, recipe))
    points, grid = model.points(tiles)
    assert points.shape == (2 * 32 * 56, recipe.n_features)
    assert (model.n_features, model.score_stride_px) == (recipe.n_features, recipe.score_stride_px)
    with torch.no_grad():
        close(model.head(points).view(2, *grid), model(tiles).numpy(), of_max=1e-5)
    same, _ = model.points_of_images(model.normalise(tiles))
    assert torch.equal(same, points)


def test_grey_tiles_are_tiles_with_three_equal_channels() -> None:
    model = filled_model(make_recipe())
    tiles = torch.from_numpy(random_tiles(1, model.recipe))
    with torch.no_grad():
        assert torch.equal(model(tiles), model(tiles.expand(-1, -1, -1, 3)))


def test_initial_values_follow_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = build_model(make_recipe(seed=4)).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    second, other = build_model(make_recipe(seed=4)).state_dict(), build_model(make_recipe(seed=5)).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.discriminator.hidden.weight"], other["head.discriminator.hidden.weight"])


def test_with_a_prior_the_first_logit_is_the_prior_alone() -> None:
    recipe = make_recipe(model={"prior_alpha": 2.0, "prior_beta": 0.5, "hidden": 16})
    model = build_model(recipe)
    tiles = torch.from_numpy(random_tiles(2, recipe))
    model.fit_whitening(feature_moments(model, [tiles]))
    points, grid = model.points(tiles)
    expected = 2.0 * (model.head.whiten(points).square().mean(dim=1) - 0.5)
    with torch.no_grad():
        close(model(tiles), expected.view(2, *grid).numpy(), of_max=1e-5)


def test_adaptor_starts_as_asked() -> None:
    identity = build_model(make_recipe(model={"adaptor": "identity"})).glass_head.adaptor
    xavier = build_model(make_recipe(model={"adaptor": "xavier"})).glass_head.adaptor
    assert torch.equal(identity.weight, torch.eye(216))
    assert isinstance(xavier, Adaptor)
    assert float(xavier.weight.detach().std()) == pytest.approx((2 / 432) ** 0.5, rel=0.02)


@pytest.mark.parametrize("method", ["pca", "zca", "cholesky"])
def test_whitened_features_of_good_cloth_have_unit_covariance(method: str) -> None:
    recipe = make_recipe(model={"whitening": method, "shrinkage": 0.0})
    model = build_model(recipe)
    tiles = torch.from_numpy(random_tiles(4, recipe))
    statistics = model.fit_whitening(feature_moments(model, [tiles[:1], tiles[1:]]))
    points, (rows, columns) = model.points(tiles)
    inner = points.view(4, rows, columns, -1)[:, 4:-4, 4:-4].reshape(-1, 216)
    assert statistics.n_points == len(inner)
    white = model.head.whiten(inner).detach().double().numpy()
    np.testing.assert_allclose(np.cov(white.T), np.eye(216), atol=5e-3)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-3)


def test_what_a_model_cannot_do_is_said() -> None:
    published = build_model(make_recipe("resnet18", (8, 16), model=PUBLISHED))
    with pytest.raises(InputError, match=r"model\.whiten = false"):
        published.fit_whitening(feature_moments(published, []))
    closed_form = build_model(make_recipe(training={"method": "mahalanobis"}))
    with pytest.raises(InputError, match="nothing to train"):
        _ = closed_form.glass_head
