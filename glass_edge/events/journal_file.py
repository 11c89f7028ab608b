"""The SQLite file behind the journal: its tables, its marks, and what its errors mean.

Promises: a file that is not a journal of this version is refused before a byte of it changes; a new journal appears
whole (tables, epoch and marks in one transaction) or not at all; every SQLite error becomes a sentence with the path
and what to do.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from dataclasses import dataclass
from pathlib import Path

from glass_edge.errors import InputError
from glass_edge.events.errors import JournalError
from glass_edge.events.journal_pruning import CARRIED_TABLE

APPLICATION_ID = 0x47455645  # "GEVE" in SQLite's application_id field marks the file as ours
JOURNAL_VERSION = 1
_MAGIC = b"SQLite format 3\0"
_BUSY_TIMEOUT_S = 5.0

_CREATE = (
    "CREATE TABLE journal (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE events"
    " (seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, stamp_utc TEXT NOT NULL, document TEXT NOT NULL)",
    "CREATE INDEX events_by_kind ON events (kind, seq)",
)

_REMEDIES = (
    (("SQLITE_FULL",), "the disk is full; free space and start again, the events appended so far are safe"),
    (
        ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM", "SQLITE_AUTH"),
        "cannot be opened for writing; give a journal in a folder this user may write",
    ),
    (("SQLITE_NOTADB",), "is not an event journal; move the file away or give another path"),
    (("SQLITE_CORRUPT",), "the journal is damaged; move it away to start a new one (clients see a new epoch)"),
    (("SQLITE_BUSY", "SQLITE_LOCKED"), "another program keeps the journal locked; close it"),
    (("SQLITE_IOERR",), "the disk failed; check the disk and its free space"),
)


@dataclass(frozen=True, slots=True)
class JournalIdentity:
    """Whose journal it is."""

    station: str
    epoch: str


def remedy(path: Path, error: sqlite3.Error) -> str:
    """A sentence for `error` on the journal at `path`: what happened and what to do."""
    name = str(getattr(error, "sqlite_errorname", ""))
    for prefixes, sentence in _REMEDIES:
        if name.startswith(prefixes):
            return f"{path}: {sentence} [{error}]"
    return f"{path}: {error}"


def open_for_writing(path: Path, station: str) -> tuple[sqlite3.Connection, JournalIdentity]:
    """Connection to the journal at `path`, made when it is absent or empty; durable at every commit.

    Raises:
        InputError: not a journal, another version or station, or not writable.
    """
    _require_database(path)
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise InputError(remedy(path, error)) from error
    try:
        is_new = _is_empty(connection)
        if not is_new:
            require_journal(connection, path)
        mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
        if mode != "wal":
            raise InputError(f"{path}: this file system cannot keep a write-ahead log; give a path on a local disk")
        connection.execute("PRAGMA synchronous=FULL")
        if is_new:
            _create(connection, station)
        connection.execute(CARRIED_TABLE)  # journals made before events were forgotten lack it
        identity = read_identity(connection, path)
        connection.execute("BEGIN IMMEDIATE")  # proves that the file can be written before anything relies on it
        connection.execute("ROLLBACK")
    except sqlite3.Error as error:
        connection.close()
        raise InputError(remedy(path, error)) from error
    except (InputError, JournalError):
        connection.close()
        raise
    if identity.station != station:
        connection.close()
        raise InputError(
            f"{path}: is the journal of station '{identity.station}', not of '{station}'; give each station its own"
        )
    return connection, identity


def open_for_pruning(path: Path) -> sqlite3.Connection:
    """Second connection of the writer, for deletions: they need not be on the disk before anybody goes on.

    Raises:
        InputError: it cannot be opened.
    """
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA synchronous=NORMAL")
    except sqlite3.Error as error:
        raise InputError(remedy(path, error)) from error
    return connection


def open_for_reading(path: Path) -> sqlite3.Connection:
    """Read-only connection to an existing journal.

    The file is never opened but by SQLite: closing any descriptor of it would drop the locks of all connections that
    this process has to it (POSIX), a station's too, and the next program that closes it would delete the write-ahead
    log in use (https://www.sqlite.org/howtocorrupt.html, section 2.2).

    Raises:
        InputError: no such file, not a journal, or another version.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such journal; give the path of a station's journal file")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}: cannot be read; give a journal this user may read")
    try:
        uri = f"{path.resolve().as_uri()}?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT_S, isolation_level=None)
    except sqlite3.Error as error:
        raise InputError(remedy(path, error)) from error
    try:
        require_journal(connection, path)
    except sqlite3.Error as error:
        connection.close()
        raise InputError(remedy(path, error)) from error
    except InputError:
        connection.close()
        raise
    return connection


def require_journal(connection: sqlite3.Connection, path: Path) -> None:
    """Raise `InputError` unless the file carries our marks and version."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION_ID:
        raise InputError(f"{path}: is not an event journal; move the file away or give another path")
    if version != JOURNAL_VERSION:
        raise InputError(
            f"{path}: is a journal of version {version} and this program keeps version {JOURNAL_VERSION};"
            " use the release that wrote it, or move it away to start a new one"
        )


def read_identity(connection: sqlite3.Connection, path: Path) -> JournalIdentity:
    """Station and epoch of an open journal.

    Raises:
        InputError: they are missing.
    """
    values = dict(connection.execute("SELECT name, value FROM journal").fetchall())
    if not {"station", "epoch"} <= set(values):
        raise InputError(f"{path}: the journal does not say its station and epoch; move it away to start a new one")
    return JournalIdentity(station=values["station"], epoch=values["epoch"])


def is_database(path: Path) -> bool:
    """Whether the file begins as an SQLite database does, or is absent or empty. Only before this process has any
    connection to it, see `open_for_reading`.

    SQLite itself takes one of a few bytes for an empty database and would write over it, and one whose begin is
    overwritten for sound while the begin lies in its write-ahead log.

    Raises:
        InputError: it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(len(_MAGIC))
    except FileNotFoundError:
        return True
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a journal this user may read") from error
    return start in (b"", _MAGIC)


def _require_database(path: Path) -> None:
    if not is_database(path):
        raise InputError(f"{path}: is not an event journal; move the file away or give another path")


def _is_empty(connection: sqlite3.Connection) -> bool:
    return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0)


def _create(connection: sqlite3.Connection, station: str) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        for statement in _CREATE:
            connection.execute(statement)
        rows = (("station", station), ("epoch", uuid.uuid4().hex))
        connection.executemany("INSERT INTO journal (name, value) VALUES (?, ?)", rows)
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={JOURNAL_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
