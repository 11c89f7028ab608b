"""Deterministic weights the golden arrays were recorded with, and the names they carry there."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import Tensor, nn

from glass_edge.glass.backbone_weights import assign_tensors
from glass_edge.glass.backbones import Backbone, build_backbone
from glass_edge.glass.networks import Head, build_head

GOLDEN = Path(__file__).parents[1] / "golden"
SEEDS = {"resnet18": (100, 0.25), "wide_resnet50_2": (200, 0.02)}
ADAPTOR_NAMES = {"weight": "layers.0fc.weight", "bias": "layers.0fc.bias"}
DISCRIMINATOR_NAMES = {
    "hidden.weight": "body.block1.0.weight",
    "hidden.bias": "body.block1.0.bias",
    "norm.weight": "body.block1.1.weight",
    "norm.bias": "body.block1.1.bias",
    "norm.running_mean": "body.block1.1.running_mean",
    "norm.running_var": "body.block1.1.running_var",
    "output.weight": "tail.0.weight",
}


def arrays(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as stored:
        return dict(stored)


def complete_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Shapes of torchvision's complete network."""
    with torch.device("meta"):
        network = torchvision.models.get_model(name)
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def drawn_in_order(shapes: Mapping[str, tuple[int, ...]], seed: int) -> dict[str, Tensor]:
    """First recipe: one stream for all tensors in sorted order; nothing behind layer3 is needed, and it comes last."""
    random = np.random.RandomState(seed)
    result = {}
    for name in sorted(shapes):
        if name.endswith("num_batches_tracked"):
            continue
        if name.startswith("layer4"):
            break
        shape = shapes[name]
        n = random.standard_normal(shape)
        if name.endswith("running_var"):
            value = 1 + 0.1 * np.abs(n)
        elif name.endswith(("running_mean", "bias")):
            value = 0.1 * n
        elif len(shape) == 1:
            value = 1 + 0.1 * n
        else:
            value = n * np.sqrt(2 / np.prod(shape[1:]))
        result[name] = torch.from_numpy(value.astype(np.float32))
    return result


def drawn_by_name(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> dict[str, Tensor]:
    """Second recipe: each tensor has a stream of its own, seeded by its name."""
    result = {}
    for name, shape in shapes.items():
        if name.endswith("num_batches_tracked"):
            continue
        full = f"{prefix}.{name}"
        n = np.random.RandomState(zlib.crc32(full.encode())).standard_normal(shape)
        if name.endswith("running_var"):
            value = np.exp(0.2 * n)
        elif name.endswith(("running_mean", "bias")):
            value = 0.1 * n
        elif len(shape) == 1:
            value = 0.7 + 0.1 * n
        elif len(shape) == 4:
            value = n * np.sqrt(2 / np.prod(shape[1:]))
        else:
            value = n * np.sqrt(1 / shape[1]) * (3 if "tail." in full else 1)
        result[name] = torch.from_numpy(value.astype(np.float32))
    return result


@lru_cache(maxsize=2)
def _unfilled(name: str) -> Backbone:
    return build_backbone(name, (8, 16), "random")


def ordered_backbone(name: str) -> Backbone:
    backbone = _unfilled(name)
    shapes = complete_shapes(name)
    assign_tensors(backbone.body, drawn_in_order(shapes, SEEDS[name][0]), shapes.keys(), "first recipe")
    return backbone


def named_backbone(name: str) -> Backbone:
    backbone = _unfilled(name)
    shapes = {key: tuple(value.shape) for key, value in backbone.body.state_dict().items()}
    assign_tensors(backbone.body, drawn_by_name(shapes, name), (), "second recipe")
    return backbone


def reference_shapes(module: nn.Module, names: Mapping[str, str]) -> dict[str, tuple[int, ...]]:
    state = module.state_dict()
    return {theirs: tuple(state[ours].shape) for ours, theirs in names.items()}


def fill(module: nn.Module, names: Mapping[str, str], tensors: Mapping[str, Tensor]) -> None:
    state = module.state_dict()
    module.load_state_dict(state | {ours: tensors[theirs] for ours, theirs in names.items()})


def ordered_head(seed: int, tail_scale: float, width: int = 1536, hidden: int = 1024) -> Head:
    head = build_head(width, hidden, seed=0)
    fill(head.adaptor, ADAPTOR_NAMES, drawn_in_order(reference_shapes(head.adaptor, ADAPTOR_NAMES), seed + 1))
    tensors = drawn_in_order(reference_shapes(head.discriminator, DISCRIMINATOR_NAMES), seed + 2)
    tensors["tail.0.weight"] *= tail_scale
    fill(head.discriminator, DISCRIMINATOR_NAMES, tensors)
    return head


def named_head(width: int = 1536, hidden: int = 1024) -> Head:
    head = build_head(width, hidden, seed=0)
    adaptor = drawn_by_name(reference_shapes(head.adaptor, ADAPTOR_NAMES), "pre_projection")
    fill(head.adaptor, ADAPTOR_NAMES, adaptor)
    discriminator = drawn_by_name(reference_shapes(head.discriminator, DISCRIMINATOR_NAMES), "discriminator")
    fill(head.discriminator, DISCRIMINATOR_NAMES, discriminator)
    return head


def close(actual: Tensor | np.ndarray, golden: np.ndarray, *, of_max: float = 0.0, absolute: float = 0.0) -> None:
    """Assert equal shapes and a largest difference of `of_max` times the golden maximum plus `absolute`."""
    values = actual.detach().numpy() if isinstance(actual, Tensor) else actual
    assert values.shape == golden.shape
    difference = np.max(np.abs(values.astype(np.float64) - golden), initial=0)
    assert difference <= of_max * np.max(np.abs(golden), initial=0) + absolute, f"largest difference {difference}"
