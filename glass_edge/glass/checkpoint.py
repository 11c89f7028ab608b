"""Checkpoints: a trained model that stands on its own.

Promises: `checkpoint.json` appears last and names the other files by their SHA-256, so that a crash at any moment
leaves the checkpoint before or the new one, never a mixture; it holds every weight, the cut backbone's too, so no
other file is needed to score with it. What was changed, cut off or made for another architecture is refused by name.
Nothing in it depends on the time or the machine's clock: the same training gives the same files, byte by byte.

Layout of a checkpoint folder: `checkpoint.json`, `weights-<hash>.safetensors`, and `golden-<hash>.npz` with tiles of
held-out good cloth. A run folder holds it under `checkpoint/`.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor

from glass_edge import __version__
from glass_edge.config.base import Settings, describe
from glass_edge.config.recipe import Recipe
from glass_edge.errors import InputError
from glass_edge.files import make_folder, remove_temporaries, write_bytes, write_json
from glass_edge.glass.backbone_weights import assign_tensors
from glass_edge.glass.model import StyleModel, build_model

FORMAT_VERSION: Literal[2] = 2
CHECKPOINT_FOLDER = "checkpoint"
CHECKPOINT_NAME = "checkpoint.json"
_SHA256 = r"^[0-9a-f]{64}$"
_MEND = "take the file from a backup, or train the style again"
Reference = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class CheckpointInfo(Settings):
    """What is known of a checkpoint besides its weights."""

    epoch: int = Field(ge=0)
    """Epoch of the weights: epochs of training behind them."""
    training_data_sha256: str = Field(pattern=_SHA256)
    """Fingerprint of the training images (hash of their names and hashes)."""
    holdout: tuple[str, ...] = ()
    """Good images kept for the threshold, relative to the data folder, '/' between folders."""
    n_training_images: int = Field(default=0, ge=0)
    """Images that were trained on."""
    skipped: tuple[str, ...] = ()
    """Images that could not be read and were left out."""
    metrics: dict[str, float] = Field(default_factory=dict)
    """Figures of that epoch, by name."""
    threshold: dict[str, float | int | str] = Field(default_factory=dict)
    """A threshold found while training and what it rests on, for the record; a bundle gets its own."""
    recipe_sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    """What the run's recipe must share with runs that continue it, see `trainer_state.recipe_digest`; empty: not
    trained by epochs."""
    selection: tuple[str, ...] = ()
    """Good images that chose the epoch; they were neither trained on nor may they give the threshold."""


class _StoredFile(Settings):
    """A file beside `checkpoint.json`."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    sha256: str = Field(pattern=_SHA256)


class _Document(Settings):
    """`checkpoint.json` without its own hash."""

    format_version: Literal[2]
    glass_edge_version: str
    backbone_weights: str
    """Where the backbone's weights came from."""
    recipe: Recipe
    info: CheckpointInfo
    weights: _StoredFile
    golden_tiles: _StoredFile | None = None


def save_checkpoint(
    folder: Path,
    model: StyleModel,
    recipe: Recipe,
    info: CheckpointInfo,
    golden_tiles: NDArray[np.uint8] | None = None,
) -> None:
    """Write a checkpoint into `folder`, in place of the one that is there.

    Args:
        folder: the checkpoint folder itself; made when missing.
        model: all its weights are stored.
        recipe: what `model` was built from.
        info: for the record and for `glass-edge build`.
        golden_tiles: uint8 (n, height, width, channels) of held-out good cloth, on which engines are judged when the
            data are not at hand; None keeps those of the checkpoint that is replaced, if it is of the same images.

    Raises:
        InputError: the folder cannot be written. ValueError: tiles of another shape than the recipe's.
    """
    remove_temporaries(make_folder(folder))
    previous = _try_read(folder)
    weights = save_tensors(
        {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()},
        metadata={"format": "pt"},
    )
    stored_weights = _store(folder, "weights", "safetensors", weights)
    if golden_tiles is not None:
        stored_golden: _StoredFile | None = _store(folder, "golden", "npz", _tiles_to_bytes(golden_tiles, recipe))
    else:
        is_same_data = previous is not None and previous.info.training_data_sha256 == info.training_data_sha256
        is_same_tile = previous is not None and previous.recipe.tile == recipe.tile
        stored_golden = previous.golden_tiles if previous is not None and is_same_data and is_same_tile else None
    document = _Document(
        format_version=FORMAT_VERSION,
        glass_edge_version=__version__,
        backbone_weights=model.backbone.weights_origin,
        recipe=recipe,
        info=info,
        weights=stored_weights,
        golden_tiles=stored_golden,
    ).model_dump(mode="json")
    write_json(folder / CHECKPOINT_NAME, document | {"sha256": _digest(document)})
    kept = {stored_weights.name, stored_golden.name if stored_golden else ""}
    for path in (*folder.glob("weights-*.safetensors"), *folder.glob("golden-*.npz")):
        if path.name not in kept:
            path.unlink(missing_ok=True)


