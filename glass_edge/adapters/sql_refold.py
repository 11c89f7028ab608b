"""Events that come late: older than what is there of their journal.

Promises: afterwards the tables are what all the events of the journal come to in order, as if none had come late. That
happens where a database was set back to a backup and the events are brought again. Only the rolls that the late events
touch are made anew, so that a long journal that comes late costs about as much as one that comes in order.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection, Text, cast, delete, select, true, update

from glass_edge.adapters.sql_fold import Fold
from glass_edge.adapters.sql_rows import JournalKey, answer, write_fold
from glass_edge.adapters.sql_tables import defects, events, gaps, rolls, stops
from glass_edge.adapters.sql_values import NO_ACK, ack_row
from glass_edge.events.parsing import parse_event
from glass_edge.events.payloads import StopAck
from glass_edge.events.schema import Event, Kind

_PAGE = 1000


def refold(connection: Connection, journal: JournalKey, first: int, last: int, *, is_newest: bool) -> tuple[Fold, bool]:
    """Make anew what events `first` to `last` touch; they are in the table, and some of them were not before.

    Args:
        connection: in the transaction that wrote them.
        journal: whose they are.
        first: lowest number.
        last: highest number.
        is_newest: the journal is the station's newest; in an older one nothing is open.

    Returns:
        What was folded, and whether that reaches to the newest event of the journal.
    """
    starts = select(events.c.seq).where(journal.of(events), events.c.kind == Kind.ROLL_START)
    # one before all of them: rows of events that were taken for an earlier roll's must be among those removed
    begin = connection.scalar(starts.where(events.c.seq < first).order_by(events.c.seq.desc()).limit(1)) or 0
    end = connection.scalar(starts.where(events.c.seq > last).order_by(events.c.seq).limit(1))
    for column in (rolls.c.first_seq, defects.c.roll_first_seq, gaps.c.seq, stops.c.seq):
        is_before_end = true() if end is None else column < end
        connection.execute(delete(column.table).where(journal.of(column.table), column >= begin, is_before_end))
    fold = Fold(None)
    for event in _stored(connection, journal, begin, end):
        fold.take(event)
    if end is not None or not is_newest:
        fold.close()
    has_stops = bool(fold.stops or fold.acks)
    fold.acks.clear()  # given again below
    write_fold(connection, journal, fold)
    if has_stops:
        _answer_all(connection, journal)
    return fold, end is None


def _stored(
    connection: Connection, journal: JournalKey, begin: int, end: int | None, *, kind: Kind | None = None
) -> Iterator[Event]:
    """The events of a journal from `begin` on and before `end`, ascending."""
    query = select(events.c.seq, cast(events.c.document, Text)).where(journal.of(events))
    if end is not None:
        query = query.where(events.c.seq < end)
    if kind is not None:
        query = query.where(events.c.kind == kind)
    query = query.order_by(events.c.seq).limit(_PAGE)
    while page := connection.execute(query.where(events.c.seq >= begin)).all():
        for _, document in page:
            yield parse_event(document)
        begin = page[-1][0] + 1


def _answer_all(connection: Connection, journal: JournalKey) -> None:
    """Give each stop request of the journal its answer, whichever of the two came late."""
    connection.execute(update(stops).where(journal.of(stops)).values(NO_ACK))
    for event in _stored(connection, journal, 0, None, kind=Kind.STOP_ACK):
        if isinstance(event.payload, StopAck):
            answer(connection, journal, ack_row(event, event.payload))
