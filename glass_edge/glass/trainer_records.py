"""What a training run tells: of each epoch, of its end, and to whom.

Promises: plain values; nothing here computes.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, Protocol

from glass_edge.glass.model import StyleModel
from glass_edge.glass.trainer_state import TrainingState

Ending = Literal["all epochs", "no improvement", "stopped", "fitted"]
"""Why no more epochs follow; 'fitted': the closed form has none."""
_COUNTERS = ("epoch", "steps", "seconds")


class TrainingStopped(Exception):
    """The run was asked to stop."""


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """Means over the steps of an epoch, see `step.StepLosses`, and what held-out cloth said of it, see
    `selection.SelectionScores`; None where nothing was measured. `epoch` counts from 1; 0 is the untrained model."""

    epoch: int
    steps: int
    seconds: float
    total: float | None = None
    normal: float | None = None
    gaussian: float | None = None
    focal: float | None = None
    normal_right: float | None = None
    anomalous_right: float | None = None
    selection: float | None = None
    selection_recall: float | None = None
    selection_partial: float | None = None

    def row(self) -> dict[str, float | None]:
        """All by name."""
        return asdict(self)

    def figures(self) -> dict[str, float]:
        """What was measured of the model, by name."""
        return {name: value for name, value in self.row().items() if value is not None and name not in _COUNTERS}


class TrainingWatcher(Protocol):
    """Who watches a run and keeps what it makes; called from the training thread."""

    def begin(self, what: str, total: int | None) -> None:
        """A phase of `total` ticks begins (None: not known)."""

    def tick(self) -> None:
        """A batch is done; raises `TrainingStopped` to end the run here."""

    def finished_epoch(self, record: EpochRecord, model: StyleModel, state: TrainingState) -> None:
        """An epoch is done and the model is whole: keep the state, and the model if `state.chosen` is this epoch."""


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """What a run came to.

    Attributes:
        epochs: finished, those before a resumption included.
        ended: why no more follow.
        chosen: the epoch that is the model; None when nothing is kept.
        seconds: time of the finished epochs.
    """

    epochs: int
    ended: Ending
    chosen: int | None
    seconds: float

    @property
    def stopped(self) -> bool:
        """Whether the watcher stopped the run."""
        return self.ended == "stopped"
