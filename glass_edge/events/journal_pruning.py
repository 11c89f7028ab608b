"""Forgetting the oldest events of a journal.

Promises: only a run of events from the oldest on goes, so the journal stays gapless; the newest event and the open roll
from its `roll.start` on stay; what the snapshot still needs of the events that go (the newest status and
engine.activated, a stop.request without its stop.ack, the command that last switched the bypass) is carried over to the
table `carried`, in the same transaction.
"""

from __future__ import annotations

import sqlite3

from glass_edge.events.parsing import parse_event
from glass_edge.events.payloads import StopAck, StopRequest
from glass_edge.events.schema import Kind

CARRIED_TABLE = (
    "CREATE TABLE IF NOT EXISTS carried"
    " (kind TEXT PRIMARY KEY, seq INTEGER NOT NULL, document TEXT NOT NULL) WITHOUT ROWID"
)


def forget(connection: sqlite3.Connection, seq: int) -> int:
    """Delete events older than `seq`, as far as they may go; returns how many went.

    Raises:
        sqlite3.Error: the file could not be written; nothing went.
        EventFormatError: a stop.request or stop.ack is no event.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        end = _end(connection, seq)
        for kind in (Kind.STATUS, Kind.ENGINE_ACTIVATED):
            _carry_newest(connection, kind, end)
        _carry_stop_request(connection, end)
        _carry_bypass(connection, end)
        deleted = connection.execute("DELETE FROM events WHERE seq < ?", (end,)).rowcount
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return deleted


def _end(connection: sqlite3.Connection, seq: int) -> int:
    """First event that stays when those before `seq` are to go."""
    start, end = _newest(connection, Kind.ROLL_START), _newest(connection, Kind.ROLL_END)
    head = connection.execute("SELECT max(seq) FROM events").fetchone()[0] or 0
    limits = [seq, head]
    if start > end:
        limits.append(start)
    else:
        # a sound journal has no defect outside of a roll; one that is there stays as open as the snapshot says
        for kind in (Kind.DEFECT_NEW, Kind.DEFECT_UPDATE):
            row = connection.execute("SELECT min(seq) FROM events WHERE kind = ? AND seq > ?", (kind, end)).fetchone()
            limits += [found for found in row if found is not None]
    return min(limits)


def _newest(connection: sqlite3.Connection, kind: Kind) -> int:
    """Seq of the newest event of `kind`, 0 without one."""
    return connection.execute("SELECT max(seq) FROM events WHERE kind = ?", (kind,)).fetchone()[0] or 0


def _carry_newest(connection: sqlite3.Connection, kind: Kind, end: int) -> None:
    newest = _newest(connection, kind)
    if newest >= end:
        connection.execute("DELETE FROM carried WHERE kind = ?", (kind,))
    elif newest:
        connection.execute(
            "INSERT OR REPLACE INTO carried (kind, seq, document) SELECT kind, seq, document FROM events WHERE seq = ?",
            (newest,),
        )


def _carry_stop_request(connection: sqlite3.Connection, end: int) -> None:
    _carry_newest(connection, Kind.STOP_REQUEST, end)
    row = connection.execute("SELECT seq, document FROM carried WHERE kind = ?", (Kind.STOP_REQUEST,)).fetchone()
    if row is None:
        return
    seq, document = row
    request = parse_event(document).payload
    acks = connection.execute(
        "SELECT document FROM events WHERE kind = ? AND seq > ? AND seq < ?", (Kind.STOP_ACK, seq, end)
    )
    for (text,) in acks.fetchall():
        ack = parse_event(text).payload
        if isinstance(request, StopRequest) and isinstance(ack, StopAck) and ack.request_id == request.request_id:
            connection.execute("DELETE FROM carried WHERE kind = ?", (Kind.STOP_REQUEST,))
            return


def newest_bypass(connection: sqlite3.Connection, before_seq: int | None = None) -> tuple[int, str] | None:
    """Seq and document of the newest accepted command that switched the bypass; None without one."""
    row = connection.execute(
        "SELECT seq, document FROM events WHERE kind = ?1 AND (?2 IS NULL OR seq < ?2)"
        " AND json_extract(document, '$.payload.accepted')"
        " AND json_extract(document, '$.payload.is_on') IS NOT NULL ORDER BY seq DESC LIMIT 1",
        (Kind.COMMAND, before_seq),
    ).fetchone()
    return None if row is None else (int(row[0]), str(row[1]))


def _carry_bypass(connection: sqlite3.Connection, end: int) -> None:
    if (found := newest_bypass(connection, end)) is not None:
        connection.execute(
            "INSERT OR REPLACE INTO carried (kind, seq, document) VALUES (?, ?, ?)", (Kind.COMMAND, *found)
        )
