"""What an adapter would do, told and not done.

Promises: nothing is delivered, committed or written but the offset's lock; it ends when the station has no more events.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from glass_edge.events.client import EventClient, Received
from glass_edge.events.errors import NoAnswerError
from glass_edge.events.text import describe_notice

_TURN_S = 0.5
_SILENCE_S = 5.0
_IDLE_TURNS = 4


def dry_run(
    client: EventClient, plan: Callable[[Received], str], write: Callable[[str], None], stop: threading.Event
) -> int:
    """Write a line for each event that waits for the adapter; returns how many events there were.

    Raises:
        NoAnswerError: the station was not heard.
    """
    count, idle = 0, 0
    while not stop.is_set() and idle * _TURN_S < _SILENCE_S:
        item = client.receive(_TURN_S)
        if item is None:
            idle += 1
            if idle >= _IDLE_TURNS and not client.is_behind:
                return count
            continue
        idle = 0
        if isinstance(item, Received):
            count += 1
            write(f"#{item.event.seq} {item.event.kind}: {plan(item)}")
        else:
            write(describe_notice(item))
    if not stop.is_set():
        raise NoAnswerError("the station is not heard; start it, or correct the endpoints in 'source'")
    return count
