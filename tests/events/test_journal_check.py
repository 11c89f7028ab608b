from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest
from events_support import numbered

from glass_edge.errors import InputError
from glass_edge.events.journal import Journal
from glass_edge.events.journal_check import MAX_FINDINGS, compare, verify


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    with Journal(path, "loom1") as writer:
        writer.append_all([numbered(number) for number in range(1, 11)])
    return path


def documents(journal: Path) -> list[str]:
    connection = sqlite3.connect(journal)
    rows = connection.execute("SELECT document FROM events ORDER BY seq").fetchall()
    connection.close()
    return [row[0] for row in rows]


def change(journal: Path, statement: str, *values: object) -> None:
    connection = sqlite3.connect(journal)
    connection.execute(statement, values)
    connection.commit()
    connection.close()


def test_a_sound_journal(journal: Path) -> None:
    report = verify(journal)
    assert report.is_whole
    assert (report.station, report.oldest, report.head, report.events) == ("loom1", 1, 10, 10)


def test_an_empty_and_a_shortened_journal_are_sound(tmp_path: Path, journal: Path) -> None:
    Journal(tmp_path / "empty", "loom1").close()
    assert verify(tmp_path / "empty").is_whole
    with Journal(journal, "loom1") as writer:
        writer.forget_before(4)
        report = verify(journal)  # while it is open for writing
    assert report.is_whole
    assert (report.oldest, report.head, report.events) == (4, 10, 7)


def test_every_damage_is_named(journal: Path) -> None:
    texts = documents(journal)
    change(journal, "DELETE FROM events WHERE seq IN (3, 4)")
    change(journal, "UPDATE events SET document = ? WHERE seq = 6", texts[6])
    change(journal, "UPDATE events SET document = 'torn{' WHERE seq = 7")
    change(journal, "UPDATE events SET kind = 'roll.end' WHERE seq = 8")
    other = json.loads(texts[8]) | {"epoch": "f" * 32, "station": "loom2"}
    change(journal, "UPDATE events SET document = ? WHERE seq = 9", json.dumps(other))
    report = verify(journal)
    assert not report.is_whole
    text = "\n".join(report.findings.kept)
    for part in (
        "seq 3 to 4: missing",
        "seq 6: seq is 7 and it is filed under 6",
        "seq 7: not a JSON document",
        "seq 8: kind is status and it is filed under roll.end",
        "seq 9: station is loom2 and it is filed under loom1; epoch is ffff",
    ):
        assert part in text
    assert report.findings.count == 5


def test_a_torn_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, "loom1") as journal:
        journal.append_all([numbered(number) for number in range(500)])
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2 // 4096 * 4096])
    try:
        report = verify(path)
    except InputError as error:
        assert "damaged" in str(error)  # noqa: PT017 - either outcome names the damage
    else:
        assert not report.is_whole
        assert any("file:" in finding for finding in report.findings.kept)


def test_many_findings_are_counted_and_few_are_kept(journal: Path) -> None:
    with Journal(journal, "loom1") as writer:
        writer.append_all([numbered(number) for number in range(100)])
    change(journal, "UPDATE events SET document = '{}'")
    report = verify(journal)
    assert report.findings.count == 110
    assert len(report.findings.kept) == MAX_FINDINGS


def test_an_equal_file_and_one_with_repetitions(journal: Path, tmp_path: Path) -> None:
    lines = documents(journal)
    received = tmp_path / "received.jsonl"
    received.write_text("\n".join(lines) + "\n")
    report = compare(journal, received)
    assert report.is_equal
    assert (report.received, report.repeated) == (10, 0)
    # crashed after event 6, had committed 4; written again with other spacing
    again = [json.dumps(json.loads(line), indent=None) for line in lines[4:]]
    received.write_text("\n".join([*lines[:6], *again]))
    report = compare(journal, received)
    assert report.is_equal
    assert (report.received, report.repeated) == (10, 2)


def edited(line: str, **changes: object) -> str:
    return json.dumps(json.loads(line) | changes)


def test_every_difference_is_named(journal: Path, tmp_path: Path) -> None:
    good = documents(journal)
    received = tmp_path / "received.jsonl"
    cases: dict[str, list[str]] = {
        "seq 1 to 2 were not received": good[2:],
        "seq 5 to 5 were not received": good[:4] + good[5:],
        "seq 10 to 10, the end of the journal, were not received": good[:9],
        "seq 1 to 10, the end": [],
        "received.jsonl:4: not a JSON document": [*good[:3], good[3][:40], *good[3:]],
        "received.jsonl:2: seq 2 differs from the journal": [good[0], edited(good[1], is_partial=False), *good[2:]],
        "received.jsonl:3: epoch ffff": [*good[:2], edited(good[2], epoch="f" * 32), *good[2:]],
        "received.jsonl:11: seq 11 is not in the journal": [*good, edited(good[9], seq=11)],
        "received.jsonl:6: seq 5 to 5 were not received": [*good[:4], "", good[5], good[4], *good[6:]],
    }
    for finding, lines in cases.items():
        received.write_text("\n".join(lines))
        report = compare(journal, received)
        assert not report.is_equal
        assert any(finding in kept for kept in report.findings.kept), (finding, report.findings.kept)


def test_files_that_cannot_be_read_are_named(journal: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent.jsonl: cannot be read"):
        compare(journal, tmp_path / "absent.jsonl")
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\xff")
    with pytest.raises(InputError, match="binary: cannot be read"):
        compare(journal, binary)
    with pytest.raises(InputError, match="no such journal"):
        verify(tmp_path / "absent")
