"""A watcher for tests of the trainer."""

from __future__ import annotations

import torch

from glass_edge.glass.model import StyleModel
from glass_edge.glass.trainer_records import EpochRecord, TrainingStopped
from glass_edge.glass.trainer_state import TrainingState


class Watcher:
    """Collects what a trainer hands over; stops after so many ticks."""

    def __init__(self, stop_after: int | None = None) -> None:
        self.records: list[EpochRecord] = []
        self.states: list[TrainingState] = []
        self.phases: list[tuple[str, int | None]] = []
        self.ticks: list[int] = []  # of each phase
        self._left = stop_after

    def begin(self, what: str, total: int | None) -> None:
        self.phases.append((what, total))
        self.ticks.append(0)

    def tick(self) -> None:
        self.ticks[-1] += 1
        if self._left is not None:
            self._left -= 1
            if not self._left:
                raise TrainingStopped

    def finished_epoch(self, record: EpochRecord, model: StyleModel, state: TrainingState) -> None:
        for name, tensor in model.glass_head.state_dict().items():
            assert torch.equal(tensor, state.head[name])
        self.records.append(record)
        self.states.append(state)
