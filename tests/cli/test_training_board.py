"""TensorBoard's event files say what metrics.csv says, also after epochs were done again."""

from __future__ import annotations

import builtins
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from glass_edge.cli.training_board import BOARD_FOLDER, TrainingBoard, require_board
from glass_edge.errors import MissingExtraError
from glass_edge.glass.trainer_records import EpochRecord


def record(epoch: int, total: float) -> EpochRecord:
    return EpochRecord(epoch, 3, 1.5, total, 0.1, 0.2, 0.3, 0.9, 0.8, selection=0.5)


def test_figures_are_there_and_epochs_done_again_replace_theirs(tmp_path: Path) -> None:
    board = TrainingBoard.open(tmp_path, -1)
    board.add(EpochRecord(0, 0, 0.5, selection=0.4))
    for epoch in (1, 2, 3):
        board.add(record(epoch, 1.0 / epoch))
    board.close()
    board = TrainingBoard.open(tmp_path, 1)  # killed: the state was of epoch 1
    for epoch in (2, 3):
        board.add(record(epoch, 0.25))
    board.close()
    events = EventAccumulator(str(tmp_path / BOARD_FOLDER))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {
        "total", "normal", "gaussian", "focal", "normal_right", "anomalous_right", "selection", "seconds",
    }  # fmt: skip
    assert [(one.step, one.value) for one in events.Scalars("total")] == [(1, 1.0), (2, 0.25), (3, 0.25)]
    assert [one.step for one in events.Scalars("selection")] == [0, 1, 2, 3]


def test_a_missing_library_is_named_before_anything_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(
        name: str,
        globals_: Mapping[str, object] | None = None,
        locals_: Mapping[str, object] | None = None,
        fromlist: Sequence[str] = (),
        level: int = 0,
    ) -> ModuleType:
        if name.partition(".")[0] == "tensorboard":
            raise ModuleNotFoundError(name)
        return real(name, globals_, locals_, fromlist, level)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"training\.tensorboard = true needs the extra 'report'"):
        require_board()
