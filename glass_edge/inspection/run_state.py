"""What the threads of one run share.

Promises: the first failure is kept and nothing after it hides it; a failure also asks everything to stop, at once.
"""

from __future__ import annotations

import threading
import time
from dataclasses import InitVar, dataclass, field

from glass_edge.acquisition.camera import CameraFigures
from glass_edge.inspection.engine_changes import EngineChanges
from glass_edge.inspection.roll_changes import RollChanges


@dataclass(slots=True)
class InferenceFigures:
    """Counters written by the inference thread alone."""

    lines_received: int = 0
    web_lines: int = 0  # from the first block to the last one's end, lost lines included
    tiles: int = 0
    busy_s: float = 0.0


@dataclass(slots=True)
class RunState:
    """Flags of a run.

    Attributes:
        stop_drain_s: after a stop request, lines taken in are still inspected this long.
        style: of the engine that the run begins with.
        stop: no more lines are read.
        engine_ready: the engine is warm, or could not be started.
        started_monotonic_s: when the engine was ready.
        web_line: after the last line that the camera handed over, written by the camera thread alone.
        roll_changes: rolls that are to begin.
        engine_changes: engines that are to take over; it begins rolls, too.
        camera: what the camera measures of itself, written by the camera thread alone.
    """

    stop_drain_s: float
    style: InitVar[str] = ""
    stop: threading.Event = field(default_factory=threading.Event)
    engine_ready: threading.Event = field(default_factory=threading.Event)
    started_monotonic_s: float = field(default_factory=time.monotonic)
    inference: InferenceFigures = field(default_factory=InferenceFigures)
    block_queue_max: int = 0
    web_line: int = 0
    roll_changes: RollChanges = field(default_factory=RollChanges)
    engine_changes: EngineChanges = field(init=False)
    camera: CameraFigures = field(default_factory=CameraFigures)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _error: BaseException | None = None
    _drain_until_s: float | None = None

    def __post_init__(self, style: str) -> None:
        self.engine_changes = EngineChanges(self.roll_changes, style)

    @property
    def error(self) -> BaseException | None:
        """The first failure of any thread."""
        return self._error

    def request_stop(self, drain_s: float | None = None) -> None:
        """Ask for the end; a second request can only shorten the time to drain."""
        until = time.monotonic() + (self.stop_drain_s if drain_s is None else drain_s)
        with self._lock:
            self._drain_until_s = until if self._drain_until_s is None else min(until, self._drain_until_s)
        self.stop.set()

    def fail(self, error: BaseException, *, drain: bool = False) -> None:
        """Record a failure and end the run; with `drain`, lines taken in are still inspected."""
        with self._lock:
            if self._error is None:
                self._error = error
        self.request_stop(None if drain else 0.0)

    def drain_expired(self) -> bool:
        """True when lines that wait are no longer to be inspected."""
        with self._lock:
            return self._drain_until_s is not None and time.monotonic() >= self._drain_until_s
