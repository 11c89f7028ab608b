"""Other engines for a running station: asked for, prepared aside, and remembered once they decide.

Promises: a request is answered at once, from the manifest alone; an engine is opened, tested against its golden tiles
and warmed in a thread of its own, and one that fails anything never decides: the engine that runs goes on and the
reason is told; the newest request counts, and one for the engine that decides takes back one that does not yet; no
engine stays open.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import structlog

from glass_edge.engine.bundle import Bundle, load_bundle
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.fabric.roll import RollTotals
from glass_edge.inspection.engine_changes import EngineChanges, ReadyEngine
from glass_edge.inspection.parameters import ActiveEngine, active_engine
from glass_edge.inspection.sink import QuietSink
from glass_edge.service.recipe_book import Recipes
from glass_edge.service.roll_job import RollJob, check_job
from glass_edge.service.roll_judge import JudgeRules, RollJudge

FAILED_FAULT = "recipe_failed"
NOT_KEPT_FAULT = "recipe_not_kept"
_SAME_SCALE = 0.03  # as `fit_check.limits.scale_across` has it
_LAST_S = 10.0  # how long an engine that is being opened is waited for when the run ends
_log = structlog.get_logger(__name__)

Tell = Callable[[str, str], None]


@dataclass(frozen=True, slots=True, eq=False)
class _Prepared:
    """An engine on its way, and what comes with it."""

    bundle: Bundle
    ready: ReadyEngine
    rules: JudgeRules
    follow: Callable[[], None] | None


class EngineKeeper(QuietSink):
    """Changes the engine of one run; a sink of it, before the one that tells events.

    Args:
        job: what the run began with.
        recipes: what else there is.
        judge: of the run.
        tell: tells a fault code and a message, from any thread.
    """

    def __init__(self, job: RollJob, recipes: Recipes, judge: RollJudge, tell: Tell) -> None:
        self._job, self._recipes, self._judge, self._tell = job, recipes, judge, tell
        self._changes: EngineChanges | None = None
        self._wake = threading.Condition()
        self._running = job.bundle
        self._wanted: Bundle | None = None  # to be prepared, or just being
        self._on_way: list[_Prepared] = []  # given to the inspection, in the order in which they will decide
        self._to_close: list[_Prepared] = []
        self._is_closed = False
        self._thread: threading.Thread | None = None
        self._memory_lock = threading.Lock()
        self.has_changed = False
        """Whether another engine than the first has decided."""

    def start(self, changes: EngineChanges) -> None:
        """The run begins; a request that the station before did not get to is told."""
        self._changes = changes
        self._thread = threading.Thread(target=self._work, name="engine-keeper", daemon=True)
        self._thread.start()
        memory = self._recipes.memory
        if memory is not None and memory.pending is not None:
            self._say(FAILED_FAULT, f"{memory.pending}: asked for, and the station ended before it decided; ask again")
            self._remember(memory.drop_pending)

    def ask(self, style: str, version: str | None) -> str:
        """Have an engine prepared; returns its version.

        Raises:
            InputError: there is none, it does not fit the station, or it decides already.
        """
        bundle = self._recipes.book.find(style, version)
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

    def engine_changed(self, line: int, engine: ActiveEngine, so_far: RollTotals | None) -> None:
        """The engine decides: it is remembered, and what belongs to its style follows."""
        del line, so_far
        with self._wake:
            prepared = next(each for each in self._on_way if each.ready.active is engine)
            self._on_way.remove(prepared)
            is_other_style = self._running.manifest.style != prepared.bundle.manifest.style
            self._running, self.has_changed = prepared.bundle, True
        manifest = prepared.bundle.manifest
        memory = self._recipes.memory
        if memory is not None:
            self._remember(lambda: memory.choose(manifest.style, manifest.version))
        if is_other_style:
            self._judge.use(prepared.rules)
            if prepared.follow is not None:
                prepared.follow()

    def close(self) -> None:
        """The run has ended; what never came to decide is told."""
        with self._wake:
            self._is_closed = True
            bundles = [each.bundle for each in self._on_way] + ([self._wanted] if self._wanted is not None else [])
            self._wanted = None
            self._on_way.clear()  # the inspection has closed them
            self._wake.notify()
        if self._thread is not None:
            self._thread.join(_LAST_S)
        for bundle in bundles:
            name = f"{bundle.manifest.style} {bundle.manifest.version}"
            self._say(FAILED_FAULT, f"{name}: the run ended before it could decide")
        if bundles:
            self._forget_pending()

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
                while self._wanted is None and not self._to_close and not self._is_closed:
                    self._wake.wait()
                to_close, self._to_close = self._to_close, []
                wanted, is_closed = self._wanted, self._is_closed
            for prepared in to_close:
                self._close(prepared)
            if wanted is not None:
                self._bring(wanted)
            elif is_closed:
                return
            elif to_close:
                self._forget_pending()

    def _bring(self, bundle: Bundle) -> None:
        """Prepare an engine and give it to the inspection, unless another one was asked for meanwhile."""
        style, version = bundle.manifest.style, bundle.manifest.version
        memory = self._recipes.memory
        if memory is not None:
            self._remember(lambda: memory.ask(style, version))
        try:
            prepared = self._prepare(bundle)
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
            self._close(prepared)
        elif back is prepared.ready:
            self._say(FAILED_FAULT, f"{style} {version}: the run ended before it could decide")

    def _is_still_wanted(self, bundle: Bundle) -> bool:
        """Whether no other request came while the engine was prepared; if so, it is prepared no more."""
        with self._wake:
            is_wanted = self._wanted is bundle
            self._wanted = None if is_wanted else self._wanted
        return is_wanted

    def _prepare(self, bundle: Bundle) -> _Prepared:
        """Verify, open, test and warm an engine.

        Raises:
            GlassEdgeError: any of it fails.
        """
        verified = load_bundle(bundle.folder)
        if verified.manifest_sha256 != bundle.manifest_sha256:
            raise InputError(f"{bundle.folder}: the bundle was changed after it was asked for; ask again")
        style = verified.manifest.style
        rules = self._recipes.rules(style)
        follow = None if self._recipes.follow is None else self._recipes.follow(style)
        job = replace(self._job, bundle=verified, judge=rules)
        check_job(job)
        engine = job.open_engine(verified)
        try:
            active = active_engine(verified.manifest, verified.model_sha256, engine, job.inspection)
            engine.__enter__()
        except BaseException as error:
            engine.__exit__(type(error), error, error.__traceback__)
            raise
        return _Prepared(verified, ReadyEngine(engine, active, job.cloth), rules, follow)

    def _close(self, prepared: _Prepared) -> None:
        try:
            prepared.ready.engine.__exit__(None, None, None)
        except Exception:  # noqa: BLE001 - another engine decides
            _log.exception("engine.not_closed", style=prepared.bundle.manifest.style)

    def _forget_pending(self) -> None:
        if self._recipes.memory is not None:
            self._remember(self._recipes.memory.drop_pending)

    def _say(self, code: str, message: str) -> None:
        with contextlib.suppress(GlassEdgeError):  # a station that is ending may not be told any more
            self._tell(code, message)

    def _remember(self, write: Callable[[], None]) -> None:
        try:
            with self._memory_lock:
                write()
        except (InputError, OSError) as error:
            told = f"after a restart the station will not know which engine was chosen: {error}"
            self._say(NOT_KEPT_FAULT, told)


def check_scale(job: RollJob, bundle: Bundle) -> None:
    """Raises InputError where a bundle's style was trained at another scale than the station's camera has; the scale of
    the bundle that the station begins with is accepted.
    """
    scale, here = bundle.manifest.mm_per_px, job.web.mm_per_px
    if scale is None or scale == job.bundle.manifest.mm_per_px or abs(scale / here - 1) <= _SAME_SCALE:
        return
    raise InputError(
        f"{bundle.folder}: trained at {scale:g} mm a pixel, and the station's camera sees {here:g} ([web] mm_per_px); "
        "an engine trained on pictures of this camera is needed"
    )
