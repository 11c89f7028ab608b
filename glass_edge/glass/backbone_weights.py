"""Backbone weights from a file.

Promises: only tensors are read (no code runs from a checkpoint); a file that does not fit the network is refused with
its name, the keys that are missing, unknown or of another shape, and what would be right.
"""

from __future__ import annotations

import pickle
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from glass_edge.errors import InputError
from glass_edge.glass.weights_kind import weights_kind

_SUFFIXES = (".pth", ".pt", ".safetensors")
_WRAPPERS = ("state_dict", "model_state_dict", "model")
_COUNTER = "num_batches_tracked"


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Tensors by name of a `.pth`, `.pt` (state dict, also inside 'state_dict' or 'model') or `.safetensors` file.

    Raises:
        InputError: missing, unreadable, of another kind, or without tensors.
    """
    if path.suffix not in _SUFFIXES:
        raise InputError(f"{path}: weights end in {', '.join(_SUFFIXES)}")
    if not path.is_file():
        raise InputError(f"{path}: no such weights file")
    try:
        content: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except (OSError, RuntimeError, EOFError, KeyError, ValueError, pickle.UnpicklingError, SafetensorError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{path}: cannot be read as weights ({reason}); give a file with a plain state dict"
        ) from error
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
            break
    tensors = (
        {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
        if isinstance(content, Mapping)
        else {}
    )
    if not tensors:
        raise InputError(f"{path}: holds no tensors by name; give a file with a plain state dict")
    return {name.removeprefix("module."): value for name, value in tensors.items()}


def assign_tensors(network: nn.Module, tensors: Mapping[str, Tensor], unused: Collection[str], source: str) -> None:
    """Load `tensors` into `network` (which may be a truncated one).

    Args:
        network: what is filled; every parameter and statistic of it must be in `tensors`.
        tensors: by the names of `network`.
        unused: further names that the complete architecture has and that are allowed to be there.
        source: names the file in errors.

    Raises:
        InputError: keys missing, unknown or of another shape.
    """
    wanted = network.state_dict()
    missing = [name for name in wanted if name not in tensors and not name.endswith(_COUNTER)]
    unknown = [name for name in tensors if name not in wanted and name not in unused and not name.endswith(_COUNTER)]
    misshapen = [
        f"{name} {tuple(tensors[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in wanted.items()
        if name in tensors and tensors[name].shape != tensor.shape
    ]
    if missing or unknown or misshapen:
        problems = [
            f"{title}: {_some(names)}"
            for title, names in (("missing keys", missing), ("unknown keys", unknown), ("other shapes", misshapen))
            if names
        ]
        kind = weights_kind(tensors)
        holds = f"it holds {kind}; " if kind else ""
        raise InputError(f"{source}: not the weights of this network; {holds}" + "; ".join(problems))
    network.load_state_dict({name: tensors.get(name, tensor) for name, tensor in wanted.items()})


def _some(names: Sequence[str], limit: int = 4) -> str:
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
