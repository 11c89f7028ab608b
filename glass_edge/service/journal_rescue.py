"""A damaged journal is put aside, and the station begins a new one: it does not stay down for one bad byte.

Promises: nothing is moved that was not this station's journal, that another process writes, or that is merely locked,
full or of another release; what is moved stays whole beside the new journal, with all events that could be read as
lines of JSON; the sentence says what was found, where it is now and what to do. A journal that went back (its
write-ahead log was lost) is damaged too: numbers would be given twice. The look takes some seconds at most: a journal
too large for that is looked at from its newest event on, and wholly once a run has failed by it. See
docs/decisions/0016-a-damaged-journal-is-put-aside.md.
"""

from __future__ import annotations

import contextlib
import glob
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from glass_edge.errors import InputError
from glass_edge.events.errors import EventFormatError
from glass_edge.events.filelock import FileLock
from glass_edge.events.journal_file import APPLICATION_ID, JournalIdentity, is_database, open_for_reading, read_identity
from glass_edge.events.parsing import parse_event
from glass_edge.files import atomic_write
from glass_edge.service.web_place import WebPlace, load_place, place_path

FAULT = "journal_damaged"
CHECK_S, SUSPECT_S = 2.0, 300.0
_APPLICATION_ID_AT = 68  # https://www.sqlite.org/fileformat.html
_BESIDE = ("-wal", "-shm")
_ASIDE = ".damaged-"


def suspect_journal(path: Path) -> None:
    """Have the whole journal looked at by the next start, however long that takes: this run failed by it."""
    with contextlib.suppress(OSError):  # a full disk is no damage
        _mark(path).touch()


def put_aside(path: Path) -> list[Path]:
    """Files of damaged journals that lie beside the journal at `path`."""
    return list(path.parent.glob(f"{glob.escape(path.name)}{_ASIDE}*"))


def _mark(path: Path) -> Path:
    return path.with_name(f"{path.name}.suspect")


def rescue_journal(path: Path, station: str) -> str | None:
    """Put the journal of a station aside where it is damaged.

    Args:
        path: of the journal, which nobody has open.
        station: whose it is.

    Returns:
        What was done, in a sentence; None where it is sound, absent, or not ours to move.
    """
    place = _place(path)
    real = path.resolve()
    if not path.parent.is_dir() or (path.exists() and not path.is_file()):
        return None
    lock = FileLock(real.with_name(f"{real.name}.lock"))
    try:
        if not lock.acquire():
            return None
    except (InputError, OSError):
        return None  # the journal says why it cannot be written
    try:
        problem = _problem(path, station, place)
        _mark(path).unlink(missing_ok=True)
        return None if problem is None else _put_aside(path, problem)
    finally:
        lock.release()


def _place(path: Path) -> WebPlace | None:
    try:
        return load_place(place_path(path))
    except InputError:
        return None


def _problem(path: Path, station: str, place: WebPlace | None) -> str | None:
    """What is wrong with the journal; None: nothing that a new one would mend."""
    if not path.exists() or path.stat().st_size == 0:
        return _why_nothing(path, place)
    if place is None and not _is_marked(path):
        return None  # some other file: the journal refuses it
    try:
        if not is_database(path):
            return "its begin was overwritten"
        connection = open_for_reading(path)
    except InputError as error:
        return str(error.__cause__ or error) if _is_damage(error, path) else None
    try:
        connection.text_factory = _text
        return _found(connection, path, station, place)
    except sqlite3.DatabaseError as error:
        return str(error) if _is_corrupt(error) else None
    finally:
        connection.close()


def _why_nothing(path: Path, place: WebPlace | None) -> str | None:
    """What is wrong where there is no journal; None: there was none."""
    if path.exists():
        return None if place is None else "it is empty"
    return None if place is None or place.head == 0 or place.epoch == "" else "it is gone"


def _found(connection: sqlite3.Connection, path: Path, station: str, place: WebPlace | None) -> str | None:
    try:
        identity = read_identity(connection, path)
    except InputError as error:
        return str(error)
    if identity.station != station:
        return None
    limit_s = SUSPECT_S if _mark(path).exists() else CHECK_S
    if (problem := _quick_check(connection, limit_s)) is not None:
        return problem
    head = connection.execute("SELECT max(seq) FROM events").fetchone()[0] or 0
    if place is not None and place.epoch == identity.epoch and head < place.head:
        return f"it ends with event {head}, and event {place.head} was told: its write-ahead log was lost"
    return _wrong_event(connection, identity, head, limit_s)


