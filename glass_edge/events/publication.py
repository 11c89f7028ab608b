"""What the publisher sends, without sockets or threads.

Promises: events come out in the order of the journal, each once while this publication lives, and are read from the
journal, so nothing is published that is not durable and nothing held here can be lost; any request gets exactly one
reply, a malformed one an error that says what is wrong and a line in the log, once a minute at most.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from glass_edge import __version__
from glass_edge.events.asker import NOBODY, Asker
from glass_edge.events.commands_desk import CommandDesk
from glass_edge.events.commands_limits import WindowLimit
from glass_edge.events.commands_wire import Command
from glass_edge.events.errors import EventFormatError
from glass_edge.events.journal_reader import Extent, JournalReader
from glass_edge.events.parsing import parse_event
from glass_edge.events.schema import SCHEMA_VERSION
from glass_edge.events.snapshot import state_of
from glass_edge.events.text import printable
from glass_edge.events.wire import (
    MAX_REPLAY_BYTES,
    Beacon,
    ErrorCode,
    ErrorReply,
    ReplayReply,
    ReplayRequest,
    Request,
    SnapshotReply,
    SnapshotRequest,
    StatusReply,
    StatusRequest,
    beacon_topic,
    parse_request,
)
from glass_edge.events.wire_header import ReplyHeader

_TELL_S = 60.0
_LOG = logging.getLogger(__name__)

Frames = list[bytes]
Who = Callable[[], Asker | None]


class Publication:
    """Turns the journal into messages.

    Args:
        reader: read connection of the publishing thread.
        beacon_s: time between beacons, s.
        replay_limit: most events in one reply.
        up_s: seconds since the publisher started.
        now: wall clock, aware.
        clients_refused: tcp connections refused so far.
        desk: where commands are taken.
    """

    def __init__(
        self,
        reader: JournalReader,
        *,
        beacon_s: float,
        replay_limit: int,
        up_s: Callable[[], float],
        now: Callable[[], datetime],
        desk: CommandDesk,
        clients_refused: Callable[[], int] = lambda: 0,
    ) -> None:
        self._reader = reader
        self._beacon_s = beacon_s
        self._replay_limit = replay_limit
        self._up_s = up_s
        self._now = now
        self._desk = desk
        self._clients_refused = clients_refused
        self._state = state_of(reader)
        self._first_head = self._state.seq
        self._requests = 0
        self._refused = 0
        self._malformed = 0
        self._malformed_told = WindowLimit(1, _TELL_S)

    @property
    def published(self) -> int:
        """Newest event handed out by `take_new`, or there before the start."""
        return self._state.seq

    def take_new(self, limit: int) -> list[Frames]:
        """Messages of up to `limit` events that were appended and not published yet.

        Raises:
            JournalError: the journal cannot be read.
            EventFormatError: it holds a document that is no event.
        """
        messages = []
        for stored in self._reader.read(self._state.seq + 1, limit).events:
            self._state.apply(parse_event(stored.document))
            messages.append([self._reader.station.encode(), stored.document.encode()])
        return messages

    def beacon(self) -> Frames:
        """The beacon of this moment."""
        extent = self._extent()
        beacon = Beacon(
            schema_version=SCHEMA_VERSION,
            station=self._reader.station,
            epoch=self._reader.epoch,
            oldest=extent.oldest,
            head=extent.head,
            stamp_utc=self._now(),
            beacon_s=self._beacon_s,
        )
        return [beacon_topic(self._reader.station).encode(), beacon.model_dump_json().encode()]

    def answer(self, body: bytes, who: Who = lambda: NOBODY) -> Frames:
        """Frames of the reply to a request.

        Args:
            body: the request.
            who: tells who sent it, None for a client that is allowed no longer.

        Raises:
            JournalError: the journal cannot be read.
        """
        self._requests += 1
        try:
            request = parse_request(body)
        except EventFormatError as error:
            return self._refuse_malformed(printable(str(error)), who())
        return self._answer(request, who)

    def _answer(self, request: Request, who: Who) -> Frames:
        if isinstance(request, ReplayRequest):
            return self._replay(request)
        if isinstance(request, SnapshotRequest):
            return _frames(SnapshotReply(**self._header(request.id), snapshot=self._state.snapshot()))
        if not isinstance(request, StatusRequest):
            return self._command(request, who())
        reply = StatusReply(
            **self._header(request.id),
            program_version=__version__,
            up_s=self._up_s(),
            beacon_s=self._beacon_s,
            published=self._state.seq - self._first_head,
            requests=self._requests,
            requests_refused=self._refused,
            clients_refused=self._clients_refused(),
            requests_malformed=self._malformed,
            commands=self._desk.taken,
            commands_refused=self._desk.refused,
        )
        return _frames(reply)

    def _command(self, request: Command, asker: Asker | None) -> Frames:
        if asker is None:
            return self._refuse(request.id, ErrorCode.REFUSED, "this client is allowed no longer")
        answer = self._desk.take(request, asker, self._state)
        if answer.reply is None:
            return self._refuse(request.id, ErrorCode.REFUSED, answer.reason)
        return _frames(answer.reply.model_validate(self._header(request.id) | answer.fields))

    def _refuse_malformed(self, problem: str, asker: Asker | None) -> Frames:
        self._malformed += 1
        if self._malformed_told.allows(time.monotonic()):
            client = "unknown" if asker is None else asker.client
            _LOG.warning("%d malformed requests so far, the last of client %s: %s", self._malformed, client, problem)
        return self._refuse("", ErrorCode.BAD_REQUEST, problem)

    def _replay(self, request: ReplayRequest) -> Frames:
        if request.epoch is not None and request.epoch != self._reader.epoch:
            message = f"epoch {request.epoch} is not kept here; the present epoch is {self._reader.epoch}"
            return self._refuse(request.id, ErrorCode.WRONG_EPOCH, message)
        limit = min(request.limit, self._replay_limit)
        found = self._reader.read(request.from_seq, limit, max_bytes=MAX_REPLAY_BYTES)
        header = self._header(request.id, found.extent)
        documents = [stored.document.encode() for stored in found.events]
        return [*_frames(ReplayReply(**header, count=len(documents))), *documents]

    def _refuse(self, request_id: str, code: ErrorCode, message: str) -> Frames:
        self._refused += 1
        return _frames(ErrorReply(**self._header(request_id), code=code, message=printable(message)))

    def _extent(self) -> Extent:
        """What is kept and published: an event appended a moment ago is not told of before it was sent."""
        extent = self._reader.extent()
        return Extent(oldest=extent.oldest, head=min(extent.head, self._state.seq))

    def _header(self, request_id: str, extent: Extent | None = None) -> dict[str, Any]:
        extent = extent or self._extent()
        return {
            "id": request_id,
            "schema_version": SCHEMA_VERSION,
            "station": self._reader.station,
            "epoch": self._reader.epoch,
            "oldest": extent.oldest,
            "head": extent.head,
        }


def _frames(reply: ReplyHeader) -> Frames:
    return [reply.model_dump_json().encode()]
