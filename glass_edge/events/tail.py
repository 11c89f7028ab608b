"""Following a station and reading its journal back, for a person or a file.

Promises: an event is committed only after it was written; what could not be had is told at the end as an error, never
left out silently.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from glass_edge.errors import InputError
from glass_edge.events.client import EventClient, Received
from glass_edge.events.curve_keys import ClientKeys
from glass_edge.events.errors import EventsLostError, NoAnswerError
from glass_edge.events.parsing import parse_event
from glass_edge.events.requester import request_replay
from glass_edge.events.sequencer import EpochChanged, Lost
from glass_edge.events.text import describe_notice

Write = Callable[[Received], None]
Note = Callable[[str], None]
_TURN_S = 0.5
_SILENCE_S = 5.0


def tail(client: EventClient, write: Write, note: Note, *, limit: int | None, seconds: float | None) -> int:
    """Write events as they come until `limit` were written or `seconds` are over; returns how many were.

    Args:
        client: an open client.
        write: called with each event; the event is committed when it returns.
        note: called with a sentence when the station is silent, has a new journal, or does not keep what is needed.
        limit: most events, None for no limit.
        seconds: time after which to stop, s, None for never.

    Raises:
        EventsLostError: some events were no longer kept; what there was has been written.
        NoAnswerError: the station was never heard.
    """
    deadline_s = None if seconds is None else time.monotonic() + seconds
    started_s = time.monotonic()
    written = 0
    is_told_silent = False
    lost: Lost | None = None
    while limit is None or written < limit:
        left_s = _TURN_S if deadline_s is None else min(_TURN_S, deadline_s - time.monotonic())
        if left_s <= 0:
            break
        item = client.receive(left_s)
        if isinstance(item, Received):
            write(item)
            client.commit(item.event)
            written += 1
        elif isinstance(item, Lost | EpochChanged):
            note(describe_notice(item))
            lost = item if isinstance(item, Lost) else lost
        silent_s = min(client.silent_s, time.monotonic() - started_s)
        if silent_s > _SILENCE_S and not is_told_silent:
            note(f"nothing heard for {_SILENCE_S:.0f} s; waiting for the station")
        is_told_silent = silent_s > _SILENCE_S
    if lost is not None:
        raise EventsLostError(lost.epoch, lost.first_seq, lost.last_seq)
    if math.isinf(client.silent_s):
        raise NoAnswerError("the station was not heard at all; is it running, and are these its endpoints?")
    return written


def read_back(
    request_endpoint: str,
    write: Write,
    *,
    from_seq: int | None,
    limit: int | None,
    timeout_s: float = 5.0,
    keys: ClientKeys | None = None,
) -> int:
    """Write the events a station keeps from `from_seq` (None: the oldest) to its newest; returns how many.

    Raises:
        InputError: not an endpoint, or `from_seq` lies after the newest event.
        NoAnswerError: no answer within `timeout_s`.
        EventsLostError: the first wanted are no longer kept; what there is has been written.
    """
    place, _ = request_replay(request_endpoint, 1, limit=0, timeout_s=timeout_s, keys=keys)
    first = place.oldest if from_seq is None else from_seq
    if first > place.head + 1:
        raise InputError(f"event {first} is not there yet; the newest is {place.head}: give a number up to that")
    epoch, last = place.epoch, place.head  # what comes later is for the next call: a busy station never ends
    written, next_seq = 0, first
    missing: EventsLostError | None = None
    while next_seq <= last and (limit is None or written < limit):
        wanted = last - next_seq + 1 if limit is None else min(limit - written, last - next_seq + 1)
        _, documents = request_replay(
            request_endpoint, next_seq, limit=wanted, epoch=epoch, timeout_s=timeout_s, keys=keys
        )
        if not documents:
            missing = EventsLostError(epoch, next_seq, last)
            break
        for document in documents:
            event = parse_event(document)
            if event.seq > next_seq:
                missing = missing or EventsLostError(epoch, next_seq, event.seq - 1)
            write(Received(event, document.decode()))
            written, next_seq = written + 1, event.seq + 1
    if missing is not None:
        raise missing
    return written
