"""The publisher of a station: the journal, and a thread that tells of it.

Promises: `emit` returns after the event is durable and never waits for a subscriber; nobody hears of an event before
it is durable; the publishing thread reads what to send from the journal (a wake-up carries no event, so none can be
dropped on the way); what fails in that thread is raised at the next `emit` and by `close`; closing sends what is
appended and waits for slow peers no longer than the linger.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from glass_edge.config.events import EventSettings
from glass_edge.events.commands import StationCommands
from glass_edge.events.commands_desk import CommandDesk
from glass_edge.events.endpoints import IpcClaim, claim
from glass_edge.events.errors import PublisherError
from glass_edge.events.journal import Journal
from glass_edge.events.publish_loop import PublishLoop
from glass_edge.events.schema import Draft, Event

_START_TIMEOUT_S = 60.0
_JOIN_GRACE_S = 10.0

_Answer = queue.SimpleQueue[tuple[str, str] | BaseException]


class Publisher:
    """Journals and publishes the events of a station; a context manager, started once.

    Args:
        settings: journal, endpoints and limits.
        station: name of the station, the topic.
        commands: who carries out commands, called in the publisher's thread; None: nobody.
        present_status: the station's status now, told after the bypass changed; None: it is not told.
    """

    def __init__(
        self,
        settings: EventSettings,
        station: str,
        commands: StationCommands | None = None,
        present_status: Callable[[], Draft] | None = None,
    ) -> None:
        self._order = threading.RLock()
        self._desk = CommandDesk(commands, self.emit_all, self._order, present_status)
        self._settings = settings
        self._station = station
        self._journal: Journal | None = None
        self._claims: list[IpcClaim] = []
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._failure: BaseException | None = None
        self._endpoints = (settings.publish_endpoint, settings.request_endpoint)
        self._wake_out, self._wake_in = socket.socketpair()
        self._wake_out.setblocking(False)
        self._wake_in.setblocking(False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
            return
        try:
            self.close()
        except PublisherError as failure:
            error.add_note(str(failure))  # the error under way tells more, and stays the one raised

    @property
    def journal(self) -> Journal:
        """The journal, open between `start` and `close`."""
        if self._journal is None:
            raise PublisherError(f"the publisher of station {self._station} is not running")
        return self._journal

    @property
    def epoch(self) -> str:
        """Epoch of the journal."""
        return self.journal.epoch

    @property
    def publish_endpoint(self) -> str:
        """Endpoint events are published on; once started, with the port the system chose for `tcp://...:*`."""
        return self._endpoints[0]

    @property
    def request_endpoint(self) -> str:
        """Endpoint requests are answered on; once started, with the port the system chose."""
        return self._endpoints[1]

    def start(self) -> None:
        """Open the journal, bind both sockets and begin to publish; all or nothing.

        Raises:
            InputError: the journal or an endpoint cannot be used; the message names it.
            JournalError: the journal cannot be read.
            PublisherError: started before.
        """
        if self._thread is not None or self._stopping.is_set():
            raise PublisherError("a publisher is started once; make a new one")
        try:
            self._journal = Journal(self._settings.journal, self._station)
            for endpoint in self._endpoints:
                owned = claim(endpoint)
                if owned is not None:
                    self._claims.append(owned)
            self._endpoints = self._start_thread(self._journal)
        except BaseException:
            self._failure = None  # raised here already
            self.close()
            raise

    def emit(self, draft: Draft) -> Event:
        """Keep the event, then have it published. May be called from any thread.

        Raises:
            JournalError: it could not be kept.
            PublisherError: the publisher is not running or its thread failed; the event was not kept.
        """
        return self.emit_all((draft,))[0]

    def emit_all(self, drafts: Sequence[Draft]) -> list[Event]:
        """Keep several events, all or none, then have them published in their order. Raises as `emit`."""
        if self._failure is not None:
            raise PublisherError(f"publishing failed: {self._failure}") from self._failure
        if self._thread is None or self._stopping.is_set():
            raise PublisherError(f"the publisher of station {self._station} is not running")
        with self._order:
            events = self.journal.append_all(drafts)
        self._wake()
        return events

    def close(self) -> None:
        """Publish what is appended, then close sockets and journal; no harm when closed already.

        Raises:
            PublisherError: the thread had failed, or does not end.
        """
        self._stopping.set()
        if self._thread is not None and self._thread.is_alive():
            self._wake()
            self._thread.join(self._settings.linger_s + _JOIN_GRACE_S)
            if self._thread.is_alive():
                raise PublisherError("the publisher's thread does not end; the journal stays open")
        for owned in self._claims:
            owned.release()
        self._claims.clear()
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        self._wake_out.close()
        self._wake_in.close()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise PublisherError(f"publishing failed: {failure}") from failure

    def _start_thread(self, journal: Journal) -> tuple[str, str]:
        answer: _Answer = queue.SimpleQueue()
        loop = PublishLoop(self._settings, journal, self._wake_in, self._stopping, self._desk)
        self._thread = threading.Thread(target=self._run, args=(loop, answer), name="events-publisher", daemon=True)
        self._thread.start()
        try:
            endpoints = answer.get(timeout=_START_TIMEOUT_S)
        except queue.Empty:
            raise PublisherError(f"the publisher did not start within {_START_TIMEOUT_S:.0f} s") from None
        if isinstance(endpoints, BaseException):
            raise endpoints
        return endpoints

    def _run(self, loop: PublishLoop, answer: _Answer) -> None:
        try:
            loop.run(lambda publish, request: answer.put((publish, request)))
        except BaseException as error:  # noqa: BLE001 - carried over to the thread that emits or starts
            self._failure = error
            answer.put(error)

    def _wake(self) -> None:
        # full: enough wake-ups are on their way; closed meanwhile: the event is durable, the next start tells of it
        with contextlib.suppress(OSError):
            self._wake_out.send(b"\0")
