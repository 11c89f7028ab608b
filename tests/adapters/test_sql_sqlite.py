"""The SQL adapter's sink and an SQLite file that is locked, full, damaged, or something else."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sql_support import document, received, seqs, sink_of, states

from glass_edge.adapters.sink import RetryableError
from glass_edge.adapters.sql_database import Database
from glass_edge.config.adapter_sql import SqlSettings
from glass_edge.errors import InputError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "events.sqlite"


def test_a_file_that_somebody_locks_is_waited_for_and_then_told(file: Path) -> None:
    url = f"sqlite:///{file}"
    with sink_of(url, timeout_s=1) as sink:
        sink.handle_many(states(1))
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(RetryableError, match="locked; another program holds it locked for longer than"):
                sink.handle_many(states(2))
            other.execute("ROLLBACK")
        sink.handle_many(states(2))
    assert seqs(url) == [1, 2]


def test_what_is_written_is_written_through(file: Path) -> None:
    settings = SqlSettings(url=f"sqlite:///{file}")
    with closing(Database(settings, "test")) as database, database.transaction() as connection:
        modes = [connection.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous")]
    assert modes == ["wal", 2]  # 2: FULL


def test_who_reads_holds_nobody_up(file: Path) -> None:
    url = f"sqlite:///{file}"
    with sink_of(url, timeout_s=1) as sink:
        sink.handle_many(states(1))
        with closing(sqlite3.connect(file, isolation_level=None)) as other:
            other.execute("BEGIN")
            assert other.execute("SELECT count(*) FROM events").fetchone() == (1,)
            sink.handle_many(states(2))
            assert other.execute("SELECT count(*) FROM events").fetchone() == (1,)
            other.execute("COMMIT")
            assert other.execute("SELECT count(*) FROM events").fetchone() == (2,)


def test_two_adapters_share_a_file(file: Path) -> None:
    with sink_of(f"sqlite:///{file}") as one, sink_of(f"sqlite:///{file}") as other:
        for number in range(1, 6):
            one.handle_many(states(number))
            other.handle_many(states(number, station="loom2"))
    assert seqs(f"sqlite:///{file}") == [1, 2, 3, 4, 5] * 2


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", folder]
    try:
        subprocess.run(mount, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs to mount a file system of its own")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_holds_events_back_until_there_is_room(small_disk: Path) -> None:
    url = f"sqlite:///{small_disk}/events.sqlite"
    long = document("status", {"state": "Error", "fault_code": "x", "message": "m" * 1900})
    written = 0
    with sink_of(url) as sink:
        with pytest.raises(RetryableError, match=r"make room|check the disk and its free room"):  # noqa: PT012 - some time
            while written < 5000:
                sink.handle_many(received([long | {"seq": written + number} for number in range(1, 101)]))
                written += 100
        subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
        assert seqs(url) == list(range(1, written + 1))
        sink.handle_many(received([long | {"seq": written + number} for number in range(1, 101)]))
    assert seqs(url) == list(range(1, written + 101))


def test_a_folder_that_is_not_there_is_named_and_waited_for(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/share/events.sqlite"
    with sink_of(url) as sink:
        with pytest.raises(RetryableError, match="give a file in a folder that exists"):
            sink.handle_many(states(1))
        (tmp_path / "share").mkdir()
        sink.handle_many(states(1))
    assert seqs(url) == [1]


def test_a_file_that_is_something_else_is_left_alone(file: Path) -> None:
    file.write_bytes(b"a letter to the mill" * 100)
    with sink_of(f"sqlite:///{file}") as sink, pytest.raises(RetryableError, match="give another file"):
        sink.handle_many(states(1))
    assert file.read_bytes() == b"a letter to the mill" * 100


def test_tables_of_something_else_are_left_alone(file: Path) -> None:
    with closing(sqlite3.connect(file)) as other:
        other.execute("CREATE TABLE stops (name TEXT)")
    before = file.read_bytes()
    with pytest.raises(InputError, match="holds a table 'stops' of something else"):
        sink_of(f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_tables_of_a_later_release_are_refused_and_left_alone(file: Path) -> None:
    with sink_of(f"sqlite:///{file}") as sink:
        sink.handle_many(states(1))
    with closing(sqlite3.connect(file)) as other:
        other.execute("UPDATE schema_version SET version = 9")
        other.commit()
    before = file.read_bytes()
    with pytest.raises(InputError, match="of version 9, this program writes version 1"):
        sink_of(f"sqlite:///{file}")
    assert file.read_bytes() == before


def test_tables_that_may_not_be_made_are_waited_for(file: Path) -> None:
    with sink_of(f"sqlite:///{file}", create_tables=False) as sink:
        with pytest.raises(RetryableError, match="its tables are not there; make them by what --print-ddl prints"):
            sink.handle_many(states(1))
        with sink_of(f"sqlite:///{file}"):
            pass
        sink.handle_many(states(1))
    assert seqs(f"sqlite:///{file}") == [1]
