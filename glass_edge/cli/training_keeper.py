"""Who watches the trainer for the command line: shows progress, keeps epochs, carries the request to stop.

Promises: what is kept belongs to a finished epoch; the state is kept before the checkpoint, so that a run can be
continued even when the checkpoint's write fails.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from glass_edge.cli.training_board import TrainingBoard
from glass_edge.cli.training_progress import TrainingProgress
from glass_edge.config.recipe import Recipe
from glass_edge.glass.data import ClothStrip, GoodData
from glass_edge.glass.model import StyleModel
from glass_edge.glass.run_folder import RunFolder
from glass_edge.glass.trainer_records import EpochRecord, TrainingStopped
from glass_edge.glass.trainer_state import TrainingState


class Keeper:
    """Keeps a run in its folder.

    Attributes:
        stop_requested: the run is to end at the next batch.
        board: shows the figures elsewhere too; None: nowhere.
        losses: figures of the last epoch of this call; empty when there was none.
    """

    def __init__(
        self,
        recipe: Recipe,
        data: GoodData,
        run: RunFolder,
        progress: TrainingProgress,
        *,
        golden: NDArray[np.uint8],
        selection: Sequence[ClothStrip] = (),
    ) -> None:
        self._recipe, self._data, self._run, self._progress, self._golden = recipe, data, run, progress, golden
        self._selection = selection
        self.stop_requested = False
        self.board: TrainingBoard | None = None
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
        """Keep the state, then the model if this epoch is the chosen one."""
        self.losses = record.figures()
        self._run.keep_state(state, self._recipe, self._data, record)
        chosen = state.chosen
        if chosen.epoch == state.epoch:
            self.keep(model, chosen.epoch, chosen.figures)
        if self.board is not None:
            self.board.add(record)
        self._progress.finished_epoch(record, chosen_epoch=chosen.epoch if state.selection else None)

    def keep_again(self, model: StyleModel, state: TrainingState) -> None:
        """When a run is continued: make the checkpoint that of the state, should its write have failed.

        `model` may be left with the head of the chosen epoch.
        """
        chosen = state.chosen
        if self._run.checkpoint_epoch() != chosen.epoch:
            model.glass_head.load_state_dict(chosen.head)
            self.keep(model, chosen.epoch, chosen.figures)

    def keep(self, model: StyleModel, epoch: int, figures: dict[str, float]) -> None:
        """Write the checkpoint."""
        self._run.keep(
            model,
            self._recipe,
            self._data,
            epoch=epoch,
            figures=figures,
            golden_tiles=self._golden,
            selection=self._selection,
        )


class Stoppable(Protocol):
    """Something that ends soon after its flag is set."""

    stop_requested: bool


@contextmanager
def stopping(work: Stoppable) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM asks the work to stop, the next one is the system's business again."""
    before: dict[int, Any] = {}

    def ask(number: int, frame: FrameType | None) -> None:
        del frame
        work.stop_requested = True
        signal.signal(number, before[number])

    for number in (int(signal.SIGINT), int(signal.SIGTERM)):
        before[number] = signal.signal(number, ask)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
