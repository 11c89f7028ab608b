"""The way back from an engine on trial, while the station runs.

Promises: the engine before is kept warm while the one that decides is on trial, unless another one is prepared: at no
time more engines are open than a change needs; where the engine on trial fails again and again the one before is
brought, and where that cannot be, the inspection is told so at its next question; a trial is stood by inspecting.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from glass_edge.engine.base import Engine
from glass_edge.engine.bundle import Bundle
from glass_edge.service.engine_memory import EngineMemory
from glass_edge.service.engine_prepared import Prepared, prepare
from glass_edge.service.engine_slots import EngineName, EngineSlot
from glass_edge.service.engine_trial import TrialClock, bundle_before
from glass_edge.service.recipe_book import Recipes
from glass_edge.service.roll_job import RollJob

_LONGEST_S = 300.0  # for the engine before to be prepared again


@dataclass(slots=True, eq=False)
class Failing:
    """An engine on trial that fails.

    Attributes:
        prepared: the engine.
        problem: how it fails.
        since_s: monotonic, when that was told.
        is_seen: the preparing thread has taken it up.
        is_hopeless: nothing takes its place.
    """

    prepared: Prepared
    problem: str
    since_s: float
    is_seen: bool = False
    is_hopeless: bool = False


class EngineRescue:
    """What a keeper of engines does about trials.

    Args:
        job: what the run began with.
        recipes: of the station.
        first: the engine that it began with.
        length_s: of a trial, s of inspection.
        wake: the keeper's lock; it is taken by every method that does not say otherwise.
    """

    def __init__(
        self, job: RollJob, recipes: Recipes, first: Prepared, length_s: float, wake: threading.Condition
    ) -> None:
        self._job, self._recipes, self._length_s, self._wake = job, recipes, length_s, wake
        self._clock = TrialClock()
        self._scores = first  # as the inference has it
        self._warm: Prepared | None = None
        self._retired: list[Prepared] = []
        self.failing: Failing | None = None
        """The engine that fails, until another one takes over."""
        self.is_closed = False

    @property
    def _memory(self) -> EngineMemory | None:
        return self._recipes.memory

    def rescue(self, problem: str) -> bool:
        """See `EngineHelp`."""
        with self._wake:
            if self.failing is None:
                if not self._is_on_trial(self._scores):
                    return False
                self.failing = Failing(self._scores, problem, time.monotonic())
                self._wake.notify()
            waited_s = time.monotonic() - self.failing.since_s
            return not self.failing.is_hopeless and waited_s < _LONGEST_S

    def taken_over(self, engine: Engine, after: Prepared) -> bool:
        """`after` scores now instead of `engine`, which is kept warm (True) where `after` may have to go back to it."""
        with self._wake:
            before, self._scores, self.failing = self._scores, after, None
            name = before.name
            if after.because is not None or name.style != after.name.style:
                self._retire()
                return False
            engines = None if self._memory is None else self._memory.engines(name.style)
            if engines is None or not self._length_s or before.ready.engine is not engine:
                return False
            if _is(engines.way_back, after.name):
                self._retire()
                return False
            if not engines.deciding.is_proven or not _is(engines.deciding, name):
                return False  # the one before it is, and stays warm if it was
            self._retire()
            self._warm = before
            return True

    def inspected(self, lines: int) -> EngineName | None:
        """So many lines are inspected by now; returns the engine that has stood its trial by that.

        Raises:
            InputError: that cannot be written.
        """
        seconds = self._clock.step(lines)
        proven = None if self._memory is None or not seconds else self._memory.count(seconds)
        if proven is not None:
            with self._wake:
                self._retire()
        return proven

    def take_warm(self, bundle: Bundle) -> Prepared | None:
        """The engine that is kept warm, if it is the one of `bundle`; another one has to go, to make room."""
        with self._wake:
            if self._warm is not None and self._warm.bundle.manifest_sha256 == bundle.manifest_sha256:
                warm, self._warm = self._warm, None
                return warm
            self._retire()
        return None

    def take_retired(self) -> list[Prepared]:
        """Engines to be closed; the lock is held."""
        retired, self._retired = self._retired, []
        return retired

    @property
    def has_retired(self) -> bool:
        """Whether there are such; the lock is held."""
        return bool(self._retired)

    def unseen(self, running: Bundle) -> Failing | None:
        """The engine that fails, if it is `running`, and nothing was done yet; the lock is held."""
        failing = self.failing
        return None if failing is None or failing.is_seen or failing.prepared.bundle is not running else failing

    def bring(self, failing: Failing, close: Callable[[list[Prepared]], None]) -> Prepared | None:
        """The engine before, ready to take over; None: there is no trial and so no way back.

        Args:
            failing: as it was seen.
            close: closes engines.

        Raises:
            GlassEdgeError: it cannot be prepared.
        """
        name = failing.prepared.name
        with self._wake:
            failing.is_seen = True
            is_on_trial = self._is_on_trial(failing.prepared)
        if self._memory is None or not is_on_trial:
            return None
        bundle = bundle_before(self._memory, self._recipes.book, name.style)
        warm = self.take_warm(bundle)
        if warm is None:
            with self._wake:
                retired = self.take_retired()
            close(retired)
            warm = prepare(self._job, self._recipes, bundle)
        return replace(warm, because=failing.problem)

    def close(self) -> None:
        """The run has ended."""
        with self._wake:
            self.is_closed = True
            self._retire()

    def _retire(self) -> None:
        if self._warm is not None:
            self._retired.append(self._warm)
            self._warm = None
            self._wake.notify()

    def _is_on_trial(self, prepared: Prepared) -> bool:
        engines = None if self._memory is None else self._memory.engines(prepared.name.style)
        if engines is None or self.is_closed:
            return False
        if _is(engines.deciding, prepared.name):
            return engines.trial is not None
        return self._length_s > 0 and prepared.because is None  # it decides, which is just being told


def _is(slot: EngineSlot | None, name: EngineName) -> bool:
    return slot is not None and slot.is_one(name.version, name.manifest_sha256)
