"""What systemd is told of a station.

Promises: READY once every stage of the inspection turned: the engine is warm and passed its self-test, and the camera
is open; the watchdog is fed only when every stage has turned since it was fed last, so that a hanging camera, engine or
disk starves it and a standing loom does not; the end is told before it begins, with the time it may take.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from glass_edge.events.payloads import StationState
from glass_edge.fabric.roll import Roll, RollTotals
from glass_edge.inspection.sink import Progress, QuietSink
from glass_edge.service.notify import Notifier
from glass_edge.service.signals import StopRequest

_FEEDS = 4  # within the time of the watchdog
_TOLD_M = 0.05  # less is the edge of each stretch of cloth


class TurnWatch:
    """Whether all stages turned since they were asked last."""

    def __init__(self) -> None:
        self._seen: dict[str, int] = {}

    def all_turned(self, turns: Mapping[str, int]) -> bool:
        """True when each of `turns` (by the stage's name, from 0 on) is another than at the last True."""
        if any(count == self._seen.get(name, 0) for name, count in turns.items()):
            return False
        self._seen = dict(turns)
        return True


class StationNotes(QuietSink):
    """A watcher of the inspection that tells systemd; a context manager around it, inside the station's.

    Args:
        notifier: the line to systemd.
        stop: by which the end is asked for.
        stop_takes_s: longest time from then to the end of the process, s.
        clock: monotonic seconds.
    """

    def __init__(
        self, notifier: Notifier, stop: StopRequest, stop_takes_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._notifier = notifier
        self._stop = stop
        self._stop_takes_s = stop_takes_s
        self._clock = clock
        self._watch = TurnWatch()
        self._feed_s = None if notifier.watchdog_s is None else notifier.watchdog_s / _FEEDS
        self._next_feed_s = 0.0
        self._is_ready = self._is_ending = False
        self._roll_id: str | None = None
        self._status = ""

    def __enter__(self) -> Self:
        self._notifier.status("opening the engine and the camera")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end("stopping" if error is None else f"{StationState.ERROR}: {error or type(error).__name__}")

    def turned(self, turns: Mapping[str, int]) -> None:
        """How often each stage turned, several times a second; by the thread that waits for the inspection."""
        if self._stop.asked.is_set():
            self._end("stopping: what was taken in is inspected")
            return
        now_s = self._clock()
        if not self._is_ready:
            if self._watch.all_turned(turns):
                self._is_ready = True
                self._notifier.ready(self._status or _waiting())
                self._next_feed_s = now_s
        elif self._feed_s is not None and now_s >= self._next_feed_s and self._watch.all_turned(turns):
            self._next_feed_s = now_s + self._feed_s
            self._notifier.watchdog()

    def roll_started(self, roll: Roll) -> None:
        """The roll's name goes into the status."""
        self._roll_id = roll.roll_id

    def roll_ended(self, roll: Roll, totals: RollTotals) -> None:
        """The station is ready for the next one."""
        self._roll_id = None

    def progress(self, progress: Progress) -> None:
        """The status line."""
        if self._is_ending:
            return
        self._status = _waiting() if self._roll_id is None else _running(self._roll_id, progress)
        if self._is_ready:
            self._notifier.status(self._status)

    def _end(self, status: str) -> None:
        if not self._is_ending:
            self._is_ending = True
            self._notifier.stopping(status, self._stop_takes_s)


def _waiting() -> str:
    return f"{StationState.READY}: no line of cloth yet"


def _running(roll_id: str, progress: Progress) -> str:
    missed_m = (
        progress.inspected_m * progress.lines_missed / progress.lines_inspected if progress.lines_inspected else 0.0
    )
    missed = f", {missed_m:.1f} m not inspected" if missed_m >= _TOLD_M else ""
    found = "1 defect" if progress.defects == 1 else f"{progress.defects} defects"
    return (
        f"{StationState.CONTINUOUS_EXECUTION}: roll {roll_id}, {progress.inspected_m:.1f} m inspected at"
        f" {progress.web_m_per_min:.1f} m/min, {found}{missed}"
    )
