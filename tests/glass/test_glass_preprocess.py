from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

from glass_edge.errors import InputError
from glass_edge.glass.backbones import SPECS
from glass_edge.glass.preprocess import (
    TILE_GREY,
    Normalise,
    covering_size,
    foreground_mask,
    published_resize_px,
    resize_and_crop,
)


@pytest.mark.parametrize("size", [(300, 400), (401, 299), (288, 288), (100, 73)])
def test_resize_and_crop_equals_torchvision(size: tuple[int, int]) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8))
    expected = transforms.Compose([transforms.Resize(112), transforms.CenterCrop(96)])(image)
    assert np.array_equal(resize_and_crop(image, 112, 96), expected)
    with pytest.raises(InputError, match="crop 120 px is larger"):
        resize_and_crop(image, 112, 120)


def test_normalisation_equals_torchvision_for_resnets() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (2, 8, 9, 3), dtype=np.uint8)
    normalised = Normalise(SPECS["resnet18"])(torch.from_numpy(pixels))
    usual = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
    )
    assert torch.allclose(normalised, torch.stack([usual(image) for image in pixels]), atol=1e-6)


def test_grey_tiles_fill_all_three_planes() -> None:
    grey = torch.randint(0, 256, (1, 4, 4, 1), dtype=torch.uint8)
    normalise = Normalise(SPECS["tf_efficientnet_lite0"])
    assert torch.equal(normalise(grey), normalise(grey.expand(1, 4, 4, 3)))


@pytest.mark.parametrize("gain", [0.5, 0.8, 1.3])
def test_levelled_exposure_does_not_see_a_gain(gain: float) -> None:
    normalise = Normalise(SPECS["tf_efficientnet_lite0"], level_exposure=True)
    tiles = torch.rand(3, 32, 48, 1, generator=torch.Generator().manual_seed(0)) * 150 + 20
    levelled = normalise(tiles)
    assert torch.allclose(normalise(tiles * gain), levelled, atol=1e-4)
    grey = levelled * normalise.std + normalise.mean
    assert torch.allclose(grey.mean(dim=(1, 2, 3)), torch.full((3,), TILE_GREY), atol=1e-3)
    # each tile for itself
    assert torch.allclose(normalise(tiles[1:2]), levelled[1:2], atol=1e-5)
    assert normalise(torch.zeros_like(tiles)).isfinite().all()


@given(
    size=st.tuples(st.integers(1, 500), st.integers(1, 500)), target=st.tuples(st.integers(1, 300), st.integers(1, 300))
)
def test_covering_size_covers_and_touches(size: tuple[int, int], target: tuple[int, int]) -> None:
    height, width = covering_size(size, *target)
    assert height >= target[0]
    assert width >= target[1]
    assert height == target[0] or width == target[1]


def test_every_partly_covered_pixel_is_foreground() -> None:
    mask = np.zeros((64, 64), np.uint8)
    mask[30:32, 30:32] = 255
    small = foreground_mask(Image.fromarray(mask), 16, 16)
    reduced = np.asarray(Image.fromarray(mask).resize((16, 16), Image.Resampling.BILINEAR))
    assert 0 < reduced.max() < 255
    assert np.array_equal(small, reduced > 0)


def test_published_sizes() -> None:
    assert published_resize_px(288, "wood") == published_resize_px(288, "toothbrush") == 329
    assert published_resize_px(288, "carpet") == 288
