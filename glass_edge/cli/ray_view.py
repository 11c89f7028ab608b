"""What a person sees of recipes on a cluster: a bar each on a terminal, plain lines otherwise, on standard error."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from glass_edge.cli.ray_task import Event
from glass_edge.cli.train_result import Outcome


class ClusterView:
    """Shows events and outcomes; use as a context manager.

    Attributes:
        began: how often each style was begun.
    """

    def __init__(self, styles: Sequence[str]) -> None:
        self._console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)
        self._bars = Progress(
            TextColumn("{task.fields[style]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._tasks = {style: self._bars.add_task("waiting", total=None, style=style) for style in styles}
        self.began = dict.fromkeys(styles, 0)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def say(self, text: str) -> None:
        """A line."""
        self._console.print(text)

    def show(self, event: Event) -> None:
        """Something happened."""
        task = self._tasks[event.style]
        if event.kind == "began":
            self.began[event.style] += 1
            again = "" if self.began[event.style] == 1 else " again, for the worker before died,"
            self.say(f"{event.style}: begun{again} on {event.text}, process {event.count}")
        elif event.kind == "said":
            self.say(f"{event.style}: {event.text}")
        elif event.kind == "phase":
            self._bars.reset(task, total=event.total, description=event.text)
        else:
            self._bars.update(task, completed=event.count)

    def ended(self, outcome: Outcome) -> None:
        """A recipe came to its end."""
        self._bars.update(
            self._tasks[outcome.style], total=1, completed=int(outcome.ending == "done"), description=outcome.ending
        )
        self.say(f"{outcome.style}: {outcome.ending}")
