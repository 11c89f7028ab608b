"""What a worker of a Ray cluster does: train one recipe and tell how it goes.

Promises: a path that this machine does not see, or sees with other content, is named with the machine; an error a
person can mend comes back as an outcome and is not tried again; a task that is tried again because its worker died
continues after the last epoch that was kept. Nothing here imports Ray.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from glass_edge import __version__
from glass_edge.cli.train_jobs import TrainingJob
from glass_edge.cli.train_many import without_report
from glass_edge.cli.train_result import Outcome, outcome_of
from glass_edge.cli.training_progress import TrainingProgress
from glass_edge.cli.training_run import is_finished, train
from glass_edge.config.recipe import Recipe
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.files import sha256_file
from glass_edge.glass.run_folder import RunFolder
from glass_edge.glass.trainer_state import STATE_NAME

_TICK_S = 0.5
_SHARE = "recipe, images, weights and the folder of runs must lie under the same path on every machine of the cluster"


@dataclass(frozen=True, slots=True)
class Order:
    """A job with what its worker checks.

    Attributes:
        job: its paths are absolute.
        recipe_sha256: of the recipe file.
        version: of the program that ordered it.
    """

    job: TrainingJob
    recipe_sha256: str
    version: str = __version__


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a recipe.

    Attributes:
        style: of the recipe.
        kind: began (text: machine, count: process), said (a line), phase (its name, total ticks), tick (count so far).
        text, count, total: as `kind` says.
    """

    style: str
    kind: Literal["began", "said", "phase", "tick"]
    text: str = ""
    count: int = 0
    total: int | None = None


class Board:
    """Where workers leave events and the driver takes them; an actor."""

    def __init__(self) -> None:
        self._events: list[Event] = []

    def report(self, event: Event) -> None:
        """Leave one."""
        self._events.append(event)

    def take(self) -> list[Event]:
        """All since the last call, in order."""
        events, self._events = self._events, []
        return events


class ReportingProgress(TrainingProgress):
    """Progress that goes into the worker's log and to the driver.

    Args:
        style: of the recipe.
        report: takes the events; ticks come at most every half second.
    """

    def __init__(self, style: str, report: Callable[[Event], None]) -> None:
        super().__init__()
        self._style, self._report = style, report
        self._ticks, self._told = 0, 0.0

    def say(self, text: str) -> None:
        """A line."""
        super().say(text)
        self._report(Event(self._style, "said", text))

    def begin(self, what: str, total: int | None) -> None:
        """A phase of `total` ticks begins."""
        super().begin(what, total)
        self._ticks = 0
        self._report(Event(self._style, "phase", what, total=total))

    def tick(self) -> None:
        """A batch is done."""
        super().tick()
        self._ticks += 1
        if time.monotonic() - self._told >= _TICK_S:
            self._told = time.monotonic()
            self._report(Event(self._style, "tick", count=self._ticks))


def train_on_worker(order: Order, board: Any) -> Outcome:  # noqa: ANN401 - Ray's handle of the actor `Board`
    """Train a recipe here; the body of a Ray task."""

    def report(event: Event) -> None:
        board.report.remote(event)  # nobody waits for it, and nothing here fails with it

    machine = platform.node()
    report(Event(order.job.recipe.style, "began", machine, count=os.getpid()))
    try:
        return _train(order, machine, report)
    except GlassEdgeError as error:
        return without_report(order.job, "failed", f"on {machine}: {error}", machine)


def _train(order: Order, machine: str, report: Callable[[Event], None]) -> Outcome:
    job = order.job
    if order.version != __version__:
        raise InputError(f"glass-edge {__version__} here, {order.version} where it was asked for; install one version")
    require_paths(order)
    if is_finished(job.run_folder, job.recipe) or _is_fitted(job):
        return without_report(job, "done", "was finished before", machine)
    resume = (job.run_folder / STATE_NAME).is_file()
    with ReportingProgress(job.recipe.style, report) as progress:
        done = train(job.recipe_file, job.recipe, job.run_folder, progress, resume=resume)
    return outcome_of(done, job, machine)


def require_paths(order: Order) -> None:
    """Refuse a job whose files this machine does not see.

    Raises:
        InputError: naming the first of them.
    """
    job = order.job
    for path in (job.recipe_file, job.run_folder, *named_paths(job.recipe)):
        if not path.exists():
            raise InputError(f"{path}: not there; {_SHARE}")
    if sha256_file(job.recipe_file) != order.recipe_sha256:
        raise InputError(f"{job.recipe_file}: not the file of the machine that gave the order; {_SHARE}")


def named_paths(recipe: Recipe) -> list[Path]:
    """Files and folders a recipe names, absolute since it was loaded."""
    found = [recipe.data.folder, recipe.las.textures_folder, recipe.data.foreground_folder]
    if recipe.backbone.has_weights_file:
        found.append(Path(recipe.backbone.weights))
    return [path for path in found if path is not None]


def _is_fitted(job: TrainingJob) -> bool:
    """Whether a worker fitted the closed form into this job's own folder and died before it could say so."""
    return job.recipe.method == "mahalanobis" and RunFolder(job.run_folder).checkpoint_epoch() is not None
