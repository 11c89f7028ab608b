"""Recipes spread over a Ray cluster.

Promises: Ray places the recipes, carries them to their machines and tries again what a dying worker or machine left
(continued after the last epoch kept); every recipe has an outcome, whatever became of it; a request to stop (Ctrl-C,
SIGTERM) ends each recipe after the epoch last kept; nothing of Ray is left running here.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from glass_edge.cli.ray_resources import Share, machines_of, share_of
from glass_edge.cli.ray_task import Board, Order, train_on_worker
from glass_edge.cli.ray_view import ClusterView
from glass_edge.cli.train_jobs import TrainingJob, TrainOptions
from glass_edge.cli.train_many import without_report
from glass_edge.cli.train_result import Outcome
from glass_edge.cli.training_keeper import stopping
from glass_edge.errors import GlassEdgeError, InputError, MissingExtraError
from glass_edge.files import make_folder, sha256_file
from glass_edge.glass.run_folder import RunFolder
from glass_edge.glass.trainer_state import STATE_NAME

LOCAL = "local"
RETRIES = 3
_POLL_S = 0.5
_CONNECT_S = 10
_OBJECT_STORE_BYTES = 100 << 20  # orders and outcomes are small; Ray would take a third of the memory


def train_on_cluster(jobs: Sequence[TrainingJob], options: TrainOptions) -> list[Outcome]:
    """Train all recipes.

    Args:
        jobs: what to train.
        options: the address ('local': a cluster of this machine alone, gone afterwards), cores, cards and retries.

    Returns:
        What became of each, in order.

    Raises:
        InputError: no cluster at the address, or no machine large enough. MissingExtraError: Ray is not installed.
        GlassEdgeError: the cluster was lost.
    """
    try:
        import ray
    except ModuleNotFoundError as error:
        raise MissingExtraError("ray", "glass-edge train --ray") from error

    for job in jobs:
        _require_startable(job)
    with _connected(ray, options.ray or LOCAL), ClusterView([job.recipe.style for job in jobs]) as view:
        machines = machines_of(ray.nodes())
        shares = [
            share_of(job.recipe.training, machines, len(jobs), cpus=options.cpus, gpus=options.gpus) for job in jobs
        ]
        view.say(f"{len(jobs)} recipes for {len(machines)} machines")
        for job in jobs:
            for warning in job.recipe.warnings():
                view.say(f"{job.recipe.style}: warning: {warning}")
        try:
            run = _ClusterRun(ray, view, RETRIES if options.retries is None else options.retries)
            run.submit([_order(job, share) for job, share in zip(jobs, shares, strict=True)], shares)
            return run.outcomes()
        except ray.exceptions.RayError as error:
            raise GlassEdgeError(
                f"--ray {options.ray}: the cluster was lost ({_first_line(error)}); what was kept of each recipe is in "
                "its run folder: go on with --resume"
            ) from error
        finally:
            for job in jobs:
                _remove_if_empty(job.run_folder)


class _ClusterRun:
    """Tasks of a run and what became of them.

    Attributes:
        stop_requested: every recipe is to end.
    """

    def __init__(self, ray: Any, view: ClusterView, retries: int) -> None:  # noqa: ANN401 - the module
        self.stop_requested = False
        self._ray, self._view, self._retries = ray, view, retries
        # on whatever machine there is room; it moves when that machine dies
        self._board = ray.remote(Board).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
        self._jobs: list[TrainingJob] = []
        self._running: dict[Any, TrainingJob] = {}
        self._done: dict[str, Outcome] = {}

    def submit(self, orders: Sequence[Order], shares: Sequence[Share]) -> None:
        """Hand the recipes to Ray."""
        task = self._ray.remote(train_on_worker)
        for order, share in zip(orders, shares, strict=True):
            placed = task.options(
                name=f"train {order.job.recipe.style}",
                num_cpus=share.cpus,
                num_gpus=share.gpus,
                max_retries=self._retries,  # a worker or machine that died; errors come back as outcomes
                scheduling_strategy="SPREAD",
            )
            self._running[placed.remote(order, self._board)] = order.job
            self._jobs.append(order.job)

    def outcomes(self) -> list[Outcome]:
        """Wait for all; the first Ctrl-C or SIGTERM stops them, the next one leaves."""
        is_told = False
        with stopping(self):
            while self._running:
                ready, _ = self._ray.wait(list(self._running), timeout=_POLL_S)
                self._show()
                for reference in ready:
                    job = self._running.pop(reference)
                    self._done[job.recipe.style] = self._outcome(reference, job)
                    self._view.ended(self._done[job.recipe.style])
                if self.stop_requested and not is_told:
                    is_told = True
                    self._view.say("stopping every recipe")
                    for reference in self._running:
                        self._ray.cancel(reference)  # as Ctrl-C would: the worker ends at its next step
        self._show()
        return [self._done[job.recipe.style] for job in self._jobs]

    def _show(self) -> None:
        for event in self._ray.get(self._board.take.remote()):
            self._view.show(event)

    def _outcome(self, reference: Any, job: TrainingJob) -> Outcome:  # noqa: ANN401 - Ray's
        errors = self._ray.exceptions
        try:
            outcome: Outcome = self._ray.get(reference)
        except errors.TaskCancelledError:
            return without_report(job, "stopped" if self._view.began[job.recipe.style] else "not begun")
        except errors.RayTaskError as error:  # a fault of the program, or of what is installed there
            self._view.say(str(error))
            missing = " (install the same glass-edge[train,ray] on every machine)" if "No module" in str(error) else ""
            return without_report(
                job, "failed", f"{_first_line(error.cause or error)}{missing}; see the traceback above"
            )
        except errors.RayError as error:
            return without_report(
                job,
                "failed",
                f"its worker died and {self._retries} retries are used up ({type(error).__name__}: "
                f"{_first_line(error)}); see Ray's logs on that machine, then go on with --resume",
            )
        return outcome


@contextlib.contextmanager
def _connected(ray: Any, address: str) -> Iterator[None]:  # noqa: ANN401 - the module
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a mill's network is not to be told to anybody
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "WARNING"}
    if address == LOCAL:
        options |= {"include_dashboard": False, "object_store_memory": _OBJECT_STORE_BYTES}
    else:
        _require_listener(address)
    try:
        ray.init(address, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise InputError(f"--ray {address}: {_first_line(error)}; {_ADDRESSES}") from error
    try:
        with contextlib.redirect_stdout(sys.stderr):  # Ray tells of dead workers there, in the midst of a result
            yield
    finally:
        ray.shutdown()


_ADDRESSES = "give HOST:PORT of a running cluster that this machine is part of (ray start), auto, or local"


def _require_listener(address: str) -> None:
    """Refuse an address where nobody listens, for which Ray would wait many minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:
        return  # 'auto', or a word that Ray refuses at once
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_S).close()
    except (OSError, ValueError) as error:
        raise InputError(f"--ray {address}: no cluster answers there ({error}); {_ADDRESSES}") from error


def _require_startable(job: TrainingJob) -> None:
    """Refuse what a worker would take for a task that is tried again: it continues whatever it finds."""
    if not job.resume:
        RunFolder(job.run_folder).require_new()
    elif not (job.run_folder / STATE_NAME).is_file():
        raise InputError(f"{job.run_folder / STATE_NAME}: no training state to continue from; train without --resume")


def _order(job: TrainingJob, share: Share) -> Order:
    """The job as it means the same on another machine: absolute paths, threads and device as its share says."""
    training = job.recipe.training.model_copy(update={"threads": share.cpus})
    if training.device == "auto" and not share.gpus:
        training = training.model_copy(update={"device": "cpu"})
    there = replace(
        job,
        recipe_file=job.recipe_file.absolute(),
        recipe=job.recipe.model_copy(update={"training": training}),
        run_folder=make_folder(job.run_folder.absolute()),
    )
    return Order(there, sha256_file(there.recipe_file))


def _remove_if_empty(folder: Path) -> None:
    """Take away what `_order` made for a recipe that never wrote anything."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
