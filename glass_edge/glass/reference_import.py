"""Checkpoints of the authors' program (github.com/cqylunlun/GLASS) as models of ours.

Promises: only tensors are read, no code runs from the file; a file that does not fit the recipe is refused with the
key, the shape found and the recipe's value that would fit; the model scores as the authors' program does with the same
backbone weights.

Such a file is a dictionary of two state dicts: `pre_projection` (absent when the program ran without an adaptor) and
`discriminator`. It holds neither the backbone, nor its name, nor a size: those are the recipe's.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glass_edge.config.recipe import Recipe
from glass_edge.errors import InputError
from glass_edge.glass.backbones import repeat_reference_probe
from glass_edge.glass.model import StyleModel, build_model

PUBLISHED_SIZE_PX = 288
"""Side of the images in the authors' scripts."""
_ADAPTOR, _DISCRIMINATOR = "pre_projection", "discriminator"
_ADAPTOR_NAMES = {"layers.0fc.weight": "weight", "layers.0fc.bias": "bias"}
_DISCRIMINATOR_NAMES = {
    "body.block1.0.weight": "hidden.weight",
    "body.block1.0.bias": "hidden.bias",
    "body.block1.1.weight": "norm.weight",
    "body.block1.1.bias": "norm.bias",
    "body.block1.1.running_mean": "norm.running_mean",
    "body.block1.1.running_var": "norm.running_var",
    "tail.0.weight": "output.weight",
}
_COUNTER = "num_batches_tracked"
_OTHER_DEPTH = {
    _ADAPTOR: "an adaptor of one linear layer is read (--pre_proj 1)",
    _DISCRIMINATOR: "a discriminator of two layers is read (--dsc_layers 2)",
}
_ERRORS = (OSError, RuntimeError, EOFError, KeyError, ValueError, TypeError)


@dataclass(frozen=True, slots=True)
class ReferenceWeights:
    """Content of a file.

    Attributes:
        path: the file.
        adaptor: `weight` (d, d) and `bias` (d,); None when there is none.
        discriminator: by the names of `networks.Discriminator`.
    """

    path: Path
    adaptor: dict[str, Tensor] | None
    discriminator: dict[str, Tensor]

    @property
    def n_features(self) -> int:
        """Values a point, d."""
        return int(self.discriminator["hidden.weight"].shape[1])

    @property
    def n_hidden(self) -> int:
        """Width of the hidden layer."""
        return int(self.discriminator["hidden.weight"].shape[0])


