"""The folder of one training run.

Promises: every file in it is whole or absent; the checkpoint and the training state are those of a finished epoch, and
a write that fails (a full disk) says which epoch's checkpoint is still there. Starting anew never overwrites a run.

Layout: `recipe.toml` (as given), `data.json` (images, hashes, holdout, skipped files), `environment.json` (versions,
machine, command), `metrics.csv` (losses, a line an epoch), `training-state.pt`, `checkpoint/`.
"""

from __future__ import annotations

import csv
import io
import platform
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from glass_edge.config.recipe import Recipe
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.files import make_folder, write_bytes, write_json
from glass_edge.glass.checkpoint import CHECKPOINT_FOLDER, CheckpointInfo, load_checkpoint, save_checkpoint
from glass_edge.glass.data import GoodData
from glass_edge.glass.model import StyleModel
from glass_edge.glass.trainer import EpochRecord
from glass_edge.glass.trainer_state import STATE_NAME, TrainingState, save_state

RECIPE_NAME = "recipe.toml"
DATA_NAME = "data.json"
ENVIRONMENT_NAME = "environment.json"
METRICS_NAME = "metrics.csv"
_LIBRARIES = ("glass-edge", "torch", "timm", "numpy", "opencv-python-headless", "pillow", "scipy")


class RunFolder:
    """Writes a run.

    Attributes:
        folder: the run folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._last_epoch = 0

    @property
    def checkpoint(self) -> Path:
        """The checkpoint folder."""
        return self.folder / CHECKPOINT_FOLDER

    def require_new(self) -> None:
        """Refuse a folder that holds a run already.

        Raises:
            InputError: it does.
        """
        if any((self.folder / name).exists() for name in (CHECKPOINT_FOLDER, STATE_NAME, METRICS_NAME)):
            raise InputError(
                f"{self.folder}: holds a training run already; continue it with --resume, or give another --run-folder"
            )

    def start(self, recipe_file: Path, data: GoodData, *, threads: int) -> None:
        """Make the folder and write what is known before the first epoch.

        Raises:
            InputError: the folder cannot be written.
        """
        make_folder(self.folder)
        with self._explained():
            write_bytes(self.folder / RECIPE_NAME, recipe_file.read_bytes())
            write_json(self.folder / DATA_NAME, describe_data(data))
            write_json(self.folder / ENVIRONMENT_NAME, describe_environment(threads))

    def checkpoint_epoch(self) -> int | None:
        """Epoch of the checkpoint that is there, None when there is no whole one."""
        try:
            self._last_epoch = load_checkpoint(self.checkpoint)[2].epoch
        except InputError:
            return None
        return self._last_epoch

    def keep(
        self,
        model: StyleModel,
        recipe: Recipe,
        data: GoodData,
        *,
        epoch: int,
        seconds: float,
        losses: dict[str, float],
        golden_tiles: NDArray[np.uint8] | None,
    ) -> None:
        """Write the checkpoint of a finished epoch in place of the one before.

        Raises:
            GlassEdgeError: it cannot be written; the one before is still there.
        """
        info = CheckpointInfo(
            epoch=epoch,
            training_data_sha256=data.fingerprint,
            holdout=tuple(sorted(strip.name for strip in data.holdout)),
            n_training_images=len(data.train),
            skipped=tuple(one.name for one in data.skipped),
            metrics=losses,
            seconds=seconds,
        )
        with self._explained():
            save_checkpoint(self.checkpoint, model, recipe, info, golden_tiles)
        self._last_epoch = epoch

    def keep_state(self, state: TrainingState, recipe: Recipe, data: GoodData, record: EpochRecord) -> None:
        """Write the training state and the losses of a finished epoch (before its checkpoint).

        Raises:
            GlassEdgeError: they cannot be written; those of the epoch before are still there.
        """
        with self._explained():
            self._append(record)
            save_state(self.folder, state, recipe, data.fingerprint)

    def _append(self, record: EpochRecord) -> None:
        path = self.folder / METRICS_NAME
        names = [field.name for field in fields(EpochRecord)]
        rows: list[dict[str, Any]] = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as stream:
                # an epoch that is done again after a resumption replaces its line
                rows = [row for row in csv.DictReader(stream) if int(row["epoch"]) < record.epoch]
        write_bytes(path, _csv(names, [*rows, record.row()]))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            kept = f"the checkpoint of epoch {self._last_epoch} is whole" if self._last_epoch else "nothing is lost yet"
            raise GlassEdgeError(
                f"{self.folder}: cannot be written ({error.strerror or error}); {kept}; free space or mend the disk, "
                "then continue with --resume"
            ) from error


def default_run_folder(style: str) -> Path:
    """`runs/<style>-<UTC>` below the working directory."""
    return Path("runs") / f"{style}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def latest_run_folder(style: str) -> Path:
    """The newest run of a style below `runs/` that has a training state.

    Raises:
        InputError: there is none.
    """
    found = sorted(path.parent for path in Path("runs").glob(f"{style}-*T*Z/{STATE_NAME}"))
    if not found:
        raise InputError(f"runs: no run of style '{style}' to continue here; give its folder with --run-folder")
    return found[-1]


def describe_data(data: GoodData) -> dict[str, Any]:
    """Content of `data.json`."""
    spans = {strip.name: [strip.span.left_px, strip.span.right_px] for strip in (*data.train, *data.holdout)}
    return {
        "folder": str(data.folder),
        "fingerprint_sha256": data.fingerprint,
        "images": {name: {"sha256": digest, "cloth_px": spans[name]} for name, digest in data.hashes.items()},
        "train": [strip.name for strip in data.train],
        "holdout": [strip.name for strip in data.holdout],
        "skipped": [{"name": one.name, "reason": one.reason} for one in data.skipped],
    }


def describe_environment(threads: int) -> dict[str, Any]:
    """Content of `environment.json`."""
    versions: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {
        "started_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "python": platform.python_version(),
        "system": platform.platform(),
        "machine": platform.machine(),
        "threads": threads,
        "torch_cpu": torch.backends.cpu.get_cpu_capability(),
        "versions": versions,
    }


def _csv(names: Sequence[str], rows: Sequence[dict[str, Any]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()