def load_checkpoint(path: Path) -> tuple[StyleModel, Recipe, CheckpointInfo]:
    """Load the model of a run folder or a checkpoint folder, in evaluation mode.

    Raises:
        InputError: nothing there, or anything in it is missing, changed, cut off or of another architecture.
    """
    folder = checkpoint_folder(path)
    document = _read_document(folder)
    file, data = _read_stored(folder, document.weights)
    try:
        tensors: dict[str, Tensor] = load_tensors(data)
    except (SafetensorError, ValueError) as error:
        raise InputError(f"{file}: cannot be read as safetensors ({error}); {_MEND}") from error
    model = build_model(document.recipe, weights="random")
    assign_tensors(model, tensors, (), f"{file} as the model of the recipe in {CHECKPOINT_NAME}")
    model.backbone.weights_origin = document.backbone_weights
    return model.eval(), document.recipe, document.info


def load_info(path: Path) -> tuple[Recipe, CheckpointInfo]:
    """What a run folder's or checkpoint folder's model was built from, without its weights.

    Raises:
        InputError: nothing there, or changed.
    """
    document = _read_document(checkpoint_folder(path))
    return document.recipe, document.info


def load_golden_tiles(path: Path) -> NDArray[np.uint8] | None:
    """Tiles stored with a checkpoint, uint8 (n, height, width, channels); None when there are none.

    Raises:
        InputError: they are missing, changed or of another shape.
    """
    folder = checkpoint_folder(path)
    document = _read_document(folder)
    if document.golden_tiles is None:
        return None
    file, data = _read_stored(folder, document.golden_tiles)
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            tiles: NDArray[Any] = arrays["tiles"]
        _require_tiles(tiles, document.recipe)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{file}: not the tiles of this checkpoint ({error}); {_MEND}") from error
    return tiles


def load_reference(path: Path) -> Reference:
    """The unfused PyTorch path of a checkpoint as a function, for comparing engines with it.

    Returns:
        Function of uint8 (n, height, width, channels) to float32 logits (n, rows, columns).

    Raises:
        InputError: as `load_checkpoint`.
    """
    model, _, _ = load_checkpoint(path)
    return as_reference(model)


def as_reference(model: StyleModel) -> Reference:
    """`model.forward` of arrays, without gradient."""

    @torch.inference_mode()
    def score(tiles: NDArray[np.uint8]) -> NDArray[np.float32]:
        logits: Tensor = model(torch.from_numpy(np.ascontiguousarray(tiles)))
        return np.asarray(logits.numpy(), np.float32)

    return score


def portable_files(path: Path) -> dict[str, bytes | Path]:
    """The checkpoint at `path` for taking along in a bundle: content or file by name.

    Equal to the original but for the folders of the training machine, which are left out of the recipe.
    """
    folder = checkpoint_folder(path)
    document = _read_document(folder)
    stored = [document.weights, *([document.golden_tiles] if document.golden_tiles else [])]
    recipe = _without_folders(document.recipe)
    portable = document.model_copy(update={"recipe": recipe}).model_dump(mode="json")
    text = json.dumps(portable | {"sha256": _digest(portable)}, indent=2, sort_keys=True, allow_nan=False)
    return {CHECKPOINT_NAME: f"{text}\n".encode(), **{one.name: folder / one.name for one in stored}}


