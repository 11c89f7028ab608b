"""Progress of a training run on standard error: bars on a terminal, plain lines otherwise."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from glass_edge.glass.trainer_records import EpochRecord


class TrainingProgress:
    """Shows phases, epochs and messages; use as a context manager."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task: TaskID | None = None
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    @property
    def seconds(self) -> float:
        """Time since the present phase began."""
        return time.monotonic() - self._started

    def say(self, text: str) -> None:
        """A line."""
        self._console.print(text)

    def begin(self, what: str, total: int | None) -> None:
        """A phase of `total` ticks begins."""
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(what, total=total)
        self._started = time.monotonic()
        if not self._console.is_terminal and total is None:
            self.say(what)

    def tick(self) -> None:
        """A batch is done."""
        if self._task is not None:
            self._bar.advance(self._task)

    def finished_epoch(self, record: EpochRecord, chosen_epoch: int | None = None) -> None:
        """A line an epoch; `chosen_epoch`: the best on held-out cloth so far, if one is chosen."""
        if record.total is None:
            self.say(f"epoch 0, the prior alone: held out {record.selection:.4f}")
            return
        found = ""
        if chosen_epoch is not None:
            best = "the best" if chosen_epoch == record.epoch else f"best: epoch {chosen_epoch}"
            found = f", held out {record.selection:.4f} ({best})"
        self.say(
            f"epoch {record.epoch}: loss {record.total:.4f} (normal {record.normal:.4f}, gas {record.gaussian:.4f}, "
            f"las {record.focal:.4f}), right: normal {record.normal_right:.1%}, anomalous "
            f"{record.anomalous_right:.1%}{found}; {record.seconds:.1f} s"
        )
