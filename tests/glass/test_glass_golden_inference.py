"""From pixels to score map against recordings of the authors' program, both sets."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from golden_weights import (
    SEEDS,
    arrays,
    close,
    complete_shapes,
    drawn_in_order,
    named_backbone,
    named_head,
    ordered_backbone,
    ordered_head,
)
from torch import Tensor
from torch.nn import functional as F

from glass_edge.glass.backbones import Backbone, repeat_reference_probe
from glass_edge.glass.features import FeatureSpec, LinearFeatures, level_features, patch_features, to_points
from glass_edge.glass.networks import Head
from glass_edge.glass.preprocess import Normalise
from glass_edge.glass.score_map import image_scores, score_map


class Pass:
    """All intermediate values of one forward pass."""

    def __init__(self, backbone: Backbone, head: Head, images: np.ndarray) -> None:
        spec = FeatureSpec(backbone.channels, 1536, 1536)
        head.eval()
        with torch.no_grad():
            self.input: Tensor = Normalise(backbone.spec)(torch.from_numpy(images))
            self.levels: list[Tensor] = backbone(self.input)
            self.per_level = torch.stack([to_points(part) for part in level_features(self.levels, spec)], dim=1)
            feature_map = patch_features(self.levels, spec)
            self.features = to_points(feature_map)
            self.linear_features = to_points(LinearFeatures(spec)(self.levels))
            self.adapted: Tensor = head.adaptor(self.features)
            self.hidden = head.discriminator.hidden_activations(self.adapted)
            count, _, rows, columns = feature_map.shape
            self.logits: Tensor = head(self.features).view(count, rows, columns)
            self.linear_logits: Tensor = head(self.linear_features).view(count, rows, columns)
        self.map = score_map(self.logits, images.shape[1:3])
        self.image_scores = image_scores(self.logits)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("inference_resnet18", "resnet18"),
        ("inference_resnet18_72x104", "resnet18"),
        ("inference_wide_resnet50_2", "wide_resnet50_2"),
    ],
)
def test_first_set(file: str, name: str) -> None:
    golden = arrays(file)
    backbone = ordered_backbone(name)
    run = Pass(backbone, ordered_head(*SEEDS[name]), golden["image_uint8"])
    close(run.input[..., ::4, ::4], golden["input"], of_max=1e-6)
    for level, key, grid in zip(run.levels, ("layer2", "layer3"), ("grid2", "grid3"), strict=True):
        assert list(level.shape) == list(golden[grid])
        close(level[:, ::4], golden[key], of_max=1e-5)
    close(run.per_level[..., ::13], golden["level_pooled"], of_max=1e-5)
    close(run.features[:, ::7], golden["pooled"], of_max=1e-5)
    close(run.adapted[:, ::7], golden["adapted"], of_max=1e-5)
    close(F.leaky_relu(run.hidden, 0.2)[:, ::7], golden["hidden"], of_max=1e-5)
    close(run.logits, golden["logits"], absolute=5e-5)
    close(run.logits.sigmoid(), golden["scores"], absolute=1e-5)
    close(run.map, golden["map_smoothed"], absolute=1e-5)
    close(run.image_scores, golden["image_scores"], absolute=1e-5)
    close(run.linear_features[:, ::7], golden["pooled"], of_max=1e-5)
    close(run.linear_logits, golden["logits"], absolute=5e-5)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resnet18", ""),
        ("resnet18", "_72x72"),
        ("resnet18", "_64x96"),
        ("resnet18", "_288x288"),
        ("wide_resnet50_2", ""),
        ("wide_resnet50_2", "_96x96"),
    ],
)
def test_second_set(name: str, size: str) -> None:
    golden = arrays(f"traces/forward_{name}{size}")
    run = Pass(named_backbone(name), named_head(), golden["image_u8"])
    if not size:
        close(run.input, golden["input"], absolute=1e-6)
        close(run.levels[0], golden["layer2"], absolute=5e-5)
        close(run.levels[1], golden["layer3"], absolute=5e-5)
        close(run.features[: len(golden["features"])], golden["features"], absolute=5e-5)
        close(run.adapted[:64], golden["adapted"], absolute=5e-5)
        close(run.hidden[:64], golden["hidden"], absolute=5e-5)
        close(run.logits.sigmoid(), golden["probabilities"], absolute=1e-5)
    close(run.logits, golden["logits"], absolute=5e-5)
    close(run.linear_logits, golden["logits"], absolute=5e-5)
    close(run.map, golden["score_map"], absolute=1e-5)
    close(run.image_scores, golden["image_score"], absolute=1e-5)


def test_probe_of_the_reference_moves_the_statistics_as_recorded() -> None:
    golden = arrays("bn_stats_after_reference_init_resnet18")
    backbone = ordered_backbone("resnet18")
    repeat_reference_probe(backbone, 96, 96)
    state = backbone.body.state_dict()
    for name in ("bn1", "layer2.0.bn1", "layer3.1.bn2"):
        for statistic in ("running_mean", "running_var"):
            close(state[f"{name}.{statistic}"], golden[f"{name.replace('.', '_')}_{statistic}"], of_max=1e-5)
    images = torch.from_numpy(arrays("inference_resnet18")["image_uint8"])
    with torch.no_grad():
        level2 = backbone(Normalise(backbone.spec)(images))[0]
    close(level2[:, ::4], golden["layer2"], of_max=1e-5)
    assert not any(module.training for module in backbone.modules())


def test_weight_recipe_gives_the_stated_numbers() -> None:
    tensors = drawn_in_order(complete_shapes("resnet18"), 100)
    close(tensors["conv1.weight"].flatten()[:2], np.array([0.2682039, -0.1095975]), absolute=1e-6)
    close(tensors["layer3.1.bn2.running_var"][:2], np.array([1.0665517, 1.0230244]), absolute=1e-6)
