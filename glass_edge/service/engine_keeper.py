"""Other engines for a running station: asked for, prepared aside, and remembered once they decide.

Promises: a request is answered at once, from the manifest alone; an engine is opened, tested against its golden tiles
and warmed in a thread of its own, and one that fails anything never decides: the engine that runs goes on and the
reason is told; the newest request counts, and one for the engine that decides takes back one that does not yet; where
an engine on trial fails, the one before takes over again, kept warm or prepared anew; no engine stays open.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import replace

import structlog

from glass_edge.engine.base import Engine
from glass_edge.engine.bundle import Bundle
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.fabric.roll import RollTotals
from glass_edge.inspection.engine_changes import EngineChanges, ReadyEngine
from glass_edge.inspection.parameters import ActiveEngine
from glass_edge.inspection.sink import Progress, QuietSink
from glass_edge.service.engine_prepared import Prepared, beginning, check_scale, prepare
from glass_edge.service.engine_rescue import EngineRescue, Failing
from glass_edge.service.engine_trial import ROLLED_BACK_FAULT, rolled_back, trial_s
from glass_edge.service.recipe_book import Recipes
from glass_edge.service.roll_job import RollJob, check_job
from glass_edge.service.roll_judge import RollJudge

FAILED_FAULT = "recipe_failed"
NOT_KEPT_FAULT = "recipe_not_kept"
_LAST_S = 10.0  # how long an engine that is being opened is waited for when the run ends
_log = structlog.get_logger(__name__)

Tell = Callable[[str, str], None]


class EngineKeeper(QuietSink):
    """Changes the engine of one run; a sink of it, before the one that tells events, and its `EngineHelp`.

    Args:
        job: what the run began with.
        engine: of the job, opened.
        recipes: what else there is.
        judge: of the run.
        tell: tells a fault code and a message, from any thread.
    """

    def __init__(self, job: RollJob, engine: Engine, recipes: Recipes, judge: RollJudge, tell: Tell) -> None:
        self._job, self._recipes, self._judge, self._tell = job, recipes, judge, tell
        self._memory = recipes.memory
        self._trial_s = trial_s(job.engine)
        self._changes: EngineChanges | None = None
        self._wake = threading.Condition()
        self._rescue = EngineRescue(job, recipes, beginning(job, engine), self._trial_s, self._wake)
        self._running = job.bundle
        self._wanted: Bundle | None = None  # to be prepared, or just being
        self._on_way: list[Prepared] = []  # given to the inspection, in the order in which they will decide
        self._to_close: list[Prepared] = []
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self.has_changed = False
        """Whether another engine than the first has decided."""

    def start(self, changes: EngineChanges) -> None:
        """The run begins; what happened before it and was not told yet is told."""
        self._changes = changes
        changes.help = self
        self._thread = threading.Thread(target=self._work, name="engine-keeper", daemon=True)
        self._thread.start()
        memory = self._memory
        if memory is not None and memory.untold is not None:
            self._say(ROLLED_BACK_FAULT, memory.untold)
            self._remember(memory.told)
        if memory is not None and memory.pending is not None:
            self._say(FAILED_FAULT, f"{memory.pending}: asked for, and the station ended before it decided; ask again")
            self._remember(memory.drop_pending)

    def ask(self, style: str, version: str | None) -> str:
        """Have an engine prepared; returns its version.

        Raises:
            InputError: there is none, it does not fit the station, or it decides already.
        """
        bundle = self._recipes.book.find(style, version, self._memory)
        check_job(replace(self._job, bundle=bundle))
        check_scale(self._job, bundle)
        found = f"{bundle.manifest.style} {bundle.manifest.version}"
        with self._wake:
            if self._is_closed or self._changes is None:
                raise InputError(f"{found}: no roll is running")
            had_wanted, self._wanted = self._wanted is not None, None
            had_waiting = self._withdraw()
            ahead = self._on_way[-1].bundle if self._on_way else self._running
            if ahead.manifest_sha256 != bundle.manifest_sha256:
                self._wanted = bundle
            elif not had_wanted and not had_waiting:
                raise InputError(f"{found} decides already")
            self._wake.notify()
        return bundle.manifest.version

    def rescue(self, problem: str) -> bool:
        """See `EngineHelp`: the engine before, where the one that fails is on trial."""
        return self._rescue.rescue(problem)

    def keep(self, engine: Engine, successor: ReadyEngine) -> bool:
        """See `EngineHelp`: an engine that its successor may have to go back to."""
        with self._wake:
            after = next(each for each in self._on_way if each.ready is successor)
        return self._rescue.taken_over(engine, after)

    def engine_changed(self, line: int, engine: ActiveEngine, so_far: RollTotals | None) -> None:
        """The engine decides: it is remembered, and what belongs to its style follows."""
        del line, so_far
        with self._wake:
            prepared, before = next(each for each in self._on_way if each.ready.active is engine), self._running
        memory = self._memory
        if memory is not None and prepared.because is not None:
            self._went_back(before.manifest.version, prepared, prepared.because)
        elif memory is not None:
            self._remember(lambda: memory.choose(prepared.name, self._trial_s))
        with self._wake:  # once it is remembered: its rescue looks there
            self._on_way.remove(prepared)
            self._running, self.has_changed = prepared.bundle, True
            self._wake.notify()
        if before.manifest.style != prepared.bundle.manifest.style:
            self._judge.use(prepared.rules)
            if prepared.follow is not None:
                prepared.follow()

    def progress(self, progress: Progress) -> None:
        """The trial goes on while cloth is inspected."""

        def inspected() -> None:
            if (proven := self._rescue.inspected(progress.lines_inspected)) is not None:
                _log.info("engine.proven", style=proven.style, version=proven.version)

        self._remember(inspected)

    def close(self) -> None:
        """The run has ended; what never came to decide is told."""
        with self._wake:
            self._is_closed = True
            asked = [each.bundle for each in self._on_way if each.because is None]
            asked += [self._wanted] if self._wanted is not None else []
            self._wanted = None
            self._on_way.clear()  # the inspection has closed them
            self._rescue.close()
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(_LAST_S)
        for bundle in asked:
            name = f"{bundle.manifest.style} {bundle.manifest.version}"
            self._say(FAILED_FAULT, f"{name}: the run ended before it could decide")
        if asked:
            self._forget_pending()

    def _went_back(self, from_version: str, prepared: Prepared, because: str) -> None:
        """The engine before decides again."""
        memory, name = self._memory, prepared.name
        engines = None if memory is None else memory.engines(name.style)
        back = None if engines is None else engines.way_back
        if memory is not None and back is not None and back.is_one(name.version, name.manifest_sha256):
            self._remember(lambda: memory.go_back(name.style, because))
        told = rolled_back(name.style, from_version, name.version, because)
        _log.warning("engine.rolled_back", message=told)
        self._say(ROLLED_BACK_FAULT, told)

    def _withdraw(self) -> bool:
        """Take back the engine that waits for a roll; whether there was one."""
        assert self._changes is not None
        ready = self._changes.withdraw()
        self._retire(ready)
        return ready is not None

    def _retire(self, ready: ReadyEngine | None) -> None:
        """An engine that will not decide."""
        for prepared in [each for each in self._on_way if each.ready is ready]:
            self._on_way.remove(prepared)
            self._to_close.append(prepared)

    def _work(self) -> None:
        """Body of the preparing thread."""
        while True:
            with self._wake:
                while not (self._has_work or self._is_closed):
                    self._wake.wait()
                withdrawn, self._to_close = self._to_close, []
                retired = self._rescue.take_retired()
                wanted, failing, is_closed = self._wanted, self._rescue.unseen(self._running), self._is_closed
            self._close([*withdrawn, *retired])
            if wanted is not None:
                self._bring(wanted)
            elif is_closed:
                return
            elif failing is not None:
                failing.is_hopeless = not self._bring_back(failing)
            elif withdrawn:
                self._forget_pending()

    @property
    def _has_work(self) -> bool:
        has_engines = self._wanted is not None or bool(self._to_close) or self._rescue.has_retired
        return has_engines or self._rescue.unseen(self._running) is not None

    def _bring_back(self, failing: Failing) -> bool:
        """Give the engine before to the inspection, unless another one took over meanwhile; False: there is none."""
        name = failing.prepared.name
        try:
            prepared = self._rescue.bring(failing, self._close)
        except Exception as error:  # noqa: BLE001 - told: the engine that fails ends the run by itself
            reason = str(error) or type(error).__name__
            self._say(FAILED_FAULT, f"{name}: {failing.problem}; there is no way back: {reason}")
            return False
        if prepared is None:
            return False
        with self._wake:
            assert self._changes is not None
            is_taken = self._rescue.failing is failing and not self._is_closed
            if is_taken:
                self._on_way.append(prepared)
                is_taken = self._changes.fall_back(prepared.ready)
            if not is_taken and prepared in self._on_way:
                self._on_way.remove(prepared)
        if not is_taken:
            self._close([prepared])
        return is_taken

    def _bring(self, bundle: Bundle) -> None:
        """Prepare an engine and give it to the inspection, unless another one was asked for meanwhile."""
        style, version = bundle.manifest.style, bundle.manifest.version
        memory = self._memory
        if memory is not None:
            self._remember(lambda: memory.ask(style, version))
        try:
            prepared = self._rescue.take_warm(bundle) or prepare(self._job, self._recipes, bundle)
        except Exception as error:  # noqa: BLE001 - told: what cannot be prepared must not end the inspection
            if not isinstance(error, GlassEdgeError):
                _log.exception("engine.not_prepared", style=style, version=version)
            if self._is_still_wanted(bundle):
                running = self._running.manifest
                reason = str(error) or type(error).__name__
                told = f"{style} {version}: {reason}; {running.style} {running.version} goes on"
                self._say(FAILED_FAULT, told)
                self._forget_pending()
            return
        with self._wake:
            is_wanted, back = self._is_still_wanted(bundle), None
            if is_wanted:
                assert self._changes is not None
                self._on_way.append(prepared)
                back = self._changes.offer(prepared.ready)
                self._retire(back)
        if not is_wanted:
            self._close([prepared])
        elif back is prepared.ready:
            self._say(FAILED_FAULT, f"{style} {version}: the run ended before it could decide")

    def _is_still_wanted(self, bundle: Bundle) -> bool:
        """Whether no other request came while the engine was prepared; if so, it is prepared no more."""
        with self._wake:
            is_wanted = self._wanted is bundle
            self._wanted = None if is_wanted else self._wanted
        return is_wanted

    def _close(self, engines: list[Prepared]) -> None:
        for prepared in engines:
            try:
                prepared.ready.engine.__exit__(None, None, None)
            except Exception:  # noqa: BLE001 - another engine decides
                _log.exception("engine.not_closed", style=prepared.bundle.manifest.style)

    def _forget_pending(self) -> None:
        if self._memory is not None:
            self._remember(self._memory.drop_pending)

    def _say(self, code: str, message: str) -> None:
        with contextlib.suppress(GlassEdgeError):  # a station that is ending may not be told any more
            self._tell(code, message)

    def _remember(self, write: Callable[[], object]) -> None:
        try:
            write()
        except (InputError, OSError) as error:
            told = f"after a restart the station will not know which engine was chosen: {error}"
            self._say(NOT_KEPT_FAULT, told)
