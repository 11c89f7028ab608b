"""The loop that owns the station's sockets.

Promises: sockets are made, used and closed in the thread that calls `run`; events, requests and beacons take turns, so
a flood of one never starves the others; old events are deleted in small steps between them; nothing a peer sends ends
the loop; when told to stop it first sends what is in the journal.
"""

from __future__ import annotations

import contextlib
import math
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import zmq

from glass_edge.config.events import EventSettings
from glass_edge.events.commands_desk import CommandDesk
from glass_edge.events.curve import CurveGuard
from glass_edge.events.journal import Journal
from glass_edge.events.journal_reader import JournalReader
from glass_edge.events.publication import Publication
from glass_edge.events.request_service import RequestService
from glass_edge.events.retention import Retention
from glass_edge.events.station_sockets import StationSockets

_EVENTS_A_TURN = 256


class PublishLoop:
    """Sends what the journal holds and answers requests.

    Args:
        settings: endpoints and limits.
        journal: where the events are; read through an own connection.
        wake: non-blocking socket that becomes readable when events were appended or the loop is to stop.
        stopping: set to end the loop.
        desk: where commands are taken.
    """

    def __init__(
        self,
        settings: EventSettings,
        journal: Journal,
        wake: socket.socket,
        stopping: threading.Event,
        desk: CommandDesk,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._wake = wake
        self._stopping = stopping
        self._desk = desk
        self._started_s = time.monotonic()

    def run(self, on_ready: Callable[[str, str], None]) -> None:
        """Bind, tell the endpoints bound through `on_ready` (publish, request), then serve until told to stop.

        Raises:
            InputError: an endpoint cannot be bound, or a key cannot be used.
            JournalError: the journal cannot be read.
            EventFormatError: the journal holds a document that is no event.
        """
        context: zmq.Context[Any] = zmq.Context()
        curve = self._settings.curve
        guard = None if curve is None else CurveGuard(context, curve)
        try:
            with self._journal.reader() as reader, guard or contextlib.nullcontext():
                sockets = StationSockets(context, self._settings, guard)
                with contextlib.closing(sockets):
                    publication = self._publication(reader, guard)  # before an event can come: it is then published
                    on_ready(*sockets.endpoints)
                    self._serve(publication, self._retention(reader), sockets, guard)
        finally:
            context.term()  # waits for peers up to the linger

    def _publication(self, reader: JournalReader, guard: CurveGuard | None) -> Publication:
        return Publication(
            reader,
            beacon_s=self._settings.beacon_s,
            replay_limit=self._settings.replay_limit,
            up_s=lambda: time.monotonic() - self._started_s,
            now=lambda: datetime.now(UTC),
            desk=self._desk,
            clients_refused=lambda: 0 if guard is None else guard.clients.refused,
        )

    def _retention(self, reader: JournalReader) -> Retention:
        return Retention(
            self._journal,
            reader,
            keep_days=self._settings.keep_days,
            keep_mb=self._settings.keep_mb,
            now=lambda: datetime.now(UTC),
        )

    def _serve(
        self, publication: Publication, retention: Retention, sockets: StationSockets, guard: CurveGuard | None
    ) -> None:
        poller = zmq.Poller()
        poller.register(self._wake.fileno(), zmq.POLLIN)
        requests = RequestService(self._settings, publication, sockets, guard, poller)
        next_beacon_s = next_prune_s = time.monotonic()
        while True:
            is_last_turn = self._stopping.is_set()
            self._drain_wake()  # before the journal is read: what comes later wakes again
            messages = publication.take_new(_EVENTS_A_TURN)
            for message in messages:
                sockets.publish.send_multipart(message, zmq.NOBLOCK)
            has_more_events = len(messages) == _EVENTS_A_TURN
            requests_s = requests.turn()
            is_end = is_last_turn and not has_more_events
            now_s = time.monotonic()
            if now_s >= next_beacon_s or is_end:
                sockets.publish.send_multipart(publication.beacon(), zmq.NOBLOCK)
                next_beacon_s = now_s + self._settings.beacon_s
                if guard is not None and guard.clients.take_removal() and not is_end:
                    requests.renew()
            if is_end:
                return
            if now_s >= next_prune_s and not has_more_events:
                next_prune_s = now_s + retention.step(publication.published, now_s)
            due_s = [next_beacon_s - time.monotonic(), next_prune_s - time.monotonic()]
            due_s += [] if requests_s is None else [requests_s]
            idle_s = 0.0 if has_more_events else max(0.0, min(due_s))
            poller.poll(math.ceil(idle_s * 1000))

    def _drain_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._wake.recv(4096):
                pass
