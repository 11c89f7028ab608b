"""What a training run computes on, and with which numbers.

Promises: a device that is not there is refused before anything is read; with float32 nothing is changed. bfloat16 has
the exponents of float32, so that losses need no scaling.
"""

from __future__ import annotations

import torch

from glass_edge.config.recipe import Recipe
from glass_edge.errors import InputError


def training_device(recipe: Recipe) -> torch.device:
    """The device of `training.device`.

    Raises:
        InputError: a graphics card is asked for and PyTorch finds none, or it cannot compute with `training.precision`.
    """
    wanted, precision = recipe.training.device, recipe.training.precision
    found = torch.cuda.is_available()
    if wanted == "cuda" and not found:
        why = "finds no graphics card" if torch.version.cuda else "was built without CUDA"
        raise InputError(
            f"training.device = 'cuda': PyTorch {torch.__version__} {why}; give 'auto' or 'cpu', or install a driver "
            "and a PyTorch with CUDA"
        )
    device = torch.device("cuda" if found and wanted != "cpu" else "cpu")
    if device.type == "cuda" and precision == "bfloat16" and not torch.cuda.is_bf16_supported():
        name = torch.cuda.get_device_name(device)
        raise InputError(f"training.precision = 'bfloat16': {name} does not compute with it; give 'float32'")
    return device


def products_in(precision: str, device: torch.device) -> torch.autocast:
    """Context in which matrix products and convolutions use `precision`; 'float32' leaves them as they are."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")
