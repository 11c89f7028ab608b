"""A style's model: camera tiles in, logits out, built from a recipe.

Promises: everything between uint8 pixels and the logit is inside; `forward` is the unfused reference every exported
graph is judged by: the published order of operations (patches, pooling, whitening, adaptor, discriminator), one after
the other. Points are ordered image, row, column.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from torch import Tensor, nn

from glass_edge.config.recipe import Recipe
from glass_edge.errors import InputError
from glass_edge.glass.backbones import Backbone, build_backbone
from glass_edge.glass.features import FeatureSpec, LinearFeatures, patch_features, to_points
from glass_edge.glass.networks import GaussianPrior, Head, Whitening, build_head
from glass_edge.glass.preprocess import Normalise
from glass_edge.glass.statistics import GoodStatistics, StreamingMoments, whitening_matrix

Grid = tuple[int, int]
"""Rows and columns of the score grid."""


class MeanSquareHead(nn.Module):
    """logit = mean square of the whitened features: the squared Mahalanobis distance divided by their number."""

    def __init__(self, n_features: int) -> None:
        super().__init__()
        self.whitening = Whitening(n_features)

    def whiten(self, points: Tensor) -> Tensor:
        """Whitened features (n, d)."""
        return cast(Tensor, self.whitening(points))

    def forward(self, points: Tensor) -> Tensor:
        """Logits (n,) of features (n, d)."""
        return self.whiten(points).square().mean(dim=1)


class StyleModel(nn.Module):
    """Normalisation, frozen backbone, features and head.

    Attributes:
        recipe: what it was built from.
        normalise, backbone, features: fixed parts.
        head: `Head` (method glass) or `MeanSquareHead` (method mahalanobis).
    """

    def __init__(
        self, recipe: Recipe, normalise: Normalise, backbone: Backbone, spec: FeatureSpec, head: Head | MeanSquareHead
    ) -> None:
        super().__init__()
        self.recipe = recipe
        self.normalise = normalise
        self.backbone = backbone
        self.features = LinearFeatures(spec)
        self.head: Head | MeanSquareHead = head

    @property
    def spec(self) -> FeatureSpec:
        """How maps become features."""
        return self.features.spec

    @property
    def n_features(self) -> int:
        """Values a point."""
        return self.spec.n_features

    @property
    def score_stride_px(self) -> int:
        """Pixels of a score cell, both ways."""
        return self.backbone.levels[0]

    @property
    def glass_head(self) -> Head:
        """The trainable head.

        Raises:
            InputError: the method is mahalanobis, which trains nothing.
        """
        if not isinstance(self.head, Head):
            raise InputError("training.method = 'mahalanobis': such a model has nothing to train; use method 'glass'")
        return self.head

    def level_maps(self, tiles: Tensor) -> list[Tensor]:
        """Backbone maps of tiles (n, height, width, channels), values 0..255 of any dtype; finest first."""
        return cast(list[Tensor], self.backbone(self.normalise(tiles)))

    @torch.no_grad()
    def points(self, tiles: Tensor) -> tuple[Tensor, Grid]:
        """Features of tiles, not whitened, without gradient.

        Args:
            tiles: (n, height, width, channels), values 0..255 of any dtype.

        Returns:
            float32 (n * rows * columns, n_features), and (rows, columns).
        """
        return self.points_of_images(self.normalise(tiles))

    @torch.no_grad()
    def points_of_images(self, images: Tensor) -> tuple[Tensor, Grid]:
        """Like `points`, for images that are already normalised, (n, 3, height, width)."""
        values = cast(Tensor, self.features(self.backbone(images)))
        return to_points(values), (int(values.shape[-2]), int(values.shape[-1]))

    def forward(self, tiles: Tensor) -> Tensor:
        """Logits (n, rows, columns) of tiles (n, height, width, channels), values 0..255 of any dtype."""
        values = patch_features(self.level_maps(tiles), self.spec)
        count, _, rows, columns = values.shape
        return cast(Tensor, self.head(to_points(values))).view(count, rows, columns)

    def fit_whitening(self, moments: StreamingMoments) -> GoodStatistics:
        """Set the whitening from the moments of good cloth's features; returns the (shrunk) statistics.

        Raises:
            InputError: the recipe does not whiten, or the covariance cannot be inverted.
        """
        whitening = self.head.whitening
        if whitening is None:
            raise InputError("model.whiten = false: this model has no whitening; give whiten = true")
        statistics = GoodStatistics.from_moments(moments, self.recipe.model.shrinkage)
        whitening.assign(statistics.mean, whitening_matrix(statistics.covariance, self.recipe.model.whitening))
        return statistics


def build_model(recipe: Recipe, *, weights: str | Path | None = None) -> StyleModel:
    """A model with its initial values, in evaluation mode; they depend on the recipe's seed alone.

    Args:
        recipe: what is built.
        weights: of the backbone, instead of the recipe's.

    Raises:
        InputError: weights are missing or of another network.
    """
    settings = recipe.backbone
    backbone = build_backbone(settings.name, settings.levels, weights or settings.weights, recipe.seed)
    spec = FeatureSpec(
        backbone.channels,
        recipe.model.level_width or None,
        recipe.model.width or None,
        finest_only=recipe.model.neighbours == "finest",
    )
    normalise = Normalise(backbone.spec, level_exposure=recipe.tile.exposure == "tile")
    model = StyleModel(recipe, normalise, backbone, spec, _build_head(recipe, spec.n_features))
    return model.eval()


def _build_head(recipe: Recipe, n_features: int) -> Head | MeanSquareHead:
    if recipe.method == "mahalanobis":
        return MeanSquareHead(n_features)
    settings = recipe.model
    prior = None
    if settings.prior != "none":
        prior = GaussianPrior(
            settings.prior_alpha, settings.prior_beta, learnable=settings.prior_learnable, source=settings.prior
        )
    return build_head(
        n_features,
        settings.hidden,
        recipe.seed,
        whitened=settings.whiten,
        prior=prior,
        adaptor=settings.adaptor,
        zero_output=prior is not None,
    )
