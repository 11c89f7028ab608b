"""One training run from recipe to run folder, as the command line does it.

Promises: what is kept belongs to a finished epoch; a request to stop (Ctrl-C, SIGTERM) ends the run at the next step
and says which epoch is kept and how to go on; a second one ends the process at once and still leaves whole files.
"""

from __future__ import annotations

import shlex
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from glass_edge.cli.cloth_finder import cloth_finder
from glass_edge.cli.training_progress import TrainingProgress
from glass_edge.config.recipe import Recipe
from glass_edge.errors import InputError
from glass_edge.glass.crops import cover
from glass_edge.glass.data import GoodData, load_good_data
from glass_edge.glass.model import StyleModel
from glass_edge.glass.run_folder import RunFolder
from glass_edge.glass.trainer import (
    EpochRecord,
    Trainer,
    TrainingStopped,
    fit_closed_form,
    flushed_denormals,
    use_threads,
)
from glass_edge.glass.trainer_features import tile_shape
from glass_edge.glass.trainer_state import TrainingState, load_state

GOLDEN_TILES = 6


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a run came to.

    Attributes:
        run: its folder.
        data: the images.
        epochs: finished (0 for the closed form).
        stopped: it was stopped before the end.
        seconds: time of the finished epochs, s.
        losses: means of the last epoch of this call; empty when there was none.
    """

    run: RunFolder
    data: GoodData
    epochs: int
    stopped: bool
    seconds: float
    losses: dict[str, float]

    @property
    def is_whole(self) -> bool:
        """Whether there is a checkpoint."""
        return not self.stopped or self.epochs > 0


@flushed_denormals()
def train(
    recipe_file: Path, recipe: Recipe, run_folder: Path, progress: TrainingProgress, *, resume: bool
) -> TrainingReport:
    """Read the images, train, write the run folder.

    Args:
        recipe_file: copied into the run folder.
        recipe: what it says, with the changes of the command line.
        run_folder: new, or with `resume` that of the run to continue.
        progress: shows what happens.
        resume: continue.

    Raises:
        InputError: recipe, images or folder cannot be used. GlassEdgeError: training failed.
    """
    threads = use_threads(recipe.training.threads)
    run = RunFolder(run_folder)
    if not resume:
        run.require_new()
    progress.say(f"reading {recipe.data.folder}")
    data = load_good_data(
        recipe.data.folder,
        tile_shape(recipe),
        cloth_finder(recipe.data),
        holdout=recipe.data.holdout,
        seed=recipe.seed,
        on_bad_image=recipe.data.on_bad_image,
        cache_folder=run_folder,
    )
    for one in data.skipped:
        progress.say(f"skipped {one.name}: {one.reason}")
    skipped = f", {len(data.skipped)} skipped" if data.skipped else ""
    progress.say(f"{len(data.train)} good images to train on, {len(data.holdout)} held out for the threshold{skipped}")
    state = load_state(run_folder, recipe, data.fingerprint) if resume else None
    if state is not None and state.epoch >= recipe.training.epochs:
        raise InputError(
            f"{run_folder}: {state.epoch} epochs are trained already and training.epochs = {recipe.training.epochs}; "
            "give more with --epochs"
        )
    golden = _golden_tiles(data, recipe)
    if recipe.method == "mahalanobis":
        run.start(recipe_file, data, threads=threads)
        return _fit(recipe, data, run, progress, golden)
    keeper = _Keeper(recipe, data, run, progress, golden)
    trainer = Trainer(recipe, data, keeper)
    run.start(recipe_file, data, threads=threads)
    if state is not None:
        trainer.restore(state)
        keeper.keep_again(trainer.model, state)
        progress.say(f"continuing after epoch {state.epoch}")
    with _stopping(keeper):
        result = trainer.run()
    return TrainingReport(run, data, result.epochs, result.stopped, result.seconds, keeper.losses)


def _fit(
    recipe: Recipe, data: GoodData, run: RunFolder, progress: TrainingProgress, golden: NDArray[np.uint8]
) -> TrainingReport:
    keeper = _Keeper(recipe, data, run, progress, golden)
    with _stopping(keeper):
        try:
            model = fit_closed_form(recipe, data, keeper)
        except TrainingStopped:
            return TrainingReport(run, data, 0, stopped=True, seconds=0.0, losses={})
    seconds = progress.seconds
    run.keep(model, recipe, data, epoch=0, seconds=seconds, losses={}, golden_tiles=golden)
    return TrainingReport(run, data, 0, stopped=False, seconds=seconds, losses={})


def _golden_tiles(data: GoodData, recipe: Recipe) -> NDArray[np.uint8]:
    """Tiles of held-out cloth, by which engines are judged when the images are not at hand."""
    return np.stack(list(cover(data.holdout or data.train, tile_shape(recipe), GOLDEN_TILES)))


class _Keeper:
    """Watches the trainer: shows progress, keeps epochs, carries the request to stop."""

    def __init__(
        self, recipe: Recipe, data: GoodData, run: RunFolder, progress: TrainingProgress, golden: NDArray[np.uint8]
    ) -> None:
        self._recipe, self._data, self._run, self._progress, self._golden = recipe, data, run, progress, golden
        self.stop_requested = False
        self.losses: dict[str, float] = {}

    def begin(self, what: str, total: int | None) -> None:
        """A phase begins."""
        self._progress.begin(what, total)

    def tick(self) -> None:
        """A batch is done."""
        self._progress.tick()
        if self.stop_requested:
            raise TrainingStopped

    def finished_epoch(self, record: EpochRecord, model: StyleModel, state: TrainingState) -> None:
        """Keep the state first: a run can be continued from it even when the checkpoint's write fails."""
        self.losses = {name: value for name, value in record.row().items() if name not in ("epoch", "steps", "seconds")}
        self._run.keep_state(state, self._recipe, self._data, record)
        self._keep(model, state)
        self._progress.finished_epoch(record)

    def keep_again(self, model: StyleModel, state: TrainingState) -> None:
        """When a run is continued: make the checkpoint that of the state, should its write have failed."""
        if self._run.checkpoint_epoch() != state.epoch:
            self._keep(model, state)

    def _keep(self, model: StyleModel, state: TrainingState) -> None:
        self._run.keep(
            model,
            self._recipe,
            self._data,
            epoch=state.epoch,
            seconds=state.seconds,
            losses=self.losses,
            golden_tiles=self._golden,
        )


@contextmanager
def _stopping(keeper: _Keeper) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM asks the run to stop, the next one is the system's business again."""
    before: dict[int, Any] = {}

    def ask(number: int, frame: FrameType | None) -> None:
        del frame
        keeper.stop_requested = True
        signal.signal(number, before[number])

    for number in (int(signal.SIGINT), int(signal.SIGTERM)):
        before[number] = signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def next_commands(report: TrainingReport, recipe_file: Path, *, labelled: bool) -> list[str]:
    """What a user would type now."""
    folder = shlex.quote(str(report.run.folder))
    if report.stopped:
        command = f"glass-edge train {shlex.quote(str(recipe_file))} --run-folder {folder}"
        return [f"{command} --resume" if report.epochs else command]
    return [*([f"glass-edge evaluate {folder}"] if labelled else []), f"glass-edge build {folder}"]
