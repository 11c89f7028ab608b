"""The trial of an engine that decides for the first time: what counts as standing it, and as failing it.

Promises: an engine on trial is marked on disk before anything of it runs; a station that ends because it was told to,
or because something else failed, leaves the trial to go on at its next start; every other end, one of the process
included, makes the next start go back to the engine before.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from glass_edge.config.engine import EngineSettings
from glass_edge.engine.base import EngineError, TileShapeError
from glass_edge.engine.bundle import Bundle, load_bundle
from glass_edge.engine.gpu_probe import GpuUnavailableError
from glass_edge.engine.parity import ParityError
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.service.engine_memory import EngineMemory, station_lock
from glass_edge.service.engine_slots import EngineName
from glass_edge.service.recipe_book import RecipeBook

ROLLED_BACK_FAULT = "engine_rolled_back"
_LONGEST_STEP_S = 5.0  # a longer time between two reports is not inspection


def trial_s(settings: EngineSettings) -> float:
    """Length of a trial, seconds of inspection; 0: there is none."""
    return settings.trial_min * 60.0


class TrialClock:
    """Seconds in which cloth was inspected.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at_s = clock()
        self._lines = 0

    def step(self, lines_inspected: int) -> float:
        """Seconds since the last step, 0 where no line was inspected meanwhile."""
        now_s, before_s = self._clock(), self._at_s
        self._at_s = now_s
        has_inspected, self._lines = lines_inspected != self._lines, lines_inspected
        return min(now_s - before_s, _LONGEST_STEP_S) if has_inspected else 0.0


@dataclass(slots=True)
class Beginning:
    """Whether the engine that the station begins with was opened."""

    is_opened: bool = False


@contextlib.contextmanager
def attended(memory: EngineMemory | None, engine: EngineName, length_s: float) -> Iterator[Beginning]:
    """Around all that a station does with the engine it begins with and those that follow.

    Args:
        memory: of the station; None: nothing is kept, and there are no trials.
        engine: to begin with.
        length_s: of a trial.

    Raises:
        InputError: the memory cannot be written.
    """
    beginning = Beginning()
    if memory is None:
        yield beginning
        return
    memory.begin(engine, length_s)
    try:
        yield beginning
    except BaseException as error:
        if not _is_engines(error, beginning.is_opened):
            with contextlib.suppress(InputError):  # the error on its way out is the one to be seen
                memory.end()
        raise
    memory.end()


def _is_engines(error: BaseException, was_opened: bool) -> bool:
    """Whether an engine on trial failed by this error. Unknown errors count as the engine's."""
    if isinstance(error, KeyboardInterrupt | SystemExit | GpuUnavailableError):
        return False
    is_foreseen = isinstance(error, GlassEdgeError) and was_opened
    return not is_foreseen or isinstance(error, EngineError | ParityError | TileShapeError)


def go_back_after_death(memory: EngineMemory, book: RecipeBook, journal: Path) -> str:
    """Before a start: where the station ended uncleanly while an engine was on trial, go back to the one before.

    Args:
        memory: of the station.
        book: where engines lie.
        journal: of the station.

    Returns:
        What a person should know; empty where nothing was to be done, or the station runs already.

    Raises:
        InputError: the memory cannot be written.
    """
    style = memory.died_on
    engines = None if style is None else memory.engines(style)
    if style is None or engines is None:
        return ""
    reason = (
        "the station ended within the trial without being told to (a crash, a kill by the watchdog and a power cut "
        "look alike)"
    )
    with _stopped(journal) as is_stopped:
        if not is_stopped:
            return ""
        try:
            bundle_before(memory, book, style)
        except InputError as error:
            return f"engine {style} {engines.deciding.version}: {reason}, and there is no way back: {error}; it goes on"
        return _go_back(memory, style, reason)


def go_back_from_unusable(memory: EngineMemory, book: RecipeBook, journal: Path, reason: str) -> str:
    """Before a start with the chosen engine, which cannot be used because of `reason`: go back if it is on trial.

    Returns:
        As `go_back_after_death`; empty where it is not on trial, or there is no way back.

    Raises:
        InputError: the memory cannot be written.
    """
    choice = memory.chosen
    engines = None if choice is None else memory.engines(choice.style)
    if choice is None or engines is None or engines.trial is None:
        return ""
    with _stopped(journal) as is_stopped:
        try:
            bundle_before(memory, book, choice.style)
        except InputError:
            return ""
        return _go_back(memory, choice.style, reason) if is_stopped else ""


@contextlib.contextmanager
def _stopped(journal: Path) -> Iterator[bool]:
    """Whether the station does not run, and none can start meanwhile."""
    lock = station_lock(journal)
    is_stopped = lock.acquire()
    try:
        yield is_stopped
    finally:
        lock.release()


def _go_back(memory: EngineMemory, style: str, reason: str) -> str:
    engines = memory.engines(style)
    assert engines is not None
    assert engines.way_back is not None
    told = rolled_back(style, engines.deciding.version, engines.way_back.version, reason)
    memory.go_back(style, reason, untold=told)
    return told


def rolled_back(style: str, from_version: str, to_version: str, reason: str) -> str:
    """How going back is told."""
    return (
        f"back from engine {style} {from_version} to {style} {to_version}: {reason}; nothing but a command by name "
        f"takes it again: glass-edge engine activate {style} {from_version}"
    )


def bundle_before(memory: EngineMemory, book: RecipeBook, style: str) -> Bundle:
    """The engine that a style's deciding one can go back to, verified.

    Raises:
        InputError: there is none, or it is not what it was.
    """
    engines = memory.engines(style)
    back = None if engines is None else engines.way_back
    if back is None:
        raise InputError(f"no engine of style '{style}' decided before")
    bundle = load_bundle(book.find(style, back.version).folder)
    if bundle.manifest_sha256 != back.manifest_sha256:
        raise InputError(f"{bundle.folder}: not the engine that decided before: its manifest is another")
    return bundle
