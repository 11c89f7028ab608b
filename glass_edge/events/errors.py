"""Errors of the event layer.

Promises: what a person can mend before the program starts is an `InputError`; what fails while it runs is one of these,
with the path or endpoint and what to do in its message.
"""

from __future__ import annotations

from glass_edge.errors import GlassEdgeError


class JournalError(GlassEdgeError):
    """The journal cannot be written or read any more (disk full, damaged file)."""


class PublisherError(GlassEdgeError):
    """The publisher is not running or its thread failed; the journal still holds every event appended."""


class EventFormatError(GlassEdgeError):
    """A document is no event of a schema version this program reads."""


class NoAnswerError(GlassEdgeError):
    """The station did not answer a request in time, or refused it."""


class CommandRefusedError(NoAnswerError):
    """The station answered that it does not do what it was asked to.

    Args:
        endpoint: of the station.
        reason: the station's reason.
    """

    def __init__(self, endpoint: str, reason: str) -> None:
        super().__init__(f"{endpoint}: the station refused: {reason}")
        self.reason = reason


class JournalRewoundError(GlassEdgeError):
    """The station's journal ends before what was asked for, under the same epoch."""


class RequestRefusedError(GlassEdgeError):
    """A station does not do what it was asked to; the message says why."""


class EventsLostError(GlassEdgeError):
    """Events a client still needed are no longer kept.

    Args:
        epoch: epoch of the missing events.
        first_seq: first missing event.
        last_seq: last missing event.
    """

    def __init__(self, epoch: str, first_seq: int, last_seq: int) -> None:
        super().__init__(f"events {first_seq} to {last_seq} of epoch {epoch} are no longer kept by the station")
        self.epoch = epoch
        self.first_seq = first_seq
        self.last_seq = last_seq


class EpochChangedError(GlassEdgeError):
    """The station started a new journal.

    Args:
        previous: epoch followed until now.
        epoch: epoch followed from now on, from its oldest event.
        delivered_seq: last event of the previous epoch that was handed out, 0 for none.
    """

    def __init__(self, previous: str, epoch: str, delivered_seq: int) -> None:
        super().__init__(f"the station started a new journal: epoch {epoch} follows {previous} (seq {delivered_seq})")
        self.previous = previous
        self.epoch = epoch
        self.delivered_seq = delivered_seq
