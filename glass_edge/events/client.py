"""The client of a station's events.

Promises: events come in order of seq, without a gap, at least once: an event whose side effect was not committed before
a crash comes again, a committed one does not; what is no longer kept and a new journal are never passed over silently;
a crash or restart of the station is ridden out; nothing waits longer than it was told to. `sequencer` decides, this
module only moves messages.
"""

from __future__ import annotations

import json
import math
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import zmq

from glass_edge.config.events import DEFAULT_HEARTBEAT_S
from glass_edge.errors import InputError
from glass_edge.events.curve_keys import ClientKeys
from glass_edge.events.endpoints import endpoint_to_connect
from glass_edge.events.errors import EpochChangedError, EventFormatError, EventsLostError, JournalRewoundError
from glass_edge.events.offset import Offset, OffsetFile
from glass_edge.events.parsing import parse_event
from glass_edge.events.requester import Requester
from glass_edge.events.schema import Event
from glass_edge.events.sequencer import (
    OLDEST,
    Action,
    Ask,
    Deliver,
    EpochChanged,
    Lost,
    Numbered,
    Rewound,
    Sequencer,
)
from glass_edge.events.subscription import Subscription
from glass_edge.events.wire import (
    ErrorCode,
    ErrorReply,
    ReplayReply,
    ReplayRequest,
    parse_beacon,
)

_RETRY_S = 0.1
_MESSAGES_A_TURN = 256


@dataclass(frozen=True, slots=True)
class Received:
    """An event with its document as it was published."""

    event: Event
    document: str


Item: TypeAlias = Received | EpochChanged | Lost