def read_reference(path: Path) -> ReferenceWeights:
    """Read a checkpoint of the authors' program.

    Raises:
        InputError: missing, damaged, with more than tensors in it, or of another kind.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file; give ckpt.pth or ckpt_best_<epoch>.pth of the authors' program")
    try:
        content: Any = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path}: not a plain file of tensors, and nothing else is read because unpickling runs code from the file "
            f"({_first_line(error)}); where the file can be trusted, load it there and keep its tensors alone: "
            "torch.save({part: dict(state) for part, state in content.items()}, 'plain.pth')"
        ) from error
    except _ERRORS as error:
        raise InputError(f"{path}: cannot be read ({_first_line(error)}); copy the file again") from error
    if not isinstance(content, Mapping) or not isinstance(content.get(_DISCRIMINATOR), Mapping):
        found = ", ".join(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise InputError(
            f"{path}: no '{_DISCRIMINATOR}' in it, but {found[:200] or 'nothing'}; give ckpt.pth or "
            "ckpt_best_<epoch>.pth of the authors' program"
        )
    discriminator = _renamed(path, _DISCRIMINATOR, content[_DISCRIMINATOR], _DISCRIMINATOR_NAMES)
    adaptor = _renamed(path, _ADAPTOR, content[_ADAPTOR], _ADAPTOR_NAMES) if _ADAPTOR in content else None
    weights = ReferenceWeights(path, adaptor, discriminator)
    _check_shapes(weights)
    return weights


def import_reference(
    weights: ReferenceWeights, recipe: Recipe, *, probe_size_px: int = PUBLISHED_SIZE_PX
) -> StyleModel:
    """A model with these weights, in evaluation mode.

    Args:
        weights: adaptor and discriminator.
        recipe: of the model; its backbone weights must be those the authors' program ran with.
        probe_size_px: side of the images it was trained at: the backbone's statistics are altered as that program does
            when it builds its model (see `backbones.repeat_reference_probe`); 0: they stay as they are.

    Raises:
        InputError: the recipe describes another model, or the backbone's weights are missing.
    """
    problems = [*_other_method(recipe, weights), *_other_widths(recipe, weights)]
    if problems:
        raise InputError("\n".join(f"{weights.path}: {problem}" for problem in problems))
    model = build_model(recipe)
    if probe_size_px:
        repeat_reference_probe(model.backbone, probe_size_px, probe_size_px)
        model.backbone.weights_origin += f", statistics after a probe of {probe_size_px} x {probe_size_px} px"
    head = model.glass_head
    if weights.adaptor is not None:
        _fill(head.adaptor, weights.adaptor)
    _fill(head.discriminator, weights.discriminator)
    return model.eval()


def _renamed(path: Path, part: str, state: Any, names: Mapping[str, str]) -> dict[str, Tensor]:  # noqa: ANN401
    """Tensors of one part by our names, float32."""
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path}: '{part}' is no state dict; give a checkpoint of the authors' program")
    missing = [name for name in names if name not in state]
    unknown = [str(name) for name in state if name not in names and not str(name).endswith(_COUNTER)]
    if missing or unknown:
        complaints = [
            f"{title} {', '.join(f'{part}.{name}' for name in found[:4])}"
            for title, found in (("missing", missing), ("unknown", unknown))
            if found
        ]
        raise InputError(f"{path}: {'; '.join(complaints)}: {_OTHER_DEPTH[part]}")
    tensors = {ours: state[theirs].detach().float() for theirs, ours in names.items()}
    for theirs, ours in names.items():
        if not torch.isfinite(tensors[ours]).all():
            raise InputError(f"{path}: {part}.{theirs} holds values that are no numbers; take another checkpoint")
    return tensors


def _check_shapes(weights: ReferenceWeights) -> None:
    """Refuse a file whose tensors do not fit each other."""
    first = weights.discriminator["hidden.weight"]
    if first.ndim != 2:
        raise InputError(f"{weights.path}: {_DISCRIMINATOR}.body.block1.0.weight is {tuple(first.shape)}, no matrix")
    hidden, width = first.shape
    for theirs, ours in _DISCRIMINATOR_NAMES.items():
        wanted = {"hidden.weight": (hidden, width), "output.weight": (1, hidden)}.get(ours, (hidden,))
        _require_shape(weights.path, f"{_DISCRIMINATOR}.{theirs}", weights.discriminator[ours], wanted)
    for theirs, ours in _ADAPTOR_NAMES.items() if weights.adaptor is not None else ():
        wanted = (width, width) if ours == "weight" else (width,)
        _require_shape(weights.path, f"{_ADAPTOR}.{theirs}", (weights.adaptor or {})[ours], wanted)


def _require_shape(path: Path, key: str, tensor: Tensor, wanted: tuple[int, ...]) -> None:
    if tuple(tensor.shape) != wanted:
        raise InputError(
            f"{path}: {key} is {tuple(tensor.shape)}, {wanted} would fit the hidden layer; the file was put together "
            "from two models: take another checkpoint"
        )


def _other_method(recipe: Recipe, weights: ReferenceWeights) -> list[str]:
    """What a recipe has that the authors' program has not."""
    model, found = recipe.model, []
    if recipe.method != "glass":
        found.append(f"training.method = '{recipe.method}': give 'glass'")
    if recipe.backbone.name.startswith("tf_"):
        found.append(
            f"backbone.name = '{recipe.backbone.name}': the authors' program runs on ResNets; give the one it ran on, "
            "such as wide_resnet50_2"
        )
    if model.whiten:
        found.append("model.whiten = true: the authors' program does not whiten; give false")
    if model.prior != "none":
        found.append(f"model.prior = '{model.prior}': the authors' program has none; give 'none'")
    if (weights.adaptor is None) != (model.adaptor == "none"):
        has, right = ("no", "give 'none'") if weights.adaptor is None else ("a", "give 'xavier'")
        found.append(f"model.adaptor = '{model.adaptor}': the file holds {has} '{_ADAPTOR}'; {right}")
    if model.neighbours != "all":
        found.append(
            f"model.neighbours = '{model.neighbours}': the authors' program takes those of every level; give 'all'"
        )
    if recipe.tile.exposure != "camera":
        found.append(
            f"tile.exposure = '{recipe.tile.exposure}': the authors' program takes pixels as they are; give 'camera'"
        )
    if not model.level_width:
        found.append(
            "model.level_width = 0: the authors' program pools every level; give its --pretrain_embed_dimension, "
            "1536 in the published scripts"
        )
    return found


def _other_widths(recipe: Recipe, weights: ReferenceWeights) -> list[str]:
    key = f"{_DISCRIMINATOR}.body.block1.0.weight is {(weights.n_hidden, weights.n_features)}"
    found = []
    if weights.n_features != recipe.n_features:
        found.append(f"{key}: give model.width = {weights.n_features}; the recipe has {recipe.n_features}")
    if weights.n_hidden != recipe.model.hidden:
        found.append(f"{key}: give model.hidden = {weights.n_hidden}; the recipe has {recipe.model.hidden}")
    return found


def _fill(module: torch.nn.Module, tensors: Mapping[str, Tensor]) -> None:
    module.load_state_dict(module.state_dict() | dict(tensors))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
