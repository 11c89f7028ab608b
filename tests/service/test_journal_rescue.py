"""A damaged journal is put aside with what can be read of it; a sound, a foreign and a busy one are left alone."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from glass_edge.events.drafts import DraftMaker
from glass_edge.events.journal import Journal
from glass_edge.events.journal_check import verify
from glass_edge.events.payloads import StationState
from glass_edge.fabric.geometry import WebScale
from glass_edge.service import journal_rescue
from glass_edge.service.doctor.finding import Verdict
from glass_edge.service.doctor.storage import journal_disk
from glass_edge.service.journal_rescue import rescue_journal, suspect_journal
from glass_edge.service.web_place import WebPlace, boot_id, boot_s, place_path, save_place

DRAFT = DraftMaker(None, WebScale(0.1, 0.1), is_simulated=True).status(StationState.READY)


def journaled(folder: Path, count: int = 300, station: str = "loom1") -> tuple[Path, list[str]]:
    path = folder / "events.journal"
    with Journal(path, station) as journal:
        return path, [event.to_json() for event in journal.append_all([DRAFT] * count)]


def place_of(path: Path, head: int, epoch: str = "0" * 32) -> None:
    save_place(
        place_path(path),
        WebPlace(
            epoch=epoch,
            run_seq=0,
            head=head,
            camera="C",
            line=1,
            encoder_count=4,
            written_utc=datetime.now(UTC),
            boot_id=boot_id(),
            boot_s=boot_s(),
        ),
    )


def rescued(path: Path) -> str:
    """What is said of a journal that must be put aside."""
    said = rescue_journal(path, "loom1")
    assert said is not None
    return said


def kept(path: Path) -> list[Path]:
    return sorted(one for one in path.parent.iterdir() if ".damaged-" in one.name)


def test_a_sound_journal_stays_where_it_is(tmp_path: Path) -> None:
    path, _ = journaled(tmp_path)
    before = path.read_bytes()
    assert rescue_journal(path, "loom1") is None
    assert rescue_journal(tmp_path / "none" / "events.journal", "loom1") is None
    assert rescue_journal(tmp_path / "absent.journal", "loom1") is None
    assert path.read_bytes() == before
    assert not kept(path)


@pytest.mark.parametrize("seed", range(8))
def test_flipped_bytes_are_found_and_what_can_be_read_is_kept(tmp_path: Path, seed: int) -> None:
    path, documents = journaled(tmp_path)
    data = bytearray(path.read_bytes())
    chance = random.Random(seed)
    for _ in range(4):
        at = chance.randrange(len(data) - 256)
        data[at : at + 256] = chance.randbytes(256)
    path.write_bytes(bytes(data))
    said = rescue_journal(path, "loom1")
    if said is None:  # only bytes that nothing uses
        assert verify(path).is_whole
        return
    assert "new epoch" in said
    (whole, lines) = [one for one in kept(path) if not one.name.endswith(("-wal", "-shm"))]
    assert whole.read_bytes() == bytes(data)
    found = lines.read_text().splitlines()
    assert len(found) <= len(documents)
    assert sum(one not in documents for one in found) <= 4
    with Journal(path, "loom1") as journal:
        assert journal.append(DRAFT).seq == 1


def test_a_flip_in_the_text_of_an_event_is_found(tmp_path: Path) -> None:
    path, documents = journaled(tmp_path, 5)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE events SET document = replace(document, 'Ready', 'Re\x01dy') WHERE seq = 3")
    connection.commit()
    connection.close()
    said = rescued(path)
    assert "event 3" in said
    lines = next(one for one in kept(path) if one.suffix == ".jsonl").read_text().splitlines()
    assert lines == [*documents[:2], *documents[3:]]


def test_a_truncated_journal_keeps_its_begin(tmp_path: Path) -> None:
    path, documents = journaled(tmp_path, 2000)
    os.truncate(path, path.stat().st_size // 2)
    assert rescue_journal(path, "loom1") is not None
    lines = next(one for one in kept(path) if one.suffix == ".jsonl").read_text().splitlines()
    assert set(lines) <= set(documents)
    assert len(lines) > 100


def test_the_doctor_tells_of_what_was_put_aside(tmp_path: Path) -> None:
    path, _ = journaled(tmp_path)
    assert len(list(journal_disk(path, keep_mb=1))) == 2
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert rescue_journal(path, "loom1")
    *_, last = journal_disk(path, keep_mb=1)
    assert last.verdict is Verdict.CARE
    assert last.text.startswith(f"damaged journals were put aside, {len(kept(path))} files of ")
    assert last.remedy.endswith(f"rm {path}.damaged-*")


def test_an_overwritten_header_is_damage_where_the_place_says_whose_it_was(tmp_path: Path) -> None:
    path, _ = journaled(tmp_path)
    data = path.read_bytes()
    path.write_bytes(bytes(100) + data[100:])
    assert rescue_journal(path, "loom1") is None  # any file of any program
    place_of(path, 300)
    assert rescue_journal(path, "loom1") is not None
    assert kept(path)


def test_an_overwritten_header_is_damage_too_while_the_log_of_a_killed_writer_has_a_whole_one(tmp_path: Path) -> None:
    """SQLite reads the first page from the log and finds nothing wrong."""
    alive = tmp_path / "alive"
    alive.mkdir()
    path = tmp_path / "events.journal"
    with Journal(alive / path.name, "loom1") as journal:
        documents = [event.to_json() for event in journal.append_all([DRAFT] * 50)]
        for one in alive.glob("events.journal*"):
            shutil.copy(one, tmp_path / one.name)
        epoch = journal.epoch
    with path.open("r+b") as stream:
        stream.write(bytes(100))
    with contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:  # leaves the log
        assert connection.execute("SELECT count(*) FROM events").fetchone() == (50,)
    assert rescue_journal(path, "loom1") is None
    place_of(path, 50, epoch)
    said = rescued(path)
    assert "its begin was overwritten" in said
    assert next(one for one in kept(path) if one.suffix == ".jsonl").read_text().splitlines() == documents
    with Journal(path, "loom1") as journal:
        assert journal.epoch != epoch


def test_a_journal_that_went_back_is_damage(tmp_path: Path) -> None:
    path, documents = journaled(tmp_path, 10)
    epoch = json.loads(documents[0])["epoch"]
    place_of(path, 10, epoch)
    assert rescue_journal(path, "loom1") is None
    place_of(path, 11, epoch)
    said = rescued(path)
    assert "write-ahead log" in said
    assert next(one for one in kept(path) if one.suffix == ".jsonl").read_text().splitlines() == documents


def test_an_empty_journal_is_told_where_there_was_one(tmp_path: Path) -> None:
    path = tmp_path / "events.journal"
    path.touch()
    assert rescue_journal(path, "loom1") is None
    place_of(path, 10)
    assert rescue_journal(path, "loom1") is not None
    assert rescue_journal(path, "loom1") is not None  # gone, and still not begun anew


def test_what_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "events.journal"
    path.write_bytes(b"a letter to my mother")
    assert rescue_journal(path, "loom1") is None
    path.unlink()
    other, _ = journaled(tmp_path, station="loom2")
    place_of(other, 1000)
    assert rescue_journal(other, "loom1") is None
    with sqlite3.connect(other) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    assert rescue_journal(other, "loom2") is None  # of a later release
    assert not kept(other)


def test_a_journal_that_is_written_is_left_alone(tmp_path: Path) -> None:
    path, documents = journaled(tmp_path)
    place_of(path, 1000, json.loads(documents[0])["epoch"])
    with Journal(path, "loom1"):
        assert rescue_journal(path, "loom1") is None
    assert rescue_journal(path, "loom1") is not None


def test_a_killed_writers_log_goes_with_it(tmp_path: Path) -> None:
    path, _ = journaled(tmp_path, 3)
    journal = Journal(path, "loom1")
    journal.append_all([DRAFT] * 50)
    copy = tmp_path / "copy"
    copy.mkdir()
    for one in tmp_path.glob("events.journal*"):
        shutil.copy(one, copy / one.name)
    journal.close()
    killed = copy / "events.journal"
    assert rescue_journal(killed, "loom1") is None  # as a kill leaves it
    place_of(killed, 54, journal.epoch)
    assert rescue_journal(killed, "loom1") is not None
    lines = next(one for one in kept(killed) if one.suffix == ".jsonl").read_text().splitlines()
    assert len(lines) == 53


def test_a_run_that_failed_by_it_has_all_of_it_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, _ = journaled(tmp_path, 5)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE events SET document = 'x' WHERE seq = 1")
    connection.close()
    monkeypatch.setattr(journal_rescue, "CHECK_S", 0.0)
    assert rescue_journal(path, "loom1") is None  # the newest alone
    suspect_journal(path)
    said = rescued(path)
    assert "event 1 is none" in said
    assert sorted(one.name for one in tmp_path.glob("*.suspect")) == []
