"""Where an adapter delivers, and how a delivery fails.

Promises: a failed delivery is either worth another try (`RetryableError`) or never (`PermanentError`); every message
says what to do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from glass_edge.errors import GlassEdgeError
from glass_edge.events.client import Received
from glass_edge.events.sequencer import EpochChanged, Lost

SILENCE_S = 5.0
"""A station that was not heard for so long is silent."""


class RetryableError(GlassEdgeError):
    """The delivery failed and may succeed later.

    Args:
        message: what failed and what to do.
        after_s: pause the receiver asks for, s; None: it asks for none.
    """

    def __init__(self, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class PermanentError(GlassEdgeError):
    """The receiver will never take this event; the message says why."""


class Sink(Protocol):
    """A receiver of events; each comes at least once, in order, and again after a crash."""

    def handle(self, received: Received) -> None:
        """Deliver one event; the side effect is durable when this returns.

        Raises:
            RetryableError: try again later.
            PermanentError: never try again.
        """

    def told(self, notice: Lost | EpochChanged) -> None:
        """Events before the next one are missing, or the next is of a new journal. May raise `RetryableError`."""

    def close(self) -> None:
        """Let go of what it holds."""


@runtime_checkable
class BatchSink(Sink, Protocol):
    """A sink to which many events at once are cheaper than one by one."""

    most_events: int
    """Most events it takes at once."""

    def handle_many(self, batch: Sequence[Received]) -> None:
        """Deliver events that follow each other, all or none; the side effects are durable when this returns.

        Raises:
            RetryableError: none was delivered; try again later.
            PermanentError: none was delivered, and one of them never will be; `handle` will tell which.
        """


@runtime_checkable
class AttentiveSink(Sink, Protocol):
    """A sink that shows something also while no event comes."""

    def idle(self, *, is_heard: bool) -> None:
        """No event came for a moment; `is_heard`: the station lives.

        Raises:
            RetryableError: the receiver is away; it is told as the adapter's state, and nothing is held up.
        """


@runtime_checkable
class FollowingSink(Sink, Protocol):
    """A sink that must not show the past as the present."""

    def stands(self, *, is_heard: bool, is_behind: bool) -> None:
        """Told after each delivery and each moment without one, several times in `SILENCE_S`; not while a delivery is
        tried again.

        Args:
            is_heard: the station lives.
            is_behind: events of it are known to be missing here, or where it stands is not known.
        """
