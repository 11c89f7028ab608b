"""The journal: every event of a station, durable before anyone hears of it.

Promises: `append` returns after the event is on the disk (write-ahead log, synchronous=FULL) with a seq that follows
the one before without a gap, given in the same transaction; several events are appended all or none; one writer at a
time, a second is refused; the epoch is made when the journal is new and never changes. Events may be forgotten from
the oldest on (`journal_pruning` says which stay), the newest always stays, so numbers are never used twice.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from glass_edge.errors import InputError
from glass_edge.events.errors import JournalError
from glass_edge.events.filelock import FileLock
from glass_edge.events.journal_file import open_for_pruning, open_for_writing, remedy
from glass_edge.events.journal_pruning import forget
from glass_edge.events.journal_reader import JournalReader
from glass_edge.events.schema import SCHEMA_VERSION, Draft, Event, format_stamp
from glass_edge.files import make_folder


class Journal:
    """The one writer of a journal file; made when absent. `append` may be called from any thread, one at a time.

    Args:
        path: journal file on a local disk; its folder is made.
        station: name of the station, fixed when the journal is made.

    Raises:
        InputError: unwritable, no journal, another version or station, or already open for writing.
    """

    def __init__(self, path: Path, station: str) -> None:
        self.path = path
        self.station = station
        make_folder(path.parent)
        if path.exists() and not path.is_file():
            raise InputError(f"{path}: is not a file; give the path of a journal file")
        real = path.resolve()
        self._writer_lock = FileLock(real.with_name(real.name + ".lock"))
        if not self._writer_lock.acquire():
            raise InputError(
                f"{path}: {self._writer_lock.holder()} is writing this journal; stop it or give another journal"
            )
        try:
            self._connection, identity = open_for_writing(path, station)
            self._pruner = open_for_pruning(path)
        except BaseException:
            self._writer_lock.release()
            raise
        self.epoch = identity.epoch
        self.head = 0
        """Newest event that this writer kept, 0 before the first."""
        self._append_lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(self, draft: Draft) -> Event:
        """Give `draft` its place and keep it.

        Raises:
            JournalError: it could not be written (disk full, disk failure, closed); nothing was kept.
        """
        return self.append_all((draft,))[0]

    def append_all(self, drafts: Sequence[Draft]) -> list[Event]:
        """Keep several events in one transaction, in their order: all or none.

        Raises:
            JournalError: as for `append`.
        """
        with self._append_lock:
            try:
                return self._append(drafts)
            except sqlite3.Error as error:
                raise JournalError(remedy(self.path, error)) from error

    def forget_before(self, seq: int) -> int:
        """Delete events older than `seq`, never the newest nor the open roll; returns how many were deleted.

        `append` waits meanwhile, so `seq` should be near the oldest. A deletion may be undone by a power cut.

        Raises:
            JournalError: the file could not be written.
            EventFormatError: a stop.request or stop.ack in it is no event.
        """
        with self._append_lock:
            try:
                return forget(self._pruner, seq)
            except sqlite3.Error as error:
                raise JournalError(remedy(self.path, error)) from error

    def reader(self) -> JournalReader:
        """A new read connection for the calling thread."""
        return JournalReader(self.path)

    def close(self) -> None:
        """Close the file and let another writer in; no harm when closed already."""
        with self._append_lock:
            self._pruner.close()
            self._connection.close()
            self._writer_lock.release()

    def _append(self, drafts: Sequence[Draft]) -> list[Event]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            head = self._connection.execute("SELECT max(seq) FROM events").fetchone()[0] or 0
            events = [self._placed(draft, head + place) for place, draft in enumerate(drafts, start=1)]
            rows = [(event.seq, event.kind, format_stamp(event.stamp_utc), event.to_json()) for event in events]
            self._connection.executemany(
                "INSERT INTO events (seq, kind, stamp_utc, document) VALUES (?, ?, ?, ?)", rows
            )
            self._connection.execute("COMMIT")
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self.head = events[-1].seq if events else self.head
        return events

    def _placed(self, draft: Draft, seq: int) -> Event:
        return Event(
            schema_version=SCHEMA_VERSION,
            station=self.station,
            epoch=self.epoch,
            seq=seq,
            kind=draft.kind,
            stamp_utc=datetime.now(UTC),
            is_simulated=draft.is_simulated,
            is_partial=draft.is_partial,
            roll_id=draft.roll_id,
            style=draft.style,
            payload=draft.payload,
        )
