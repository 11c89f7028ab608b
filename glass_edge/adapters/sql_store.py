"""Events into their tables.

Promises: a batch and what it changes in the other tables are one transaction of the caller; an event that is there is
not written again, and one that says something else under the same number is refused; the other tables are what the
events come to in order of their numbers, whatever the order they came in. Writers of one station wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from sqlalchemy import Connection, Text, cast, insert, select, update

from glass_edge.adapters.sink import RetryableError
from glass_edge.adapters.sql_fold import Fold, RollPlace
from glass_edge.adapters.sql_refold import refold
from glass_edge.adapters.sql_rows import JournalKey, insert_missing, write_fold
from glass_edge.adapters.sql_state import state_after, state_before
from glass_edge.adapters.sql_tables import defects, events, rolls, station_state
from glass_edge.adapters.sql_values import Row, event_row
from glass_edge.events.client import Received


def write_events(connection: Connection, batch: Sequence[Received]) -> None:
    """Write events of one station, ascending within a journal.

    Raises:
        PermanentError: one of them can be kept by no database.
        RetryableError: one of them is there with another content.
    """
    for _, group in groupby(batch, key=lambda received: (received.event.station, received.event.epoch)):
        _write_journal(connection, list(group))


def _write_journal(connection: Connection, batch: list[Received]) -> None:
    journal = JournalKey(batch[0].event.station, batch[0].event.epoch)
    state = _lock(connection, journal)
    if state["epoch"] != journal.epoch and not _is_known(connection, journal):
        _leave(connection, journal.station)
        state = state_before(journal.station, journal.epoch)
    is_newest = state["epoch"] == journal.epoch
    there_to = state["seq"] if is_newest else batch[-1].event.seq
    new = _not_there(connection, journal, batch, there_to)
    if not new:
        return
    connection.execute(insert(events), [event_row(received) for received in new])
    first, last = new[0].event.seq, new[-1].event.seq
    if first > there_to:
        fold, is_to_end = Fold(_roll_of(state)), True
        for received in new:
            fold.take(received.event)
        write_fold(connection, journal, fold)
    else:
        fold, is_to_end = refold(connection, journal, first, last, is_newest=is_newest)
    if is_newest:
        for received in new:
            state = state_after(state, received.event)
        if is_to_end:
            state |= _roll_columns(fold.roll)
        is_it = station_state.c.station == journal.station
        connection.execute(update(station_state).where(is_it).values(state))


def _lock(connection: Connection, journal: JournalKey) -> Row:
    """The state of the station, made when it has none; nobody else changes it before this transaction ends."""
    query = select(station_state).where(station_state.c.station == journal.station).with_for_update()
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        insert_missing(connection, station_state, [state_before(journal.station, journal.epoch)])
        row = connection.execute(query).mappings().one()
    return dict(row)


def _is_known(connection: Connection, journal: JournalKey) -> bool:
    return connection.execute(select(events.c.seq).where(journal.of(events)).limit(1)).first() is not None


def _leave(connection: Connection, station: str) -> None:
    """The station has a new journal: what was open in the old one is no longer."""
    for table in (rolls, defects):
        connection.execute(update(table).where(table.c.station == station, table.c.is_open).values(is_open=False))


def _not_there(connection: Connection, journal: JournalKey, batch: list[Received], there_to: int) -> list[Received]:
    """Those of a batch that are not in the table, where any with a number up to `there_to` may be."""
    old = [received.event.seq for received in batch if received.event.seq <= there_to]
    if not old:
        return batch
    query = select(events.c.seq, cast(events.c.document, Text))
    query = query.where(journal.of(events), events.c.seq.between(old[0], old[-1]))
    there: dict[int, str] = {row[0]: row[1] for row in connection.execute(query)}
    for received in batch:
        seq = received.event.seq
        if there.get(seq, received.document) != received.document:
            raise RetryableError(
                f"event {seq} of station {journal.station}, epoch {journal.epoch}, is in the database with another"
                " content: an old copy of the station's journal was put back; move that journal away, so that the"
                " station starts a new one, and remove this adapter's state folder"
            )
    return [received for received in batch if received.event.seq not in there]


def _roll_of(state: Row) -> RollPlace | None:
    if state["roll_first_seq"] is None:
        return None
    return RollPlace(state["roll_first_seq"], state["roll_id"], state["style"], bool(state["is_roll_open"]))


def _roll_columns(roll: RollPlace | None) -> Row:
    if roll is None:
        return {"roll_first_seq": None, "roll_id": None, "style": None, "is_roll_open": False}
    return {
        "roll_first_seq": roll.first_seq,
        "roll_id": roll.roll_id,
        "style": roll.style,
        "is_roll_open": roll.is_open,
    }
