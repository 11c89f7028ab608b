"""The engine that scores, and the one that is about to take over.

Promises: nobody waits for an engine: it comes ready, and the one before is closed in a thread of its own, or kept by
who brought its successor; whatever happens, `close` leaves none open that nobody keeps.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

from glass_edge.config.inspection import InspectionSettings
from glass_edge.engine.base import Engine
from glass_edge.inspection.engine_changes import EngineChange, EngineChanges
from glass_edge.inspection.handover import Handover
from glass_edge.inspection.sink import Fault
from glass_edge.inspection.strip_scorer import StripScorer


class Scoring:
    """Engines of one run; used by the inference thread.

    Args:
        engine: to begin with, entered by the caller.
        halo_px: of its bundle.
        changes: engines to come.
        settings: of the inspection.
        tell: told where an engine cannot be closed, from another thread.

    Attributes:
        scorer: of the engine that scores.
        handover: to the next one, if that is due in the open segment.
    """

    def __init__(
        self,
        engine: Engine,
        halo_px: int,
        changes: EngineChanges,
        settings: InspectionSettings,
        tell: Callable[[Fault], None],
    ) -> None:
        self._engine = engine
        self._changes = changes
        self._settings = settings
        self._tell = tell
        self._tiles_before = 0  # scored by engines that were closed
        self._closing: list[threading.Thread] = []
        self.scorer = self._scorer_of(engine, halo_px)
        self.handover: Handover | None = None

    @property
    def tiles_scored(self) -> int:
        """By all engines; those of the next count once it scores alone."""
        return self._tiles_before + self.scorer.tiles_scored

    @property
    def scorers(self) -> tuple[StripScorer, ...]:
        """Those that take the lines of the open segment."""
        is_shared = self.handover is not None and self.handover.has_begun
        return (self.scorer, self.handover.new) if self.handover is not None and is_shared else (self.scorer,)

    def plan_handover(self) -> Handover | None:
        """The handover within the open segment, if an engine is due."""
        change = self._changes.next
        if self.handover is None and change is not None:
            scorer = self._scorer_of(change.ready.engine, change.ready.active.parameters.halo_px)
            self.handover = Handover(self.scorer, scorer, change.line)
        return self.handover

    def give_up_handover(self) -> None:
        """The segment ends before the next engine decides; it stays due."""
        if self.handover is not None:
            self.handover.give_up()
        self.handover = None

    def take_over(self) -> EngineChange:
        """The engine that is due scores from now on; no segment of the one before may be open."""
        change, before = self._changes.take(), self._engine
        ready = change.ready
        self._tiles_before += self.scorer.tiles_scored
        self._engine = ready.engine
        handover, self.handover = self.handover, None
        self.scorer = (
            self._scorer_of(ready.engine, ready.active.parameters.halo_px) if handover is None else handover.new
        )
        if not self._changes.keep(before, ready):
            closing = threading.Thread(target=self._close, args=(before,), name="engine-close", daemon=True)
            closing.start()
            self._closing = [thread for thread in self._closing if thread.is_alive()] + [closing]
        return change

    def close(self) -> None:
        """End of the run: the engine that scores, and those that never did."""
        with contextlib.ExitStack() as leaving:
            leaving.push(self._engine)
            for ready in self._changes.close():
                leaving.push(ready.engine)
            for thread in self._closing:
                thread.join()

    def _close(self, engine: Engine) -> None:
        try:
            engine.__exit__(None, None, None)
        except Exception as error:  # noqa: BLE001 - told; another engine scores
            self._tell(Fault("engine_error", f"the engine before was not closed: {error}"))

    def _scorer_of(self, engine: Engine, halo_px: int) -> StripScorer:
        settings = self._settings
        return StripScorer(engine, halo_px=halo_px, advance_px=settings.advance_px, batch=settings.batch)
