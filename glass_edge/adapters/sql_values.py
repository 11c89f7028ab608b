"""Values as a database keeps them, and the rows that single events give.

Promises: a text is without NUL, which PostgreSQL cannot keep, but for the document of an event; a number beyond 64 bits
is refused, whichever the database.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from glass_edge.adapters.sink import PermanentError
from glass_edge.events.client import Received
from glass_edge.events.payloads import StopAck
from glass_edge.events.schema import Event

Row: TypeAlias = dict[str, Any]

NO_ACK: Row = dict.fromkeys(("ack_seq", "ack_utc", "accepted", "ack_source", "ack_detail"))
"""The columns of a stop request that waits."""
_LARGEST = 2**63 - 1


def event_row(received: Received) -> Row:
    """The row of the table of events.

    Raises:
        PermanentError: a number of it is beyond 64 bits.
    """
    event = received.event
    return storable(
        {
            "station": event.station,
            "epoch": event.epoch,
            "seq": event.seq,
            "kind": event.kind,
            "stamp_utc": event.stamp_utc,
            "roll_id": event.roll_id,
            "style": event.style,
            "is_simulated": event.is_simulated,
            "is_partial": event.is_partial,
            "document": received.document,
        }
    )


def ack_row(event: Event, ack: StopAck) -> Row:
    """The columns that an answer fills, and the request it names."""
    return {
        "request_id": clean(ack.request_id),
        "ack_seq": event.seq,
        "ack_utc": event.stamp_utc,
        "accepted": ack.accepted,
        "ack_source": clean(ack.source),
        "ack_detail": clean(ack.detail),
    }


def clean(text: str | None) -> str | None:
    """`text` with U+FFFD in the place of NUL."""
    return None if text is None else text.replace("\0", "\ufffd")


def storable(row: Row) -> Row:
    """`row` with its texts clean.

    Raises:
        PermanentError: a number of it is beyond 64 bits.
    """
    for name, value in row.items():
        if isinstance(value, int) and not -_LARGEST <= value <= _LARGEST:
            raise PermanentError(f"{name} = {value} is beyond 64 bits, no database can keep it")
    return {
        name: clean(value) if isinstance(value, str) and name != "document" else value for name, value in row.items()
    }
