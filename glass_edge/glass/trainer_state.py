"""What a stopped training run needs to go on: weights of the head, optimisers, epoch, constants, the choice so far.

Promises: a state file is whole or absent; loading runs no code from it; a state of another recipe (other than its
number of epochs), other images or a damaged file is refused by name. No random state is stored, because everything
random is drawn from (seed, stream, epoch, index).
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import pickle
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from glass_edge.config.recipe import Recipe
from glass_edge.errors import InputError
from glass_edge.files import write_bytes
from glass_edge.glass.selection import Candidate, Selection

STATE_NAME = "training-state.pt"
_FORMAT = 2
_FREE_KEYS = {
    "training": ("epochs", "patience", "patience_margin", "keep_epochs", "tensorboard"),  # how long, what is kept
    "data": ("folder",),  # the images themselves are compared by their fingerprint
}
_MACHINE_KEYS = ("threads", "workers", "device")
"""What computes the same numbers; another choice may change their rounding."""
_SELECTING_KEYS = ("smoothing_sigma_px", "selvedge_zone_px")
"""Of `[inspection]`: what the choice of an epoch rests on."""
_ERRORS = (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError)


@dataclass(slots=True)
class TrainingState:
    """State after an epoch.

    Attributes:
        epoch: epochs finished.
        seconds: time they took.
        spread: see `trainer_features.spread_of_adapted`; measured before the first step.
        mean: mean of the good features, see `trainer_features.GoodFeatures`.
        head: state of the head, tensors on the CPU.
        optimisers: state of both.
        figures: what was logged of this epoch, by name.
        selection: the choice among the epochs so far; None where the last epoch is the model.
    """

    epoch: int
    seconds: float
    spread: float
    mean: Tensor
    head: dict[str, Tensor]
    optimisers: dict[str, Any]
    figures: dict[str, float] = field(default_factory=dict)
    selection: Selection | None = None

    @property
    def chosen(self) -> Candidate:
        """The epoch that is the model as far as is known now."""
        if self.selection is not None:
            return self.selection.best
        return Candidate(self.epoch, math.nan, self.head, self.figures)

    @property
    def stale_epochs(self) -> int:
        """Epochs since the last one that was better than those before by more than the margin; 0 without a choice."""
        return 0 if self.selection is None else self.epoch - self.selection.mark_epoch


def recipe_digest(recipe: Recipe) -> str:
    """SHA-256 of everything in a recipe that a continued run must share with the run it continues."""
    document = recipe.model_dump(mode="json")
    for table, keys in _FREE_KEYS.items():
        for key in keys:
            document[table].pop(key)
    for key in _MACHINE_KEYS:
        document["training"].pop(key)
    if recipe.training.feature_cache != "off":
        document["training"]["feature_cache"] = (
            "on"  # where it lies does not matter, but it changes which tiles are used
        )
    inspection = document.pop("inspection")
    if recipe.training.select == "last":
        document["training"].pop("select_tiles")
    else:
        document["inspection"] = {key: inspection[key] for key in _SELECTING_KEYS}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def save_state(folder: Path, state: TrainingState, recipe: Recipe, fingerprint: str) -> None:
    """Write the state into `folder`, in place of the one before."""
    content = {
        "format": _FORMAT,
        "recipe": recipe_digest(recipe),
        "data": fingerprint,
        "epoch": state.epoch,
        "seconds": state.seconds,
        "spread": state.spread,
        "mean": state.mean,
        "head": state.head,
        "optimisers": state.optimisers,
        "figures": state.figures,
        "selection": None if state.selection is None else asdict(state.selection),
    }
    stream = io.BytesIO()  # PyTorch turns a failed write into an error of its own
    torch.save(content, stream)
    write_bytes(folder / STATE_NAME, stream.getvalue())


def load_state(folder: Path, recipe: Recipe, fingerprint: str) -> TrainingState:
    """Read the state of `folder`.

    Raises:
        InputError: there is none, or it does not belong to this recipe and these images.
    """
    path = folder / STATE_NAME
    if not path.is_file():
        raise InputError(f"{path}: no training state to continue from; train without --resume")
    try:
        content: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        if content["format"] != _FORMAT:
            raise ValueError(f"format {content['format']}, this program reads {_FORMAT}")
        state = TrainingState(**{name: content[name] for name in TrainingState.__dataclass_fields__})
        if (chosen := content["selection"]) is not None:
            state.selection = Selection(**{**chosen, "best": Candidate(**chosen["best"])})
    except _ERRORS as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path}: not a training state of this program ({reason}); train without --resume") from error
    if content["recipe"] != recipe_digest(recipe):
        raise InputError(
            f"{path}: the recipe was changed since (beyond training.epochs); train into a new folder, without --resume"
        )
    if content["data"] != fingerprint:
        raise InputError(f"{path}: the good images were changed since; train into a new folder, without --resume")
    return state