class EventClient:
    """Follows one station; a context manager, used by one thread (with a thread of its own for what is published).

    Args:
        publish_endpoint: where the station publishes.
        request_endpoint: where it answers requests.
        station: name it must have; None takes whichever station is there.
        offset_path: file that keeps the committed place; None keeps it in memory.
        start: without a committed place: `OLDEST`, `LATEST`, or a sequence number of the present epoch.
        request_timeout_s: time after which a request is asked again, s.
        high_water_mark: messages queued while this client is busy; what comes beyond is replayed.
        keys: CURVE keys for tcp endpoints; None connects without, on this machine only.
        heartbeat_s: time between two heartbeats to the station, s; silent for three of them, it is connected to anew.

    Raises:
        InputError: an endpoint or the offset file is wrong.
    """

    def __init__(
        self,
        publish_endpoint: str,
        request_endpoint: str,
        *,
        station: str | None = None,
        offset_path: Path | None = None,
        start: int = OLDEST,
        request_timeout_s: float = 2.0,
        high_water_mark: int = 10_000,
        heartbeat_s: float = DEFAULT_HEARTBEAT_S,
        keys: ClientKeys | None = None,
    ) -> None:
        self._publish_endpoint = endpoint_to_connect(publish_endpoint, is_encrypted=keys is not None)
        self._request_endpoint = endpoint_to_connect(request_endpoint, is_encrypted=keys is not None)
        self._keys = keys
        self._request_timeout_s = request_timeout_s
        self._high_water_mark = high_water_mark
        self._heartbeat_s = heartbeat_s
        self._offset_file = OffsetFile(offset_path) if offset_path is not None else None
        offset = self._offset_file.offset if self._offset_file else None
        if offset is not None and station not in (None, offset.station):
            self._close_offset()
            raise InputError(
                f"{offset_path}: is the offset of station '{offset.station}', not of '{station}'; give another file"
            )
        self._station = offset.station if offset else station
        self._committed = (offset.epoch, offset.seq) if offset else None
        self._sequencer = Sequencer(offset.epoch, offset.seq + 1) if offset else Sequencer(None, start)
        self._ready: deque[Action] = deque()
        self._ask: Ask | None = None
        self._ask_deadline_s = 0.0
        self._heard_s: float | None = None
        self._context: zmq.Context[Any] | None = None

    def __enter__(self) -> Self:
        self._context = zmq.Context()
        self._subscription = Subscription(
            self._context,
            self._publish_endpoint,
            most=self._high_water_mark,
            heartbeat_s=self._heartbeat_s,
            keys=self._keys,
        )
        self._requester = Requester(
            self._context, self._request_endpoint, heartbeat_s=self._heartbeat_s, keys=self._keys
        )
        self._poller = zmq.Poller()
        self._poller.register(self._subscription.socket, zmq.POLLIN)
        self._poller.register(self._requester.socket, zmq.POLLIN)
        self._take(self._sequencer.begin())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close sockets and offset file; no harm when closed already."""
        if self._context is not None:
            self._subscription.close()
            self._requester.close()
            self._context.term()
            self._context = None
        self._close_offset()

    @property
    def station(self) -> str | None:
        """Name of the station, None until it was heard."""
        return self._station

    @property
    def silent_s(self) -> float:
        """Seconds since the station was last heard; infinite before the first time."""
        return math.inf if self._heard_s is None else time.monotonic() - self._heard_s

    @property
    def is_behind(self) -> bool:
        """True while events are known to be missing, or the station's place is unknown."""
        return self._sequencer.is_behind or bool(self._ready)

    def receive(self, timeout_s: float) -> Item | None:
        """The next event or notice, or None when none came within `timeout_s`.

        Raises:
            InputError: another station answers.
            JournalRewoundError: the station's journal ends before the place asked for or committed.
            EventFormatError: a document cannot be read; it is not passed over.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            if self._ready:
                item = self._item(self._ready[0])  # taken off only when it could be read
                self._ready.popleft()
                return item
            now_s = time.monotonic()
            if self._ask is not None and now_s >= self._ask_deadline_s:
                request_id, self._ask = self._ask.request_id, None
                self._take(self._sequencer.on_timeout(request_id))
            until_s = deadline_s if self._ask is None else min(deadline_s, self._ask_deadline_s)
            self._poller.poll(math.ceil(max(0.0, until_s - now_s) * 1000))
            self._read_replies()
            self._read_published()
            if not self._ready and time.monotonic() >= deadline_s:
                return None

    def stream(self, idle_s: float | None = None) -> Iterator[Item]:
        """Events and notices as they come; ends when none came for `idle_s` (None: never). Raises as `receive`."""
        while True:
            item = self.receive(1.0 if idle_s is None else idle_s)
            if item is not None:
                yield item
            elif idle_s is not None:
                return

    def events(self, idle_s: float | None = None) -> Iterator[Event]:
        """Events as they come; `commit` each after its side effect. Ends when none came for `idle_s` (None: never).

        Raises:
            EventsLostError: events are no longer kept; calling again goes on after them.
            EpochChangedError: the station has a new journal; calling again goes on with its oldest event.
        """
        for item in self.stream(idle_s):
            if isinstance(item, Lost):
                raise EventsLostError(item.epoch, item.first_seq, item.last_seq)
            if isinstance(item, EpochChanged):
                raise EpochChangedError(item.previous, item.epoch, item.delivered_seq)
            yield item.event

    def commit(self, event: Event) -> None:
        """Remember that the side effects of `event` and of all before it are done; durable when this returns.

        Raises:
            InputError: the offset file cannot be written.
        """
        if self._committed is not None and self._committed[0] == event.epoch and self._committed[1] >= event.seq:
            return
        if self._offset_file is not None:
            self._offset_file.write(Offset(station=event.station, epoch=event.epoch, seq=event.seq))
        self._committed = (event.epoch, event.seq)

    def _item(self, action: Action) -> Item:
        if isinstance(action, Deliver):
            event = parse_event(action.document)
            if (event.epoch, event.seq) != (action.epoch, action.seq):
                raise EventFormatError(f"event {action.seq} of epoch {action.epoch} says to be {event.seq}")
            return Received(event, action.document.decode())
        if isinstance(action, Rewound):
            raise JournalRewoundError(
                f"station {self._station}: its journal (epoch {action.epoch}) ends at event {action.head}, and event"
                f" {action.next_seq} is wanted; if an old copy of the journal was put back, remove this client's offset"
                " to start again"
            )
        if isinstance(action, Ask):
            raise AssertionError("requests are sent, not handed out")
        return action

    def _take(self, actions: list[Action]) -> None:
        for action in actions:
            if isinstance(action, Ask):
                self._send(action)
            else:
                self._ready.append(action)

    def _send(self, ask: Ask) -> None:
        request = ReplayRequest(
            request="replay", id=str(ask.request_id), epoch=ask.epoch, from_seq=ask.from_seq, limit=ask.limit
        )
        was_sent = self._requester.send(request)
        self._ask = ask
        self._ask_deadline_s = time.monotonic() + (self._request_timeout_s if was_sent else _RETRY_S)

    def _read_replies(self) -> None:
        while (received := self._requester.receive()) is not None:
            reply, documents = received
            self._require_station(reply.station)
            if self._ask is None or reply.id != str(self._ask.request_id):
                continue
            # a reply that raises here leaves the request open: it is asked again when its time is over
            request_id = self._ask.request_id
            if isinstance(reply, ReplayReply):
                events = [Numbered(_place(document)[1], document) for document in documents]
                self._ask = None
                self._take(self._sequencer.on_replay(request_id, reply.epoch, reply.oldest, reply.head, events))
            elif isinstance(reply, ErrorReply) and reply.code is ErrorCode.WRONG_EPOCH:
                self._ask = None
                self._take(self._sequencer.on_wrong_epoch(request_id, reply.epoch, reply.oldest, reply.head))
            else:
                raise EventFormatError(f"{self._request_endpoint}: unexpected reply to a replay request: {reply}")

    def _read_published(self) -> None:
        for _ in range(_MESSAGES_A_TURN):
            frames = self._subscription.receive()
            if frames is None:
                return
            try:
                self._take(self._published(frames))
            except EventFormatError:
                # a broken message is a missing one: the beacon shows the gap, and the replay brings the event or raises
                continue

    def _published(self, frames: list[bytes]) -> list[Action]:
        if len(frames) != 2:
            raise EventFormatError(f"a message has 2 frames, not {len(frames)}")
        topic, body = frames
        if topic.endswith(b"/beacon"):
            beacon = parse_beacon(body)
            self._require_station(beacon.station)
            return self._sequencer.on_beacon(beacon.epoch, beacon.head)
        self._require_station(topic.decode(errors="replace"))
        epoch, seq = _place(body)
        return self._sequencer.on_event(epoch, seq, body)

    def _require_station(self, station: str) -> None:
        if self._station is None:
            self._station = station
        if station != self._station:
            raise InputError(
                f"{self._publish_endpoint}: station '{station}' answers, not '{self._station}'; give its endpoints, or"
                " an offset file of its own"
            )
        self._heard_s = time.monotonic()

    def _close_offset(self) -> None:
        if self._offset_file is not None:
            self._offset_file.close()


def _place(document: bytes) -> tuple[str, int]:
    """Epoch and seq of an event document, without checking the rest."""
    try:
        fields = json.loads(document)
        epoch, seq = fields["epoch"], fields["seq"]
    except (ValueError, RecursionError, KeyError, TypeError) as error:
        raise EventFormatError(f"not an event: {error}") from error
    if not isinstance(epoch, str) or not isinstance(seq, int) or seq < 1:
        raise EventFormatError("not an event: epoch or seq is wrong")
    return epoch, seq
