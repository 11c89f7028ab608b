from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest
from events_support import MAKER, defect, numbered

from glass_edge.errors import InputError
from glass_edge.events.errors import JournalError
from glass_edge.events.journal import Journal
from glass_edge.events.journal_reader import Extent, JournalReader
from glass_edge.events.parsing import parse_event
from glass_edge.events.schema import Draft


def test_numbers_follow_each_other_across_reopening_and_the_epoch_stays(tmp_path: Path) -> None:
    path = tmp_path / "made" / "journal.db"
    events = []
    epochs = set()
    for _ in range(3):
        with Journal(path, "loom1") as journal:
            epochs.add(journal.epoch)
            events.append(journal.append(numbered(1)))
            events += journal.append_all([numbered(2), MAKER.defect(defect(1))])
    assert len(epochs) == 1
    assert [event.seq for event in events] == list(range(1, 10))
    with JournalReader(path) as reader:
        stored = reader.read(1, 100)
        assert reader.epoch in epochs
    assert stored.extent == Extent(oldest=1, head=9)
    assert [parse_event(row.document) for row in stored.events] == events


def test_a_new_journal_has_a_new_epoch(tmp_path: Path) -> None:
    with Journal(tmp_path / "a", "loom1") as first, Journal(tmp_path / "b", "loom1") as second:
        assert first.epoch != second.epoch
        assert len(first.epoch) == 32