def _wrong_event(connection: sqlite3.Connection, identity: JournalIdentity, head: int, limit_s: float) -> str | None:
    """What is wrong with the newest events, as many as can be looked at in the time."""
    deadline_s = time.monotonic() + limit_s
    expected = head
    for seq, kind, document in connection.execute("SELECT seq, kind, document FROM events ORDER BY seq DESC"):
        if seq != expected:
            return f"events {seq + 1} to {expected} are missing"
        expected -= 1
        try:
            event = parse_event(document)
        except EventFormatError as error:
            return f"event {seq} is none: {error}"
        if (event.seq, event.kind, event.epoch, event.station) != (seq, kind, identity.epoch, identity.station):
            return f"event {seq} is filed wrongly"
        if time.monotonic() > deadline_s:
            break
    return None


def _quick_check(connection: sqlite3.Connection, limit_s: float) -> str | None:
    """What SQLite finds wrong with the file; None: nothing in the time there was."""
    deadline_s = time.monotonic() + limit_s
    connection.set_progress_handler(lambda: int(time.monotonic() > deadline_s), 100_000)
    try:
        for (line,) in connection.execute("PRAGMA integrity_check(1)"):
            if line != "ok":
                return str(line)
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
            raise
    finally:
        connection.set_progress_handler(None, 0)
    return None


def _text(data: bytes) -> str:
    """Text with damaged bytes, which no event holds, replaced."""
    return data.decode(errors="replace")


def _is_marked(path: Path) -> bool:
    """Whether the file bears the journal's mark."""
    with contextlib.suppress(OSError), path.open("rb") as stream:
        stream.seek(_APPLICATION_ID_AT)
        return stream.read(4) == APPLICATION_ID.to_bytes(4, "big")
    return False


def _is_damage(error: InputError, path: Path) -> bool:
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return _is_corrupt(cause)
    if isinstance(cause, OSError):
        return False
    # no database any more, or without our mark; of another version it is another release's
    return not _is_marked(path) or "is not an event journal" in str(error)


def _is_corrupt(error: sqlite3.Error) -> bool:
    name = str(getattr(error, "sqlite_errorname", ""))
    # a flipped byte in the schema reads as an SQL error
    return name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")) or name in ("SQLITE_ERROR", "SQLITE_FORMAT")


def _put_aside(path: Path, problem: str) -> str:
    kept = path.with_name(f"{path.name}{_ASIDE}{datetime.now(UTC):%Y%m%dT%H%M%S_%fZ}")
    said = f"{path}: the journal is damaged ({problem}); a new one begins, with a new epoch"
    if not path.exists():
        return f"{said}; events that clients had not taken are lost"
    for suffix in ("", *_BESIDE):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).rename(kept.with_name(kept.name + suffix))
    lines = kept.with_name(f"{kept.name}.jsonl")
    try:
        with atomic_write(lines) as stream:
            count = sum(stream.write(f"{document}\n".encode()) > 0 for document in _readable(kept))
        read = f"the {count} events that could be read are in {lines.name}"
    except (OSError, InputError, sqlite3.Error) as error:
        read = f"no event of it could be copied ({error})"
    return (
        f"{said}. It is kept as {kept.name}; {read}. Clients that had not taken all of them miss the rest: give them "
        "that file; then check the disk"
    )


def _is_event(document: object) -> bool:
    with contextlib.suppress(EventFormatError):
        return isinstance(document, str) and parse_event(document) is not None
    return False


def _readable(path: Path) -> Iterator[str]:
    """Documents of a damaged journal, in order as far as it can be read from its begin, then from its end."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.text_factory = _text
        connection.execute("PRAGMA writable_schema = ON")  # lets it read a file that is shorter than it says
        last = 0
        try:
            for seq, document in connection.execute("SELECT seq, document FROM events NOT INDEXED ORDER BY seq"):
                last = seq
                if _is_event(document):
                    yield document
        except sqlite3.Error:
            behind = []
            with contextlib.suppress(sqlite3.Error):
                for seq, document in connection.execute(
                    "SELECT seq, document FROM events NOT INDEXED WHERE seq > ? ORDER BY seq DESC", (last,)
                ):
                    behind.append((seq, document))
            for _, document in reversed(behind):
                if _is_event(document):
                    yield document
