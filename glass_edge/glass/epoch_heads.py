"""Heads of single epochs in a run folder, so that the choice among them can be judged afterwards.

Promises: a file is whole or absent, and belongs to this run: those of another recipe or other images are refused by
name; loading runs no code from it. What all epochs share (backbone, whitening) is in the checkpoint alone.

Layout: `epochs/<n>.pt`. Test labels may show what another choice would have given; they never make it.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import torch

from glass_edge.config.recipe import Recipe
from glass_edge.errors import InputError
from glass_edge.files import make_folder, write_bytes
from glass_edge.glass.checkpoint import load_info
from glass_edge.glass.model import StyleModel
from glass_edge.glass.trainer_state import TrainingState, recipe_digest

EPOCHS_FOLDER = "epochs"
MOST_BYTES = 512 << 20
"""Heads of all epochs together take about so much of the disk at most."""
_FORMAT = 1
_SHARED = "whitening."
_ERRORS = (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError)


def keep_epoch(run_folder: Path, state: TrainingState, recipe: Recipe, fingerprint: str) -> None:
    """Write the head of the epoch just finished, if it is one of those that are kept.

    Raises:
        OSError: it cannot be written.
    """
    head = {name: tensor for name, tensor in state.head.items() if not name.startswith(_SHARED)}
    content = {
        "format": _FORMAT,
        "epoch": state.epoch,
        "recipe": recipe_digest(recipe),
        "data": fingerprint,
        "head": head,
    }
    stream = io.BytesIO()
    torch.save(content, stream)
    most = min(recipe.training.keep_epochs, MOST_BYTES // stream.tell())
    if not is_kept(state.epoch, recipe.training.epochs, most):
        return
    write_bytes(make_folder(run_folder / EPOCHS_FOLDER) / f"{state.epoch}.pt", stream.getvalue())


def is_kept(epoch: int, epochs: int, most: int) -> bool:
    """Whether `epoch` is one of at most `most` of `epochs`, evenly spread, with the last one; 0 is kept besides."""
    if not most:
        return False
    interval = -(-epochs // most)
    return epoch == 0 or (epochs - epoch) % interval == 0


def kept_epochs(run_folder: Path) -> list[int]:
    """Epochs whose heads are there, ascending."""
    return sorted(int(path.stem) for path in (run_folder / EPOCHS_FOLDER).glob("*.pt") if path.stem.isdigit())


def load_epoch(run_folder: Path, model: StyleModel, epoch: int) -> None:
    """Give `model` the head of an epoch.

    Args:
        run_folder: of the run.
        model: from `load_checkpoint(run_folder)`; changed in place.
        epoch: one of `kept_epochs`.

    Raises:
        InputError: the file is missing, damaged, or of another run than the checkpoint.
    """
    path = run_folder / EPOCHS_FOLDER / f"{epoch}.pt"
    if not path.is_file():
        raise InputError(f"{path}: missing; kept are the epochs {kept_epochs(run_folder) or 'none'}")
    info = load_info(run_folder)[1]
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] != _FORMAT or content["epoch"] != epoch:
            raise ValueError(f"format {content['format']}, epoch {content['epoch']}")
        is_ours = (content["recipe"], content["data"]) == (info.recipe_sha256, info.training_data_sha256)
    except _ERRORS as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: not the head of epoch {epoch} ({reason}); remove it, or train again") from error
    if not is_ours:
        raise InputError(f"{path}: of another run than the checkpoint beside it; remove it")
    shared = {name: tensor for name, tensor in model.glass_head.state_dict().items() if name.startswith(_SHARED)}
    try:
        model.glass_head.load_state_dict(content["head"] | shared)
    except RuntimeError as error:
        raise InputError(f"{path}: does not fit the model of the checkpoint ({error}); remove it") from error
