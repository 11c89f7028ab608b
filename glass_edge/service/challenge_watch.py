"""Whether the station's challenge was passed, and is due again.

Promises: what was last taken is known over restarts, from the journal; it is told once that a challenge is due or was
not passed, and again only after it was passed in between; may be asked from any thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from glass_edge.config.challenge import ChallengeSettings
from glass_edge.events.journal_reader import JournalReader
from glass_edge.events.parsing import parse_event
from glass_edge.events.payloads_records import Challenge
from glass_edge.events.schema import Kind
from glass_edge.fabric.roll import Roll
from glass_edge.inspection.sink import Fault, Progress, QuietSink

DUE, FAILED = "challenge_due", "challenge_failed"


class ChallengeWatch:
    """What is known of the challenges of a station.

    Args:
        settings: how often, and what follows.
        now: wall clock, aware.
    """

    def __init__(self, settings: ChallengeSettings, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._settings = settings
        self._now = now
        self._lock = threading.Lock()
        self._last: tuple[datetime, bool] | None = None
        self._told: str | None = None

    def recall(self, reader: JournalReader) -> None:
        """Learn of the last challenge from the journal.

        Raises:
            JournalError: it cannot be read. EventFormatError: it holds a document that is no event.
        """
        for stored in reader.last_of_kinds((Kind.CHALLENGE,)):
            event = parse_event(stored.document)
            if isinstance(event.payload, Challenge):
                self._last = event.stamp_utc, event.payload.is_passed

    def take(self, is_passed: bool) -> None:
        """A challenge was taken just now."""
        with self._lock:
            self._last = self._now(), is_passed
            self._told = None

    def problem(self) -> Fault | None:
        """Why the station is not known to find what it must; None where it is, or nobody asks."""
        with self._lock:
            return self._problem()

    def news(self) -> Fault | None:
        """The problem, when it was not told yet."""
        with self._lock:
            problem = self._problem()
            kind = None if problem is None else problem.kind
            if kind == self._told:
                return None
            self._told = kind
            return problem

    def refusal(self) -> str | None:
        """Why no roll may begin; None where one may."""
        problem = self.problem() if self._settings.policy == "block" else None
        return None if problem is None else problem.message

    def _problem(self) -> Fault | None:
        every_h = self._settings.every_h
        if self._last is not None and not self._last[1]:
            return Fault(FAILED, "the last challenge was not passed: find out why, then take it again")
        if every_h is None:
            return None
        if self._last is None:
            return Fault(DUE, f"no challenge was taken yet, and one is asked for every {every_h:g} h")
        age = self._now() - self._last[0]
        if timedelta(0) <= age <= timedelta(hours=every_h):
            return None
        if age < timedelta(0):
            return Fault(DUE, "the last challenge lies in the future: the clock was changed; take it again")
        return Fault(
            DUE, f"the last challenge is {age.total_seconds() / 3600:.1f} h old, and {every_h:g} h are allowed"
        )


class ChallengeSink(QuietSink):
    """Tells of the watch's news while a roll runs.

    Args:
        watch: of the station.
        tell: where faults go.
    """

    def __init__(self, watch: ChallengeWatch, tell: Callable[[Fault], object]) -> None:
        self._watch = watch
        self._tell = tell

    def roll_started(self, roll: Roll) -> None:
        """Told early."""
        del roll
        self._look()

    def progress(self, progress: Progress) -> None:
        """Told while it runs."""
        del progress
        self._look()

    def _look(self) -> None:
        if (news := self._watch.news()) is not None:
            self._tell(news)
