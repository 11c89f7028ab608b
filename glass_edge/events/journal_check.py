"""Proof that a journal is whole, and that a subscriber received all of it.

Promises: every finding names the event or the line; a journal without findings has no gap from its oldest to its head,
and every document in it, those carried over from deleted events included, parses and says the seq, epoch, station and
kind it is filed under. `compare` finds any document that is missing, changed, out of order or foreign in what a
subscriber wrote down; of events that are no longer kept it can only tell their order.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from glass_edge.errors import InputError
from glass_edge.events.errors import EventFormatError
from glass_edge.events.journal_file import open_for_reading, read_identity, remedy
from glass_edge.events.journal_reader import JournalReader, carried_events
from glass_edge.events.parsing import parse_event
from glass_edge.events.schema import format_stamp

MAX_FINDINGS = 20


@dataclass(slots=True)
class Findings:
    """Problems found; the first `MAX_FINDINGS` are kept in words, all are counted."""

    count: int = 0
    kept: list[str] = field(default_factory=list)

    def add(self, problem: str) -> None:
        """Note a problem."""
        self.count += 1
        if len(self.kept) < MAX_FINDINGS:
            self.kept.append(problem)


@dataclass(frozen=True, slots=True)
class JournalReport:
    """Outcome of `verify`."""

    station: str
    epoch: str
    oldest: int
    head: int
    events: int
    findings: Findings

    @property
    def is_whole(self) -> bool:
        """True when nothing was found."""
        return self.findings.count == 0


@dataclass(frozen=True, slots=True)
class ComparisonReport:
    """Outcome of `compare`.

    Events received once, lines received again (allowed: at least once), events among those received that the journal no
    longer keeps and that are not compared, and problems.
    """

    received: int
    repeated: int
    not_kept: int
    findings: Findings

    @property
    def is_equal(self) -> bool:
        """True when the subscriber received exactly what the journal keeps."""
        return self.findings.count == 0


def verify(path: Path) -> JournalReport:
    """Check the file, the numbering and every document of the journal at `path`; nothing is changed.

    Raises:
        InputError: no such file, or not a journal of this version.
    """
    connection = open_for_reading(path)
    try:
        connection.execute("BEGIN")  # one moment, also while the station writes
        identity = read_identity(connection, path)
        findings = Findings()
        first, last, events = _walk(connection, path, {"station": identity.station, "epoch": identity.epoch}, findings)
    except sqlite3.Error as error:
        raise InputError(remedy(path, error)) from error
    finally:
        connection.close()
    return JournalReport(identity.station, identity.epoch, first or 1, last or 0, events, findings)


def _walk(
    connection: sqlite3.Connection, path: Path, whose: dict[str, object], findings: Findings
) -> tuple[int | None, int | None, int]:
    first: int | None = None
    last: int | None = None
    events = 0
    try:
        for (line,) in connection.execute("PRAGMA integrity_check"):
            if line != "ok":
                findings.add(f"file: {line}")
        rows = connection.execute("SELECT seq, kind, stamp_utc, document FROM events ORDER BY seq")
        for seq, kind, stamp, document in rows:
            if last is not None and seq != last + 1:
                findings.add(f"seq {last + 1} to {seq - 1}: missing")
            first, last, events = (seq if first is None else first), seq, events + 1
            problem = _filing_problem(document, {**whose, "seq": seq, "kind": kind, "stamp_utc": stamp})
            if problem:
                findings.add(f"seq {seq}: {problem}")
        for kind, seq, document in carried_events(connection):
            problem = _filing_problem(document, {**whose, "seq": seq, "kind": kind})
            if first is None or seq >= first:
                problem = problem or "is carried over and was not deleted"
            if problem:
                findings.add(f"{kind} carried over as seq {seq}: {problem}")
    except sqlite3.DatabaseError as error:
        findings.add(f"file: {remedy(path, error)}")
    return first, last, events


def _filing_problem(document: str, filed: dict[str, object]) -> str:
    try:
        event = parse_event(document)
    except EventFormatError as error:
        return str(error)
    said = {
        "station": event.station,
        "epoch": event.epoch,
        "seq": event.seq,
        "kind": event.kind,
        "stamp_utc": format_stamp(event.stamp_utc),
    }
    wrong = [f"{key} is {said[key]} and it is filed under {filed[key]}" for key in filed if said[key] != filed[key]]
    return "; ".join(wrong)


def compare(journal: Path, received: Path) -> ComparisonReport:
    """Compare the documents a subscriber wrote to `received`, one JSON document a line, with the journal.

    The subscriber may have received an event again after a restart (at least once); the repetition must be equal.

    Raises:
        InputError: a file is missing or cannot be read, or the journal is none.
    """
    findings = Findings()
    unique = repeated = not_kept = 0
    with JournalReader(journal) as reader:
        extent = reader.extent()
        newest = extent.oldest - 1
        earlier: int | None = None
        for number, line in _lines(received):
            try:
                event = parse_event(line)
            except EventFormatError as error:
                findings.add(f"{received}:{number}: {error}")
                continue
            if event.epoch != reader.epoch:
                findings.add(f"{received}:{number}: epoch {event.epoch} is not this journal's, {reader.epoch}")
                continue
            if event.seq < extent.oldest:
                is_new = _take_not_kept(f"{received}:{number}", event.seq, earlier, findings)
                not_kept, repeated = not_kept + is_new, repeated + (not is_new)
                earlier = max(event.seq, earlier or 0)
                continue
            stored = reader.read(event.seq, 1).events
            if not stored or stored[0].seq != event.seq:
                findings.add(f"{received}:{number}: seq {event.seq} is not in the journal")
                continue
            if json.loads(stored[0].document) != json.loads(line):
                findings.add(f"{received}:{number}: seq {event.seq} differs from the journal")
            if unique == 0:
                _take_not_kept(f"{received}:{number}", extent.oldest, earlier, findings)
            if event.seq <= newest:
                repeated += 1
                continue
            if event.seq != newest + 1:
                findings.add(f"{received}:{number}: seq {newest + 1} to {event.seq - 1} were not received")
            unique += 1
            newest = event.seq
        if newest < extent.head:
            findings.add(f"{received}: seq {newest + 1} to {extent.head}, the end of the journal, were not received")
    return ComparisonReport(unique, repeated, not_kept, findings)


def _take_not_kept(where: str, seq: int, newest: int | None, findings: Findings) -> bool:
    """Check the order up to `seq` of events that the journal no longer keeps; True unless it was received before."""
    if newest is not None and seq > newest + 1:
        findings.add(f"{where}: seq {newest + 1} to {seq - 1} were not received")
    return newest is None or seq > newest


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Lines that hold something, with their number, 1-based."""
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, line
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        message = f"{path}: cannot be read as lines of JSON ({reason}); give a file that `events tail --json` wrote"
        raise InputError(message) from error
