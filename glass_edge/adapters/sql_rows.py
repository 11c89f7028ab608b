"""Rows of a fold into the tables.

Promises: rows of rolls, gaps and stop requests are added, those of defects replace what was known; a roll is marked
complete when every event between its start and its end is there. What goes wrong is the caller's transaction's end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Connection, Table, and_, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from glass_edge.adapters.sql_fold import Fold
from glass_edge.adapters.sql_tables import defects, events, gaps, rolls, stops
from glass_edge.adapters.sql_values import NO_ACK, Row

_KEPT = {"found_seq", "found_utc"}  # of a defect that was known before


@dataclass(frozen=True, slots=True)
class JournalKey:
    """The station and epoch that the rows of a transaction are of."""

    station: str
    epoch: str

    def of(self, table: Table) -> ColumnElement[bool]:
        """The condition that a row of `table` is of this journal."""
        return and_(table.c.station == self.station, table.c.epoch == self.epoch)


def write_fold(connection: Connection, journal: JournalKey, fold: Fold) -> None:
    """Write what events of one journal came to, after their own rows."""
    for table, rows in ((rolls, list(fold.rolls.values())), (gaps, fold.gaps), (stops, fold.stops)):
        if rows:
            connection.execute(insert(table), rows)
    if fold.defects:
        _replace_defects(connection, list(fold.defects.values()))
    for first_seq in fold.closed - fold.rolls.keys():
        _close(connection, journal, first_seq)
    for first_seq, row in fold.ends.items():
        connection.execute(update(rolls).where(journal.of(rolls), rolls.c.first_seq == first_seq).values(row))
    for first_seq in (*fold.ends, *(key for key, row in fold.rolls.items() if row["end_seq"] is not None)):
        _judge_complete(connection, journal, first_seq)
    for ack in fold.acks:
        answer(connection, journal, ack)


def answer(connection: Connection, journal: JournalKey, ack: Row) -> None:
    """Write an answer to the newest request of its name before it, unless that has one."""
    is_asked = and_(journal.of(stops), stops.c.request_id == ack["request_id"], stops.c.seq < ack["ack_seq"])
    newest = select(func.max(stops.c.seq)).where(is_asked).scalar_subquery()
    columns = {name: ack[name] for name in NO_ACK}
    waits = stops.c.ack_seq.is_(None)
    connection.execute(update(stops).where(journal.of(stops), stops.c.seq == newest, waits).values(columns))


def insert_missing(connection: Connection, table: Table, rows: Sequence[Row]) -> None:
    """Add rows whose key is not there."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    connection.execute(dialect.insert(table).on_conflict_do_nothing(), rows)


def _replace_defects(connection: Connection, rows: Sequence[Row]) -> None:
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    statement = dialect.insert(defects)
    newer = {c.name: c for c in statement.excluded if c.name not in _KEPT and not defects.c[c.name].primary_key}
    connection.execute(statement.on_conflict_do_update(index_elements=list(defects.primary_key), set_=newer), rows)


def _close(connection: Connection, journal: JournalKey, first_seq: int) -> None:
    roll = and_(journal.of(rolls), rolls.c.first_seq == first_seq)
    connection.execute(update(rolls).where(roll).values(is_open=False))
    on_roll = and_(journal.of(defects), defects.c.roll_first_seq == first_seq)
    connection.execute(update(defects).where(on_roll, defects.c.is_open).values(is_open=False))


def _judge_complete(connection: Connection, journal: JournalKey, first_seq: int) -> None:
    of_roll = and_(journal.of(events), events.c.seq.between(rolls.c.first_seq, rolls.c.end_seq))
    there = select(func.count()).where(of_roll).correlate(rolls).scalar_subquery()
    is_whole = and_(rolls.c.started_utc.is_not(None), there == rolls.c.end_seq - rolls.c.first_seq + 1)
    roll = and_(journal.of(rolls), rolls.c.first_seq == first_seq)
    connection.execute(update(rolls).where(roll).values(is_complete=is_whole))
