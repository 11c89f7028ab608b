"""One training run from recipe to run folder, as the command line does it.

Promises: what is kept belongs to a finished epoch; a request to stop (Ctrl-C, SIGTERM) ends the run at the next step
and says which epoch is kept and how to go on; a second one ends the process at once and still leaves whole files. One
process at a time trains in a folder. A run that was killed after its last epoch is brought to its end by `--resume`.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from glass_edge.cli.cloth_finder import cloth_finder
from glass_edge.cli.training_board import TrainingBoard, require_board
from glass_edge.cli.training_keeper import Keeper, stopping
from glass_edge.cli.training_progress import TrainingProgress
from glass_edge.cli.training_report import write_training_report
from glass_edge.config.recipe import Recipe
from glass_edge.errors import InputError
from glass_edge.files import make_folder
from glass_edge.glass.crops import cover
from glass_edge.glass.data import ClothStrip, GoodData, load_good_data
from glass_edge.glass.foreground import foreground_finder
from glass_edge.glass.judge_style import StyleJudgement, resolve_hypothesis
from glass_edge.glass.run_folder import END_NAME, RunFolder
from glass_edge.glass.run_lock import run_lock
from glass_edge.glass.selection_tiles import split_for_selection
from glass_edge.glass.trainer import Trainer, fit_closed_form, flushed_denormals, use_threads
from glass_edge.glass.trainer_features import tile_shape
from glass_edge.glass.trainer_records import TrainingResult, TrainingStopped
from glass_edge.glass.trainer_state import TrainingState, load_state

GOLDEN_TILES = 6


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What a run came to.

    Attributes:
        run: its folder.
        recipe: as trained, its hypothesis settled.
        data: the images; those that chose the epoch are in neither part.
        result: how it ended.
        losses: figures of the last epoch of this call; empty when there was none.
    """

    run: RunFolder
    recipe: Recipe
    data: GoodData
    result: TrainingResult
    losses: dict[str, float]

    @property
    def epochs(self) -> int:
        """Finished (0 for the closed form)."""
        return self.result.epochs

    @property
    def stopped(self) -> bool:
        """It was stopped before the end."""
        return self.result.stopped

    @property
    def seconds(self) -> float:
        """Time of the finished epochs, s."""
        return self.result.seconds

    @property
    def is_whole(self) -> bool:
        """Whether there is a checkpoint."""
        return self.result.chosen is not None


@flushed_denormals()
def train(
    recipe_file: Path,
    recipe: Recipe,
    run_folder: Path,
    progress: TrainingProgress,
    *,
    resume: bool,
    only: Collection[str] | None = None,
    with_report: bool = True,
) -> TrainingReport:
    """Read the images, train, write the run folder.

    Args:
        recipe_file: copied into the run folder.
        recipe: what it says, with the changes of the command line.
        run_folder: new, or with `resume` that of the run to continue.
        progress: shows what happens.
        resume: continue.
        only: names of the good images to use, relative to the data folder; None: all.
        with_report: at the end, score the held-out cloth and write pictures (seconds).

    Raises:
        InputError: recipe, images or folder cannot be used. GlassEdgeError: training failed.
    """
    threads = use_threads(recipe.training.threads)
    if not resume:
        RunFolder(run_folder).require_new()
    if recipe.training.tensorboard:
        require_board()
    data = read_good(recipe, run_folder, progress, only=only)
    selection: tuple[ClothStrip, ...] = ()
    judged: StyleJudgement | None = None
    if recipe.method == "glass":
        if recipe.training.select == "synthetic":
            data, selection = split_for_selection(data, recipe.seed)
        told = recipe.warnings()
        recipe, judged = resolve_hypothesis(recipe, data.train)
        if judged is not None:
            progress.say(judged.sentence())
            for warning in recipe.warnings():
                if warning not in told:
                    progress.say(f"warning: {warning}")
    progress.say(_division(data, selection))
    state = load_state(run_folder, recipe, data.fingerprint) if resume else None
    with run_lock(make_folder(run_folder)):
        run = RunFolder(run_folder)
        if state is None:
            run.require_new()  # again: another process may have trained here meanwhile
        run.start(recipe_file, data, threads=threads, resumed=resume, selection=selection, judged=judged)
        keeper = Keeper(recipe, data, run, progress, golden=golden_tiles(data, recipe), selection=selection)
        with stopping(keeper):
            if recipe.method == "glass":
                trainer = Trainer(recipe, data, keeper, selection, cache_folder=run_folder)
                with _board(keeper, recipe, run_folder, state):
                    result = _train(trainer, keeper, run, progress, state)
            else:
                result = _fit(recipe, data, keeper, progress)
        found = TrainingReport(run, recipe, data, result, keeper.losses)
        if found.is_whole:
            run.finish(result, recipe)
        if with_report and not found.stopped:
            with run.explained():
                write_training_report(run_folder, say=progress.say)
    return found


