"""What a weights file holds, told from the names and shapes of its tensors, for messages.

Promises: a name is given only where the shapes leave no doubt; nothing is loaded or built.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

_RESNET_BLOCKS = {
    (False, 2): "resnet18",
    (False, 6): "resnet34",
    (True, 6): "resnet50",
    (True, 23): "resnet101",
    (True, 36): "resnet152",
}
"""By whether the blocks are bottlenecks, and the blocks of layer3."""
_PLAIN, _WIDE = 64, 128
_LITE_BLOCKS = {16: "tf_efficientnet_lite0", 21: "tf_efficientnet_lite1"}


def weights_kind(tensors: Mapping[str, Tensor]) -> str | None:
    """The network `tensors` (by name, as in a state dict) belong to; None when it is not known."""
    if any(name.startswith("pre_projection.") for name in tensors) or "pre_projection" in tensors:
        return "adaptor and discriminator of the authors' GLASS program (see 'glass-edge import-reference')"
    if "conv1.weight" in tensors and "layer1.0.conv2.weight" in tensors:
        return _resnet(tensors)
    if "conv_stem.weight" in tensors:
        blocks = {tuple(name.split(".")[1:3]) for name in tensors if name.startswith("blocks.")}
        return _LITE_BLOCKS.get(len(blocks), "another EfficientNet")
    return None


def _resnet(tensors: Mapping[str, Tensor]) -> str | None:
    blocks = {name.split(".")[1] for name in tensors if name.startswith("layer3.")}
    is_bottleneck = "layer1.0.conv3.weight" in tensors
    name = _RESNET_BLOCKS.get((is_bottleneck, len(blocks)))
    inner = tensors["layer1.0.conv2.weight"]
    groups_width, width = int(inner.shape[1]), int(inner.shape[0])
    if name is None or groups_width != width or width not in (_PLAIN, _WIDE):
        return "another ResNet"
    return f"wide_{name}_2" if width == _WIDE else name
