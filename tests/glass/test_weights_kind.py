"""A weights file is told by its tensors, for every network that timm builds under these names."""

from __future__ import annotations

import pytest
import timm
import torch

from glass_edge.config.recipe_backbone import CHANNELS
from glass_edge.glass.weights_kind import weights_kind


def tensors(name: str) -> dict[str, torch.Tensor]:
    with torch.device("meta"):
        return dict(timm.create_model(name, pretrained=False).state_dict())


@pytest.mark.parametrize("name", [*CHANNELS, "resnet34", "resnet152"])
def test_networks_are_known_by_their_tensors(name: str) -> None:
    assert weights_kind(tensors(name)) == name


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("resnext50_32x4d", "another ResNet"),
        ("resnet26", "another ResNet"),
        ("efficientnet_b3", "another EfficientNet"),
    ],
)
def test_relatives_are_not_mistaken(name: str, kind: str) -> None:
    assert weights_kind(tensors(name)) == kind


def test_what_is_no_backbone() -> None:
    one = torch.zeros(1)
    assert weights_kind({"discriminator.body.weight": one, "pre_projection.layers.weight": one}) is not None
    assert weights_kind({"encoder.weight": one}) is None
    assert weights_kind(tensors("vgg11")) is None