def read_good(
    recipe: Recipe, run_folder: Path, progress: TrainingProgress, *, only: Collection[str] | None = None
) -> GoodData:
    """The good images of a recipe; tells what was skipped.

    Args:
        recipe: says where and how.
        run_folder: decoded pixels that do not fit into memory go there, unnamed.
        progress: told.
        only: names of the good images to use; None: all.

    Raises:
        InputError: the folder or its images cannot be used.
    """
    progress.say(f"reading {recipe.data.folder}")
    data = load_good_data(
        recipe.data.folder,
        tile_shape(recipe),
        cloth_finder(recipe.data),
        holdout=recipe.data.holdout,
        seed=recipe.seed,
        on_bad_image=recipe.data.on_bad_image,
        only=only,
        foreground=foreground_finder(recipe.data),
        cache_folder=run_folder,
    )
    for one in data.skipped:
        progress.say(f"skipped {one.name}: {one.reason}")
    return data


def golden_tiles(data: GoodData, recipe: Recipe) -> NDArray[np.uint8]:
    """Tiles of held-out cloth, by which engines are judged when the images are not at hand."""
    return np.stack(list(cover(data.holdout or data.train, tile_shape(recipe), GOLDEN_TILES)))


def is_finished(run_folder: Path, recipe: Recipe) -> bool:
    """Whether training this recipe in this folder has come to its end, so that nothing is left to do there."""
    try:
        end = json.loads((run_folder / END_NAME).read_bytes())
    except (OSError, ValueError):
        return False
    training = recipe.training
    if RunFolder(run_folder).checkpoint_epoch() is None or end.get("method") != recipe.method:
        return False
    if recipe.method == "mahalanobis":
        return True
    is_flat = end.get("ended") == "no improvement" and end.get("patience") == training.patience
    return bool(end.get("ended") != "stopped" and (is_flat or end.get("epochs", 0) >= training.epochs))


def _division(data: GoodData, selection: tuple[ClothStrip, ...]) -> str:
    chooses = f", {len(selection)} to choose the epoch" if selection else ""
    skipped = f", {len(data.skipped)} skipped" if data.skipped else ""
    return (
        f"{len(data.train)} good images to train on{chooses}, {len(data.holdout)} held out for the threshold{skipped}"
    )


def _train(
    trainer: Trainer, keeper: Keeper, run: RunFolder, progress: TrainingProgress, state: TrainingState | None
) -> TrainingResult:
    if state is not None:
        is_kept = run.checkpoint_epoch() == state.chosen.epoch
        if trainer.has_ended(state) and is_kept and (run.folder / END_NAME).is_file():
            raise InputError(_nothing_to_do(run.folder, trainer, state))
        keeper.keep_again(trainer.model, state)
        trainer.restore(state)
        progress.say(f"continuing after epoch {state.epoch}")
    result = trainer.run()
    if result.ended == "no improvement":
        progress.say(
            f"epoch {result.epochs} ends the training: no improvement by more than "
            f"{trainer.recipe.training.patience_margin:g} in {trainer.recipe.training.patience} epochs"
        )
    return result


@contextmanager
def _board(keeper: Keeper, recipe: Recipe, run_folder: Path, state: TrainingState | None) -> Iterator[None]:
    """Give the keeper a board if the recipe wants one."""
    if not recipe.training.tensorboard:
        yield
        return
    keeper.board = TrainingBoard.open(run_folder, state.epoch if state else -1)
    try:
        yield
    finally:
        keeper.board.close()


def _nothing_to_do(folder: Path, trainer: Trainer, state: TrainingState) -> str:
    training = trainer.recipe.training
    if state.epoch >= training.epochs:
        return (
            f"{folder}: {state.epoch} epochs are trained already and training.epochs = {training.epochs}; "
            "give more with --epochs"
        )
    return (
        f"{folder}: training ended after epoch {state.epoch}, for nothing improved in training.patience = "
        f"{training.patience} epochs; give more patience (0: without end) to go on"
    )


def _fit(recipe: Recipe, data: GoodData, keeper: Keeper, progress: TrainingProgress) -> TrainingResult:
    try:
        model = fit_closed_form(recipe, data, keeper)
    except TrainingStopped:
        return TrainingResult(0, "stopped", None, 0.0)
    seconds = progress.seconds
    keeper.keep(model, 0, {})
    return TrainingResult(0, "fitted", 0, seconds)


def next_commands(report: TrainingReport, recipe_file: Path, *, labelled: bool) -> list[str]:
    """What a user would type now."""
    folder = shlex.quote(str(report.run.folder))
    if report.stopped:
        command = f"glass-edge train {shlex.quote(str(recipe_file))} --run-folder {folder}"
        return [f"{command} --resume" if report.is_whole else command]
    return [*([f"glass-edge evaluate {folder}"] if labelled else []), f"glass-edge build {folder}"]
