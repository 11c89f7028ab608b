"""Files of each roll, for a system that reads a folder.

Promises: when `handle` returns, the event is durable in the adapter's own store, and with a roll's last event its
files are in the folder; an event that comes again changes nothing; while the folder is full, read-only or away, the
roll waits in the store and nothing is lost; files of another roll of the same name are never replaced.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glass_edge.adapters.roll_files import RollSummary, RollTarget, file_name, holds, write_roll
from glass_edge.adapters.roll_store import RollStore, StoredRoll
from glass_edge.adapters.sink import RetryableError
from glass_edge.config.adapter_files import FilesSettings
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.events.client import Received
from glass_edge.events.schema import Kind
from glass_edge.events.sequencer import EpochChanged, Lost
from glass_edge.files import make_folder, remove_temporaries

_PART_FOLDER = ".part"  # on the same file system, and in no reader's way


class FilesSink:
    """Writes `ROLL.json` and `ROLL-defects.csv` at each roll's end.

    Args:
        settings: where the files appear.
        store_path: database of rolls not written yet, on a local disk.

    Raises:
        InputError: the database cannot be used.
    """

    def __init__(self, settings: FilesSettings, store_path: Path) -> None:
        self._folder = settings.folder
        self._may_make_folder = settings.make_folder
        self._part_folder = self._folder / _PART_FOLDER
        self._store_path = store_path
        self._store = RollStore(store_path)
        self._is_prepared = False

    def close(self) -> None:
        """Close the store."""
        self._store.close()

    def handle(self, received: Received) -> None:
        """Hold the event, and write the roll it ends or shows to have ended.

        Raises:
            RetryableError: the store or the folder cannot be written now.
            GlassEdgeError: the store is damaged.
        """
        with self._store_trouble():
            if not self._store.is_taken(received.event):
                self._store.end_before(received.event)
                self._write_ended()  # before the event is held: its roll may be the next
                self._store.take(received)
            self._write_ended()

    def told(self, notice: Lost | EpochChanged) -> None:
        """Remember what never comes, for the files of the roll. Raises as `handle`."""
        if isinstance(notice, EpochChanged):
            return  # the first event of the new epoch ends the open roll
        with self._store_trouble():
            self._store.lose(notice.epoch, notice.first_seq, notice.last_seq)

    @contextmanager
    def _store_trouble(self) -> Iterator[None]:
        """A store that is full or locked is worth another try, a damaged one is not; others are faults of ours."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise RetryableError(f"{self._store_path}: cannot be written ({error}); make room or mend it") from error
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:
                raise
            raise GlassEdgeError(
                f"{self._store_path}: is damaged ({error}); remove the adapter's state folder to begin anew"
            ) from error

    def _write_ended(self) -> None:
        while (roll := self._store.ended()) is not None:
            try:
                self._write(roll)
            except InputError as error:
                raise RetryableError(str(error)) from error
            except OSError as error:
                raise RetryableError(
                    f"{self._folder}: cannot be written ({error.strerror}); make room or mend it"
                ) from error
            self._store.written(roll)

    def _write(self, roll: StoredRoll) -> None:
        if not self._may_make_folder and not self._folder.is_dir():
            raise RetryableError(f"{self._folder}: is not there; make it, or mount what it is on")
        make_folder(self._part_folder)
        if not self._is_prepared:
            remove_temporaries(self._part_folder)
            self._is_prepared = True

        def is_free(name: str) -> bool:
            path = self._folder / f"{name}.json"
            return not path.exists() or holds(path, roll.epoch, roll.first_seq)

        name = self._store.name(roll, file_name(roll.roll_id), is_free)
        summary, lost = RollSummary(self._store.documents(roll)), self._store.lost(roll)
        target = RollTarget(self._folder, self._part_folder, name)
        write_roll(target, summary, lost, self._store.documents(roll))


def plan(received: Received) -> str:
    """What `FilesSink` would do with an event."""
    event = received.event
    if event.roll_id is None:
        return "of no roll, not kept"
    name = file_name(event.roll_id)
    if event.kind == Kind.ROLL_END:
        return f"would write {name}-defects.csv and {name}.json"
    return f"would hold it for {name}"