def test_a_batch_is_kept_all_or_none(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", "loom1") as journal:
        journal.append(numbered(1))
        broken = Draft.model_construct(**dict(numbered(3)) | {"roll_id": 5})
        with pytest.raises(ValueError, match="roll_id"):
            journal.append_all([numbered(2), broken])
        assert journal.append(numbered(4)).seq == 2


def test_slices(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", "loom1") as journal, journal.reader() as reader:
        assert reader.extent() == Extent(oldest=1, head=0)
        assert reader.read(1, 10).events == ()
        events = journal.append_all([numbered(number) for number in range(1, 21)])
        assert [row.seq for row in reader.read(5, 3).events] == [5, 6, 7]
        assert [row.seq for row in reader.read(19, 10).events] == [19, 20]
        assert reader.read(21, 10).events == ()
        assert reader.read(3, 0).events == ()
        size = len(events[2].to_json().encode())
        assert [row.seq for row in reader.read(3, 10, max_bytes=2 * size + 10).events] == [3, 4]
        assert [row.seq for row in reader.read(3, 10, max_bytes=1).events] == [3]


def test_forgetting_keeps_the_newest_and_never_reuses_a_number(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", "loom1") as journal, journal.reader() as reader:
        assert journal.forget_before(10) == 0
        journal.append_all([numbered(number) for number in range(1, 6)])
        assert journal.forget_before(3) == 2
        assert reader.extent() == Extent(oldest=3, head=5)
        assert journal.forget_before(100) == 2
        assert reader.extent() == Extent(oldest=5, head=5)
        assert [row.seq for row in reader.read(1, 10).events] == [5]
    with Journal(tmp_path / "j", "loom1") as journal:
        assert journal.append(numbered(6)).seq == 6


def test_several_threads_append_without_gap_while_others_read(tmp_path: Path) -> None:
    seen: list[list[int]] = []
    done = threading.Event()
    with Journal(tmp_path / "j", "loom1") as journal:

        def write() -> None:
            for number in range(25):
                journal.append(numbered(number))

        def read() -> None:
            with journal.reader() as reader:
                while not done.is_set():
                    part = reader.read(1, 1000)
                    seqs = [row.seq for row in part.events]
                    assert seqs == list(range(1, part.extent.head + 1))
                    seen.append(seqs)

        writers = [threading.Thread(target=write) for _ in range(4)]
        watcher = threading.Thread(target=read)
        for thread in (*writers, watcher):
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        watcher.join()
        with journal.reader() as reader:
            assert [row.seq for row in reader.read(1, 1000).events] == list(range(1, 101))
    assert seen


def test_every_commit_waits_for_the_disk(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", "loom1") as journal:
        assert journal._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert journal._connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_an_event_told_of_survives_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "j"
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from events_support import numbered
        from glass_edge.events.journal import Journal
        with Journal(Path(sys.argv[1]), "loom1") as journal:
            for number in range(1, 100_000):
                print(journal.append(numbered(number)).seq, flush=True)
        """
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    chance = random.Random(5)
    told = 0
    for _ in range(3):
        process = subprocess.Popen(
            [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True, env=environment
        )
        assert process.stdout is not None
        for _ in range(chance.randint(1, 60)):
            line = process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().splitlines()
        process.wait()
        told = int([line, *rest][-1])
        with JournalReader(path) as reader:
            part = reader.read(1, 100_000)
        assert [row.seq for row in part.events] == list(range(1, part.extent.head + 1))
        assert part.extent.head >= told
    assert told > 3


def test_a_second_writer_is_refused_in_this_process_and_in_another(tmp_path: Path) -> None:
    path = tmp_path / "j"
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from glass_edge.events.journal import Journal
        Journal(Path(sys.argv[1]), "loom1")
        """
    )
    with Journal(path, "loom1") as journal:
        with pytest.raises(InputError, match=rf"j: process {os.getpid()} is writing this journal; stop it"):
            Journal(path, "loom1")
        link = tmp_path / "link"
        link.symlink_to(path)
        with pytest.raises(InputError, match="is writing this journal"):
            Journal(link, "loom1")
        other = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False)
        assert other.returncode != 0
        assert f"process {os.getpid()} is writing this journal" in other.stderr
        journal.append(numbered(1))
    with Journal(path, "loom1") as journal:
        assert journal.append(numbered(2)).seq == 2


def test_the_journal_of_another_station_is_refused(tmp_path: Path) -> None:
    Journal(tmp_path / "j", "loom1").close()
    with pytest.raises(InputError, match="of station 'loom1', not of 'loom2'"):
        Journal(tmp_path / "j", "loom2")
    Journal(tmp_path / "j", "loom1").close()  # the refused one let go of it


def test_another_program_that_closes_the_journal_takes_no_event_from_its_writer(tmp_path: Path) -> None:
    """As `sqlite3 journal` does in a shell: the last to close a database deletes its write-ahead log."""
    path = tmp_path / "journal.db"
    look = (
        "import sqlite3, sys\nconnection = sqlite3.connect(sys.argv[1])\n"
        "print(connection.execute('SELECT max(seq) FROM events').fetchone()[0])\nconnection.close()"
    )

    def seen() -> int:
        return int(
            subprocess.run([sys.executable, "-c", look, path], capture_output=True, text=True, check=True).stdout
        )

    with Journal(path, "loom1") as journal:
        journal.append_all([numbered(1), numbered(2)])
        with journal.reader() as reader:
            assert reader.extent() == Extent(oldest=1, head=2)
        assert seen() == 2
        journal.append(numbered(3))
        assert seen() == 3
        with JournalReader(path) as reader:
            assert reader.extent().head == 3


@pytest.mark.parametrize("content", [b"not a database, but long enough to look at " * 40, b"x"])
def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"notes.txt: is not an event journal; move the file away"):
        Journal(path, "loom1")
    with pytest.raises(InputError, match=r"notes.txt: is not an event journal"):
        JournalReader(path)
    assert path.read_bytes() == content


def test_a_database_of_another_program_or_version_is_refused_and_left_alone(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    connection = sqlite3.connect(foreign)
    connection.execute("CREATE TABLE songs (name TEXT)")
    connection.commit()
    connection.close()
    before = foreign.read_bytes()
    with pytest.raises(InputError, match=r"foreign.db: is not an event journal"):
        Journal(foreign, "loom1")
    assert foreign.read_bytes() == before

    later = tmp_path / "later.db"
    Journal(later, "loom1").close()
    connection = sqlite3.connect(later)
    connection.execute("PRAGMA user_version=7")
    connection.close()
    with pytest.raises(InputError, match=r"later.db: is a journal of version 7 .* use the release that wrote it"):
        Journal(later, "loom1")


def test_an_empty_file_becomes_a_journal(tmp_path: Path) -> None:
    path = tmp_path / "j"
    path.touch()
    with Journal(path, "loom1") as journal:
        assert journal.append(numbered(1)).seq == 1


def test_a_journal_that_was_moved_away_leaves_nothing_to_the_next(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, "loom1") as journal:
        old = journal.epoch
        journal.append_all([numbered(number) for number in range(5)])
        wal = (tmp_path / "j-wal").read_bytes()
    assert wal
    path.unlink()
    (tmp_path / "j-wal").write_bytes(wal)  # left behind, as after a kill
    with Journal(path, "loom1") as journal:
        assert journal.epoch != old
        assert journal.append(numbered(1)).seq == 1


def test_places_that_cannot_be_written_are_refused(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    for path in (in_the_way / "j", tmp_path, Path("/proc/glass-edge-journal")):
        with pytest.raises(InputError, match=str(path.parent if path.parent == in_the_way else path.name)):
            Journal(path, "loom1")
    with pytest.raises(InputError, match="no such journal"):
        JournalReader(tmp_path / "absent")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_file_without_write_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "j"
    Journal(path, "loom1").close()
    path.chmod(0o444)
    with pytest.raises(InputError, match="cannot be opened for writing"):
        Journal(path, "loom1")


def test_a_full_disk_is_told_and_what_was_appended_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, "loom1") as journal:
        journal.append(numbered(1))
        pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
        journal._connection.execute(f"PRAGMA max_page_count={pages + 1}")  # SQLite's own limit gives the same error
        appended = 1

        def fill() -> None:
            nonlocal appended
            for number in range(2, 1000):
                journal.append(numbered(number))
                appended = number

        with pytest.raises(JournalError, match=r"j: the disk is full; free space"):
            fill()
        assert appended > 1
        journal._connection.execute("PRAGMA max_page_count=100000")
        assert journal.append(numbered(0)).seq == appended + 1
    with JournalReader(path) as reader:
        assert [row.seq for row in reader.read(1, 10_000).events] == list(range(1, appended + 2))


def test_appending_to_a_closed_journal_fails(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "j", "loom1")
    journal.close()
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.append(numbered(1))


def test_a_damaged_journal_is_told(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, "loom1") as journal:
        journal.append_all([numbered(number) for number in range(500)])
    data = bytearray(path.read_bytes())
    data[4096:] = bytes(len(data) - 4096)  # the first page still says what it is
    path.write_bytes(bytes(data))
    with pytest.raises((InputError, JournalError), match=r"j: the journal is damaged; move it away"):
        Journal(path, "loom1")
