"""Reading the journal while it is written.

Promises: each call sees one moment of the journal (head, oldest and documents belong together); a reader never blocks
the writer; it may live in another thread or process than the writer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from glass_edge.events.errors import JournalError
from glass_edge.events.journal_file import open_for_reading, read_identity, remedy
from glass_edge.events.journal_pruning import newest_bypass
from glass_edge.events.schema import Kind, format_stamp


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """A row of the journal: its place, and the document's bytes as they are published."""

    seq: int
    document: str


@dataclass(frozen=True, slots=True)
class Extent:
    """What the journal holds: events `oldest`..`head`; head 0 and oldest 1 when it never held one."""

    oldest: int
    head: int


@dataclass(frozen=True, slots=True)
class Slice:
    """Events of one moment, with the extent at that moment."""

    extent: Extent
    events: tuple[StoredEvent, ...]


class JournalReader:
    """Read connection of its own; used by the thread that made it.

    Args:
        path: journal file.

    Raises:
        InputError: no such file, or not a journal of this version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection = open_for_reading(path)
        try:
            with self._guard():
                identity = read_identity(self._connection, path)
        except BaseException:
            self._connection.close()
            raise
        self.station = identity.station
        self.epoch = identity.epoch

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def extent(self) -> Extent:
        """Oldest and newest event kept."""
        with self._guard():
            return self._extent()

    def read(self, from_seq: int, limit: int, *, max_bytes: int | None = None) -> Slice:
        """Up to `limit` events from `from_seq` on, in order.

        Args:
            from_seq: first wanted; the slice starts at the oldest kept when that is later.
            limit: most events.
            max_bytes: stop before the documents exceed this many bytes in all; the first is given whatever its size.
        """
        with self._guard(), self._moment():
            rows = self._connection.execute(
                "SELECT seq, document FROM events WHERE seq >= ? ORDER BY seq LIMIT ?", (from_seq, limit)
            )
            return Slice(self._extent(), tuple(_within(rows, max_bytes)))

    def last_of_kinds(self, kinds: Iterable[str]) -> list[StoredEvent]:
        """The newest event of each of `kinds` that has one, in order of seq; also one that was carried over."""
        with self._guard(), self._moment():
            carried = {kind: (seq, document) for kind, seq, document in carried_events(self._connection)}
            found = []
            for kind in kinds:
                row = self._connection.execute(
                    "SELECT seq, document FROM events WHERE kind = ? ORDER BY seq DESC LIMIT 1", (kind,)
                ).fetchone()
                row = row or carried.get(kind)
                if row is not None:
                    found.append(StoredEvent(*row))
        return sorted(found, key=lambda event: event.seq)

    def last_bypass(self) -> StoredEvent | None:
        """The last accepted command that switched the bypass; also one that was carried over."""
        with self._guard(), self._moment():
            row = newest_bypass(self._connection)
            carried = {kind: (seq, document) for kind, seq, document in carried_events(self._connection)}
        row = row or carried.get(Kind.COMMAND)
        return None if row is None else StoredEvent(*row)

    def of_kind_after(self, kind: str, seq: int) -> list[StoredEvent]:
        """All events of `kind` later than `seq`, in order."""
        with self._guard():
            rows = self._connection.execute(
                "SELECT seq, document FROM events WHERE kind = ? AND seq > ? ORDER BY seq", (kind, seq)
            )
            return [StoredEvent(*row) for row in rows]

    def newest_of_kind(self, kind: str, limit: int) -> list[StoredEvent]:
        """The newest `limit` events of `kind`, in order."""
        with self._guard():
            rows = self._connection.execute(
                "SELECT seq, document FROM events WHERE kind = ? ORDER BY seq DESC LIMIT ?", (kind, limit)
            )
            return [StoredEvent(*row) for row in rows][::-1]

    def first_not_before(self, stamp: datetime, limit: int) -> int:
        """Number of the first of the `limit` oldest events not stamped before `stamp`, else of the one after them."""
        with self._guard(), self._moment():
            rows = self._connection.execute("SELECT seq, stamp_utc FROM events ORDER BY seq LIMIT ?", (limit,))
            wanted = format_stamp(stamp)  # of one width: texts compare as the moments do
            seq = self._extent().oldest - 1
            for seq, found in rows:
                if found >= wanted:
                    return int(seq)
            return int(seq) + 1

    def used_bytes(self) -> int:
        """Size of what is kept: the file without its free pages and without the write-ahead log."""
        with self._guard(), self._moment():
            pages, free, size = (
                self._connection.execute(f"PRAGMA {name}").fetchone()[0]
                for name in ("page_count", "freelist_count", "page_size")
            )
            return int((pages - free) * size)

    def _extent(self) -> Extent:
        # two sub-selects: SQLite answers each from the end of the key, a joint min/max would scan
        oldest, head = self._connection.execute(
            "SELECT (SELECT min(seq) FROM events), (SELECT max(seq) FROM events)"
        ).fetchone()
        return Extent(oldest=1, head=0) if head is None else Extent(oldest=oldest, head=head)

    @contextmanager
    def _moment(self) -> Iterator[None]:
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("ROLLBACK")

    @contextmanager
    def _guard(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise JournalError(remedy(self.path, error)) from error


def carried_events(connection: sqlite3.Connection) -> list[tuple[str, int, str]]:
    """Kind, seq and document of the events that were deleted and that the snapshot still needs."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'carried'").fetchone():
        return []  # a journal of a release that deleted nothing
    return connection.execute("SELECT kind, seq, document FROM carried").fetchall()


def _within(rows: Iterable[tuple[int, str]], max_bytes: int | None) -> Iterator[StoredEvent]:
    size = 0
    for seq, document in rows:
        size += len(document.encode())
        if max_bytes is not None and size > max_bytes and size != len(document.encode()):
            return
        yield StoredEvent(seq, document)
