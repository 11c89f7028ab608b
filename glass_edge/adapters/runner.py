"""The part all adapters have in common: follow a station, deliver, remember the place.

Promises: events are delivered one after the other, in order, and committed after their side effect; one that fails is
tried again, with growing pauses, until it is delivered, refused for good (then it is kept in the file of refused
events) or the end is asked for; it is never passed over. A sink that takes many at once gets those that are there, and
waits for no more. What the station no longer keeps and new journals are told and followed. The end comes within the
sink's longest step, and what was not committed comes again.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence

from glass_edge.adapters.backoff import Backoff
from glass_edge.adapters.dead_letters import DeadLetters
from glass_edge.adapters.repeated_log import RepeatedLog
from glass_edge.adapters.sink import (
    SILENCE_S,
    AttentiveSink,
    BatchSink,
    FollowingSink,
    PermanentError,
    RetryableError,
    Sink,
)
from glass_edge.adapters.status_file import AdapterState, StatusFile
from glass_edge.config.adapters import RetrySettings
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.events.client import EventClient, Item, Received
from glass_edge.events.sequencer import EpochChanged, Lost
from glass_edge.events.text import describe_notice

_TURN_S = 0.5


class Runner:
    """Carries events from `client` to `sink` until `stop` is set.

    Args:
        client: open client with an offset file.
        sink: where events go.
        letters: where refused events are kept.
        status: what is told of it.
        log: where repeated warnings go.
        retry: pauses between tries.
        stop: set to end.
    """

    def __init__(
        self,
        client: EventClient,
        sink: Sink,
        *,
        letters: DeadLetters,
        status: StatusFile,
        log: RepeatedLog,
        retry: RetrySettings,
        stop: threading.Event,
    ) -> None:
        self._client = client
        self._sink = sink
        self._batch_sink = sink if isinstance(sink, BatchSink) else None
        self._attentive_sink = sink if isinstance(sink, AttentiveSink) else None
        self._following_sink = sink if isinstance(sink, FollowingSink) else None
        self._letters = letters
        self._status = status
        self._log = log
        self._retry = retry
        self._stop = stop
        self._chance = random.Random()
        self._begun_s = time.monotonic()

    def run(self) -> None:
        """Deliver until the end is asked for.

        Raises:
            InputError: another station answers.
            JournalRewoundError: the station's journal ends before the committed place.
            EventFormatError: the station writes a schema this program does not read.
        """
        self._status.write()
        try:
            while not self._stop.is_set():
                self._take(self._client.receive(_TURN_S))
                self._tell_standing()
        except BaseException as error:
            self._status.failed(AdapterState.FAILED, str(error) or type(error).__name__)
            self._status.write()
            raise
        self._status.set(state=AdapterState.STOPPED)
        self._status.write()

    def _take(self, item: Item | None) -> None:
        if item is None:
            self._take_nothing()
        elif not isinstance(item, Received):
            self._tell(item)
        elif self._batch_sink is not None:
            self._take_batch(self._batch_sink, item)
        else:
            self._deliver(item)

    def _tell_standing(self) -> None:
        if self._following_sink is not None:
            is_heard = self._client.silent_s <= SILENCE_S
            self._following_sink.stands(is_heard=is_heard, is_behind=self._client.is_behind)

    def _take_nothing(self) -> None:
        is_silent = min(self._client.silent_s, time.monotonic() - self._begun_s) > SILENCE_S
        is_heard = self._client.station is not None and not is_silent
        state, problem = (AdapterState.FOLLOWING if is_heard else AdapterState.WAITING), None
        if is_silent:
            self._log.tell("silent", "the station is not heard; start it, or correct the endpoints in 'source'")
        if self._attentive_sink is not None:
            try:
                self._attentive_sink.idle(is_heard=is_heard)
            except RetryableError as error:
                state, problem = AdapterState.RETRYING, str(error)
        place = {"is_behind": self._client.is_behind, "station": self._client.station}
        if problem is None:
            self._status.set(state=state, **place)
        else:
            self._status.failed(state, problem, **place)
            self._log.tell(f"retry {problem}", f"{problem} (tried again)")

    def _take_batch(self, sink: BatchSink, first: Received) -> None:
        """Deliver `first` with what is there behind it, and take what ended the batch, if anything did."""
        batch, notice, problem = [first], None, None
        try:
            while len(batch) < sink.most_events:
                item = self._client.receive(0)
                if not isinstance(item, Received):
                    notice = item
                    break
                batch.append(item)
        except GlassEdgeError as error:
            problem = error  # what came before it is delivered first
        is_done = self._deliver_batch(sink, batch)
        if problem is not None:
            raise problem
        if is_done and notice is not None:
            self._tell(notice)

    def _tell(self, notice: Lost | EpochChanged) -> None:
        text = describe_notice(notice)
        now = self._status.now
        self._log.tell(f"notice {text}", text)
        if isinstance(notice, Lost):
            self._status.set(lost=now.lost + notice.last_seq - notice.first_seq + 1)
        else:
            self._status.set(new_journals=now.new_journals + 1)
        self._status.failed(now.state, text)
        self._until_done(lambda: self._sink.told(notice))

    def _deliver_batch(self, sink: BatchSink, batch: Sequence[Received]) -> bool:
        """Deliver a batch; False when the end was asked for before."""
        try:
            is_done = self._until_done(lambda: sink.handle_many(batch))
        except PermanentError:
            return all(self._deliver(received) for received in batch)  # only one of them may be refused
        last = batch[-1].event
        if not is_done or not self._until_done(lambda: self._client.commit(last)):
            return False
        self._status.set(delivered=self._status.now.delivered + len(batch), is_behind=self._client.is_behind)
        self._status.delivered(last)
        return True

    def _deliver(self, received: Received) -> bool:
        """Deliver an event, or keep it among the refused ones; False when the end was asked for before."""
        event = received.event
        try:
            is_done, refused = self._until_done(lambda: self._sink.handle(received)), False
        except PermanentError as error:
            reason, refused = str(error), True
            self._log.tell("refused", f"event {event.seq} was refused for good: {reason}; kept in {self._letters.path}")
            self._status.failed(self._status.now.state, reason)
            is_done = self._until_done(lambda: self._letters.append(received, reason))
        if not is_done or not self._until_done(lambda: self._client.commit(event)):
            return False  # asked to stop: the event comes again
        now = self._status.now
        self._status.set(
            delivered=now.delivered + (not refused), refused=now.refused + refused, is_behind=self._client.is_behind
        )
        self._status.delivered(event)
        return True

    def _until_done(self, work: Callable[[], None]) -> bool:
        """Try until `work` succeeds; False when the end was asked for before."""
        backoff = Backoff(self._retry, self._chance)
        while True:
            asked_s = None
            try:
                work()
                return True
            except RetryableError as error:
                problem, asked_s = str(error), error.after_s
            except InputError as error:  # of files that can no longer be written: mended while it runs
                problem = str(error)
            except OSError as error:
                problem = f"{error.filename or 'a file'}: {error.strerror}; make room or mend it"
            pause_s = backoff.pause_s(asked_s)
            self._status.set(retries=self._status.now.retries + 1)
            self._status.failed(AdapterState.RETRYING, problem)
            self._log.tell(f"retry {problem}", f"{problem} (tried again)")
            if self._wait(pause_s):
                return False

    def _wait(self, pause_s: float) -> bool:
        """Wait, with the state kept fresh; True when the end is asked for."""
        while pause_s > 0:
            step_s = min(pause_s, 1.0)
            if self._stop.wait(step_s):
                return True
            pause_s -= step_s
            self._status.set()
        return self._stop.is_set()
