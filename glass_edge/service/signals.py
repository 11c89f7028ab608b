"""Ending in good order when the system asks.

Promises: the first SIGINT or SIGTERM asks for the end and changes nothing else; a second SIGINT raises
KeyboardInterrupt; the handlers of before are back afterwards.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType


@dataclass(slots=True)
class StopRequest:
    """Whether the end was asked for, and by which signal (None: by the program)."""

    asked: threading.Event = field(default_factory=threading.Event)
    signal_number: int | None = None


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn SIGINT and SIGTERM into a `StopRequest`; for the main thread."""
    request = StopRequest()

    def ask(number: int, frame: FrameType | None) -> None:
        if request.asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        del frame
        request.signal_number = number
        request.asked.set()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