def checkpoint_folder(path: Path) -> Path:
    """The checkpoint folder `path` names: itself, or `checkpoint/` of a run folder.

    Raises:
        InputError: there is none.
    """
    for folder in (path, path / CHECKPOINT_FOLDER):
        if (folder / CHECKPOINT_NAME).is_file():
            return folder
    raise InputError(
        f"{path}: no {CHECKPOINT_NAME} here or in {CHECKPOINT_FOLDER}/; give the folder that 'glass-edge train' made"
    )


def _without_folders(recipe: Recipe) -> Recipe:
    data = recipe.data.model_copy(update={"folder": Path(recipe.data.folder.name or "data")})
    update: dict[str, object] = {"data": data}
    if recipe.backbone.has_weights_file:
        name = Path(recipe.backbone.weights).name
        update["backbone"] = recipe.backbone.model_copy(update={"weights": name})
    if recipe.las.textures_folder is not None:
        update["las"] = recipe.las.model_copy(update={"textures": recipe.las.textures_folder.name})
    return recipe.model_copy(update=update)


def _store(folder: Path, kind: str, suffix: str, data: bytes) -> _StoredFile:
    """Write `data` under a name of its own, so that the file the present checkpoint names stays as it is."""
    digest = hashlib.sha256(data).hexdigest()
    name = f"{kind}-{digest[:16]}.{suffix}"
    write_bytes(folder / name, data)
    return _StoredFile(name=name, sha256=digest)


def _tiles_to_bytes(tiles: NDArray[np.uint8], recipe: Recipe) -> bytes:
    _require_tiles(tiles, recipe)
    stream = io.BytesIO()
    np.savez_compressed(stream, tiles=tiles)
    return stream.getvalue()


def _require_tiles(tiles: NDArray[Any], recipe: Recipe) -> None:
    wanted = (recipe.tile.height_px, recipe.tile.width_px, recipe.tile.channels)
    if tiles.dtype != np.uint8 or tiles.ndim != 4 or tiles.shape[1:] != wanted or not len(tiles):
        raise ValueError(f"golden tiles are {tiles.dtype} {tiles.shape}; uint8 {('n', *wanted)} is needed")


def _digest(document: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True, allow_nan=False).encode()).hexdigest()


def _try_read(folder: Path) -> _Document | None:
    try:
        return _read_document(folder)
    except InputError:  # nothing there yet, or damaged and about to be replaced
        return None


def _read_document(folder: Path) -> _Document:
    path = folder / CHECKPOINT_NAME
    try:
        document = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(f"{path}: missing; give the folder that 'glass-edge train' made") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON ({error}): the file was cut off or changed; {_MEND}") from error
    if not isinstance(document, dict):
        raise InputError(f"{path}: no checkpoint; {_MEND}")
    version = document.get("format_version")
    if isinstance(version, int) and version != FORMAT_VERSION:
        remedy = "update the program" if version > FORMAT_VERSION else "train the style again"
        raise InputError(f"{path}: format_version = {version}: this program reads version {FORMAT_VERSION}; {remedy}")
    recorded = document.pop("sha256", None)
    if recorded != _digest(document):
        raise InputError(f"{path}: its content does not fit its own SHA-256: the file was changed; {_MEND}")
    try:
        return _Document.model_validate(document)
    except ValidationError as error:
        raise InputError(describe(path, "", _Document, error)) from error


def _read_stored(folder: Path, stored: _StoredFile) -> tuple[Path, bytes]:
    file = folder / stored.name
    try:
        data = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file}: cannot be read: {error.strerror}; {_MEND}") from error
    digest = hashlib.sha256(data).hexdigest()
    if digest != stored.sha256:
        raise InputError(
            f"{file}: SHA-256 is {digest}, {CHECKPOINT_NAME} says {stored.sha256}: cut off or changed; {_MEND}"
        )
    return file, data
