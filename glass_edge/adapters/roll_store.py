"""The events of rolls whose files are not written yet, in an SQLite database.

Promises: an event is durable when `take` returns, and is held once however often it comes, by `(epoch, seq)`; a roll
ends with its `roll.end`, or with the first event that cannot be its own; a roll's events go only when it was marked
written; the name a roll's files have is decided once.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from glass_edge.errors import InputError
from glass_edge.events.client import Received
from glass_edge.events.schema import Event, Kind
from glass_edge.files import make_folder

_FORMAT = 1
_TABLES = """
CREATE TABLE place (epoch TEXT PRIMARY KEY, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE rolls (
    id INTEGER PRIMARY KEY, epoch TEXT NOT NULL, roll_id TEXT NOT NULL, first_seq INTEGER NOT NULL,
    last_seq INTEGER NOT NULL, state TEXT NOT NULL CHECK (state IN ('open', 'ended', 'written')),
    name TEXT COLLATE NOCASE UNIQUE);
CREATE INDEX unwritten ON rolls (state) WHERE state <> 'written';
CREATE TABLE events (
    epoch TEXT NOT NULL, seq INTEGER NOT NULL, roll INTEGER NOT NULL REFERENCES rolls (id), document TEXT NOT NULL,
    PRIMARY KEY (epoch, seq)) WITHOUT ROWID;
CREATE INDEX of_roll ON events (roll, seq);
CREATE TABLE lost (epoch TEXT, first_seq INTEGER, last_seq INTEGER, PRIMARY KEY (epoch, first_seq)) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True)
class StoredRoll:
    """A roll that is open, or ended and not written.

    Attributes:
        key: row of the database.
        name: name of its files; None until it was decided.
    """

    key: int
    epoch: str
    roll_id: str
    first_seq: int
    last_seq: int
    name: str | None


def _remedy(error: sqlite3.Error) -> str:
    if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_NOTADB", "SQLITE_CORRUPT")):
        return (
            "it is damaged: remove it and offset.json beside it, and what the station keeps is read again; files of "
            "rolls that are there stay"
        )
    return "give a writable folder on a local disk"


class RollStore:
    """Opens or makes the database at `path`; for one thread of one process. Methods raise sqlite3.Error when it fails.

    Raises:
        InputError: it cannot be opened or is something else.
    """

    def __init__(self, path: Path) -> None:
        make_folder(path.parent)
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                self._db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version={_FORMAT}; COMMIT;")
        except sqlite3.Error as error:
            raise InputError(f"{path}: cannot be used ({error}); {_remedy(error)}") from error
        if version not in (0, _FORMAT):
            self._db.close()
            raise InputError(f"{path}: is of format {version}, this program writes {_FORMAT}; give another folder")

    def close(self) -> None:
        """Close the database."""
        self._db.close()

    def is_taken(self, event: Event) -> bool:
        """Whether this event, or a later one of its epoch, was taken before."""
        row = self._db.execute("SELECT seq FROM place WHERE epoch = ?", (event.epoch,)).fetchone()
        return row is not None and event.seq <= row[0]

    def end_before(self, event: Event) -> None:
        """End the open roll when `event` cannot belong to it: its own end never came."""
        open_roll = self._roll("open")
        if open_roll is None:
            return
        is_other = event.roll_id is not None and event.roll_id != open_roll.roll_id
        if is_other or event.epoch != open_roll.epoch or event.kind == Kind.ROLL_START:
            self._db.execute("UPDATE rolls SET state = 'ended' WHERE id = ?", (open_roll.key,))

    def take(self, received: Received) -> None:
        """Hold an event that was not taken before; one without a roll is only remembered as taken."""
        event = received.event
        self._db.execute("BEGIN IMMEDIATE")
        try:
            if event.roll_id is not None:
                self._hold(event, event.roll_id, received.document)
            self._db.execute("INSERT OR REPLACE INTO place VALUES (?, ?)", (event.epoch, event.seq))
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _hold(self, event: Event, roll_id: str, document: str) -> None:
        open_roll = self._roll("open")
        if open_roll is None:
            cursor = self._db.execute(
                "INSERT INTO rolls (epoch, roll_id, first_seq, last_seq, state) VALUES (?, ?, ?, ?, 'open')",
                (event.epoch, roll_id, event.seq, event.seq),
            )
            key = cursor.lastrowid
        else:
            key = open_roll.key
        self._db.execute("INSERT INTO events VALUES (?, ?, ?, ?)", (event.epoch, event.seq, key, document))
        state = "ended" if event.kind == Kind.ROLL_END else "open"
        self._db.execute("UPDATE rolls SET last_seq = ?, state = ? WHERE id = ?", (event.seq, state, key))

    def lose(self, epoch: str, first_seq: int, last_seq: int) -> None:
        """Remember that these events will never come."""
        self._db.execute("INSERT OR REPLACE INTO lost VALUES (?, ?, ?)", (epoch, first_seq, last_seq))

    def lost(self, roll: StoredRoll) -> list[tuple[int, int]]:
        """Ranges of events that never came, in the roll or right beside it, ascending."""
        return self._db.execute(
            "SELECT first_seq, last_seq FROM lost WHERE epoch = ? AND first_seq <= ? AND last_seq >= ? ORDER BY 1",
            (roll.epoch, roll.last_seq + 1, roll.first_seq - 1),
        ).fetchall()

    def ended(self) -> StoredRoll | None:
        """The oldest roll that waits to be written."""
        return self._roll("ended")

    def documents(self, roll: StoredRoll) -> Iterator[str]:
        """Documents of its events, in order of seq."""
        rows = self._db.execute("SELECT document FROM events WHERE roll = ? ORDER BY seq", (roll.key,))
        return (document for (document,) in rows)

    def name(self, roll: StoredRoll, base: str, is_free: Callable[[str], bool]) -> str:
        """The name of a roll's files: `base`, or with a number behind it where that is another roll's."""
        if roll.name is not None:
            return roll.name
        number = 1
        while True:
            name = base if number == 1 else f"{base}-{number}"
            held = self._db.execute("SELECT 1 FROM rolls WHERE name = ?", (name,)).fetchone()
            if held is None and is_free(name):
                break
            number += 1
        self._db.execute("UPDATE rolls SET name = ? WHERE id = ?", (name, roll.key))
        return name

    def written(self, roll: StoredRoll) -> None:
        """Its files are durable: its events are no longer needed."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.execute("DELETE FROM events WHERE roll = ?", (roll.key,))
            self._db.execute("UPDATE rolls SET state = 'written' WHERE id = ?", (roll.key,))
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def _roll(self, state: str) -> StoredRoll | None:
        row = self._db.execute(
            "SELECT id, epoch, roll_id, first_seq, last_seq, name FROM rolls WHERE state = ? ORDER BY id LIMIT 1",
            (state,),
        ).fetchone()
        return None if row is None else StoredRoll(*row)
