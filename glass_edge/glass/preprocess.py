"""From uint8 RGB pixels to the numbers a backbone takes.

Promises: `Normalise` is all the arithmetic between a camera's tile and the backbone, so the exported graph and training
agree; `resize_and_crop` is the geometry of the published experiments, for reproducing them (cloth is cut into tiles
and never resized).
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from glass_edge.errors import InputError
from glass_edge.glass.backbones import BackboneSpec

TILE_GREY = 100.0
"""Mean grey (of 255) that tiles are scaled to under exposure 'tile'."""


class Normalise(nn.Module):
    """(x - mean) / std of NHWC tiles, as NCHW.

    Buffers `mean` and `std` have shape (1, 3, 1, 1), units of 0..255.

    Args:
        spec: mean and std.
        level_exposure: scale every tile first so that the mean of its values is `TILE_GREY`: lamps age and shutters
            are readjusted, and a change of brightness alone is no defect.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, spec: BackboneSpec, *, level_exposure: bool = False) -> None:
        super().__init__()
        self.level_exposure = level_exposure
        self.register_buffer("mean", torch.tensor(spec.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(spec.std).view(1, 3, 1, 1))

    def forward(self, tiles: Tensor) -> Tensor:
        """Map tiles (n, h, w, 1 or 3) of 0..255, any dtype, to float32 (n, 3, h, w); grey fills all three."""
        planes = tiles.permute(0, 3, 1, 2).to(self.mean.dtype)
        if self.level_exposure:
            # a black tile stays black
            planes = planes * (TILE_GREY / planes.mean(dim=(1, 2, 3), keepdim=True).clamp(min=1.0))
        return (planes - self.mean) / self.std


def covering_size(size_px: tuple[int, int], height_px: int, width_px: int) -> tuple[int, int]:
    """Smallest (height, width) with the aspect of `size_px` (height, width) that covers height_px x width_px.

    For a square target this is "shorter side to height_px".
    """
    height, width = size_px
    if height_px * width >= width_px * height:
        return height_px, max(width_px, int(height_px * width / height))
    return max(height_px, int(width_px * height / width)), width_px


def resize_and_crop(image: Image.Image, resize_px: int, crop_px: int) -> Image.Image:
    """Shorter side to `resize_px` (bilinear, antialiased), then the central `crop_px` square.

    Raises:
        InputError: the crop is larger than the resized image.
    """
    if crop_px > resize_px:
        raise InputError(f"crop {crop_px} px is larger than the shorter side {resize_px} px; crop at most that")
    height, width = covering_size((image.height, image.width), resize_px, resize_px)
    return centre_crop(image.resize((width, height), Image.Resampling.BILINEAR), crop_px, crop_px)


def centre_crop(image: Image.Image, height_px: int, width_px: int) -> Image.Image:
    """The central height_px x width_px of an image at least that large."""
    left = round((image.width - width_px) / 2)
    top = round((image.height - height_px) / 2)
    return image.crop((left, top, left + width_px, top + height_px))


def foreground_mask(image: Image.Image, resize_px: int, crop_px: int) -> NDArray[np.bool_]:
    """Foreground of a mask image after resize and crop: every partly covered pixel counts; bool (crop_px, crop_px)."""
    mask = np.asarray(resize_and_crop(image.convert("L"), resize_px, crop_px))
    return mask > 0


def published_resize_px(crop_px: int, dataset_class: str) -> int:
    """Resize of the published runs: the crop size, but 329/288 of it for MVTec `wood` and `toothbrush`."""
    return math.floor(crop_px * 329 / 288 + 0.5) if dataset_class in {"wood", "toothbrush"} else crop_px
