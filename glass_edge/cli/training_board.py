"""Figures of a training run for TensorBoard (`training.tensorboard = true`, extra `report`).

Promises: whether the library is there is known before anything is trained; a continued run's curves go on where they
were, without the points of epochs that are done again. What counts is in `metrics.csv`; this is a view of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from glass_edge.errors import MissingExtraError
from glass_edge.glass.trainer_records import EpochRecord

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

BOARD_FOLDER = "tensorboard"


class TrainingBoard:
    """Writes event files below a run folder."""

    def __init__(self, writer: SummaryWriter) -> None:
        self._writer = writer

    @classmethod
    def open(cls, run_folder: Path, epochs_done: int) -> TrainingBoard:
        """Begin, or go on behind `epochs_done` epochs.

        Raises:
            MissingExtraError: TensorBoard is not installed.
        """
        require_board()
        from torch.utils.tensorboard import SummaryWriter

        return cls(SummaryWriter(run_folder / BOARD_FOLDER, purge_step=epochs_done + 1))

    def add(self, record: EpochRecord) -> None:
        """The figures of an epoch, on disk when this returns."""
        for name, value in {**record.figures(), "seconds": record.seconds}.items():
            self._writer.add_scalar(name, value, record.epoch)
        self._writer.flush()

    def close(self) -> None:
        """No more follow."""
        self._writer.close()


def require_board() -> None:
    """Refuse early what could not be written later.

    Raises:
        MissingExtraError: TensorBoard is not installed.
    """
    try:
        import tensorboard  # noqa: F401 - only to see whether it is there
    except ModuleNotFoundError as error:
        raise MissingExtraError("report", "training.tensorboard = true") from error
