from __future__ import annotations

import copy

import pytest
import torch

from glass_edge.glass.backbones import build_backbone
from glass_edge.glass.quick_backbone import quick_backbone


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "tf_efficientnet_lite1"])
def test_maps_are_the_same_but_for_rounding(name: str) -> None:
    torch.set_num_threads(1)
    backbone = build_backbone(name, (4, 8, 16), "package")
    before = copy.deepcopy(backbone.body.state_dict())
    quick = quick_backbone(backbone)
    images = torch.rand(2, 3, 96, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        for own, expected in zip(quick(images), backbone(images), strict=True):
            assert own.shape == expected.shape
            assert float((own - expected).abs().max()) < 1e-5 * float(expected.abs().max())
    assert not any(isinstance(part, torch.nn.BatchNorm2d) for part in quick.body.modules())
    after = backbone.body.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[key]) for key, value in before.items())
    assert not any(parameter.requires_grad for parameter in quick.parameters())


def test_other_backbones_stay_themselves() -> None:
    backbone = build_backbone("resnet18", (8,), "random")
    assert quick_backbone(backbone) is backbone
