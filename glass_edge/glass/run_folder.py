"""The folder of one training run.

Promises: every file in it is whole or absent; the checkpoint and the training state are those of a finished epoch, and
a write that fails (a full disk) says which epoch's checkpoint is still there. Starting anew never overwrites a run.

Layout: `recipe.toml` (as given), `data.json` (images, hashes, holdout, skipped files), `environment.json` (versions,
machine, command), `metrics.csv` (losses, a line an epoch), `training-state.pt`, `checkpoint/`, `epochs/` (see
`epoch_heads`), `training.json` (how it ended; written last), `judgement.json` and `spectrum.png` (see `judge_style`).
"""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glass_edge.config.recipe import Recipe
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.files import csv_bytes, make_folder, remove_temporaries, write_bytes, write_json
from glass_edge.glass.checkpoint import (
    CHECKPOINT_FOLDER,
    CHECKPOINT_NAME,
    CheckpointInfo,
    load_checkpoint,
    save_checkpoint,
)
from glass_edge.glass.data import ClothStrip, GoodData
from glass_edge.glass.epoch_heads import EPOCHS_FOLDER, keep_epoch
from glass_edge.glass.judge_style import StyleJudgement, write_judgement
from glass_edge.glass.model import StyleModel
from glass_edge.glass.run_record import describe_data, describe_end, describe_environment
from glass_edge.glass.trainer_records import EpochRecord, TrainingResult
from glass_edge.glass.trainer_state import STATE_NAME, TrainingState, recipe_digest, save_state

RECIPE_NAME = "recipe.toml"
DATA_NAME = "data.json"
ENVIRONMENT_NAME = "environment.json"
METRICS_NAME = "metrics.csv"
END_NAME = "training.json"
_UTC_PATTERN = f"{'[0-9]' * 8}T{'[0-9]' * 6}Z"  # or 'aitex' would find the runs of 'aitex-fabric03'
RUNS = Path("runs")
"""Where runs lie unless told otherwise."""


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
        """Refuse a folder that holds a run already; what is left of one that kept nothing does not count.

        Raises:
            InputError: it does.
        """
        if (self.checkpoint / CHECKPOINT_NAME).exists() or (self.folder / STATE_NAME).exists():
            raise InputError(
                f"{self.folder}: holds a training run already; continue it with --resume, or give another --run-folder"
            )

    def start(
        self,
        recipe_file: Path,
        data: GoodData,
        *,
        threads: int,
        resumed: bool = False,
        selection: Sequence[ClothStrip] = (),
        judged: StyleJudgement | None = None,
    ) -> None:
        """Make the folder and write what is known before the first epoch; the caller holds its lock, or alone knows it.

        Args:
            recipe_file: copied.
            data: good cloth.
            threads: that compute.
            resumed: what the run wrote before stays.
            selection: strips that choose the epoch.
            judged: what was found of the style, if it was judged.

        Raises:
            InputError: the folder cannot be written.
        """
        make_folder(self.folder)
        with self.explained():
            for folder in (self.folder, self.checkpoint, self.folder / EPOCHS_FOLDER):
                remove_temporaries(folder)
            if not resumed:  # of a run that was killed before its first epoch was kept
                (self.folder / METRICS_NAME).unlink(missing_ok=True)
                shutil.rmtree(self.folder / EPOCHS_FOLDER, ignore_errors=True)
            write_bytes(self.folder / RECIPE_NAME, recipe_file.read_bytes())
            write_json(self.folder / DATA_NAME, describe_data(data, selection))
            write_json(self.folder / ENVIRONMENT_NAME, describe_environment(threads))
            if judged is not None:
                write_judgement(self.folder, judged)

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
        figures: dict[str, float],
        golden_tiles: NDArray[np.uint8] | None,
        selection: Sequence[ClothStrip] = (),
    ) -> None:
        """Write the checkpoint of a finished epoch in place of the one before.

        Raises:
            GlassEdgeError: it cannot be written; the one before is still there.
        """
        info = CheckpointInfo(
            epoch=epoch,
            training_data_sha256=data.fingerprint,
            holdout=_names(data.holdout),
            n_training_images=len(data.train),
            skipped=tuple(one.name for one in data.skipped),
            metrics=figures,
            recipe_sha256=recipe_digest(recipe),
            selection=_names(selection),
        )
        with self.explained():
            save_checkpoint(self.checkpoint, model, recipe, info, golden_tiles)
        self._last_epoch = epoch

    def keep_state(self, state: TrainingState, recipe: Recipe, data: GoodData, record: EpochRecord) -> None:
        """Write head, figures and training state of a finished epoch (before its checkpoint), the state last.

        Raises:
            GlassEdgeError: they cannot be written; those of the epoch before are still there.
        """
        with self.explained():
            keep_epoch(self.folder, state, recipe, data.fingerprint)
            self._append(record)
            save_state(self.folder, state, recipe, data.fingerprint)

    def finish(self, result: TrainingResult, recipe: Recipe) -> None:
        """Write how the run ended."""
        with self.explained():
            write_json(self.folder / END_NAME, describe_end(result, recipe))

    def _append(self, record: EpochRecord) -> None:
        path = self.folder / METRICS_NAME
        names = [field.name for field in fields(EpochRecord)]
        rows: list[dict[str, Any]] = []
        if path.exists():
            with path.open(newline="", encoding="utf-8") as stream:
                # an epoch that is done again after a resumption replaces its line
                rows = [row for row in csv.DictReader(stream) if int(row["epoch"]) < record.epoch]
        table = [[row.get(name, "") for name in names] for row in (*rows, record.row())]
        write_bytes(path, csv_bytes([names, *table]))

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn a write that fails into an error that says what is kept.

        Raises:
            GlassEdgeError: the write failed.
        """
        try:
            yield
        except OSError as error:
            kept = f"the checkpoint of epoch {self._last_epoch} is whole" if self._last_epoch else "nothing is lost yet"
            raise GlassEdgeError(
                f"{self.folder}: cannot be written ({error.strerror or error}); {kept}; free space or mend the disk, "
                "then continue with --resume"
            ) from error


def default_run_folder(style: str, runs: Path = RUNS) -> Path:
    """`<style>-<UTC>` in the folder of runs."""
    return runs / f"{style}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"


def latest_run_folder(style: str, runs: Path = RUNS) -> Path:
    """The newest run of a style in the folder of runs that has a training state.

    Raises:
        InputError: there is none.
    """
    found = sorted(path.parent for path in runs.glob(f"{style}-{_UTC_PATTERN}/{STATE_NAME}"))
    if not found:
        raise InputError(f"{runs}: no run of style '{style}' to continue here; give its folder with --run-folder")
    return found[-1]


def _names(strips: Sequence[ClothStrip]) -> tuple[str, ...]:
    return tuple(sorted(strip.name for strip in strips))
