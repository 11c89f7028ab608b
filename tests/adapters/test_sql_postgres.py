"""The SQL adapter's sink and a real PostgreSQL: what is written, who may, and what happens when it goes wrong."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from itertools import count

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from postgres_server import PostgresServer, needs_postgres
from sql_support import (
    PROJECTIONS,
    document,
    journals,
    projections,
    reading,
    received,
    seqs,
    sink_of,
    states,
    stored,
    stored_documents,
)

from glass_edge.adapters.sink import RetryableError

pytestmark = needs_postgres
EPOCH = "a" * 32
_NUMBERS = count(1)


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as one:
        yield one


@pytest.fixture
def url(server: PostgresServer) -> str:
    """A database of the test's own."""
    return server.make_database()


@pytest.fixture(scope="module")
def shared(server: PostgresServer) -> str:
    """A database in which each example has a schema of its own."""
    return server.make_database()


@given(data=st.data())
@settings(max_examples=10, deadline=None)
def test_tables_are_a_function_of_the_events_here_too(shared: str, data: st.DataObject) -> None:
    batch = received(data.draw(journals(EPOCH)))
    kept = data.draw(st.lists(st.booleans(), min_size=len(batch), max_size=len(batch)))
    size = data.draw(st.integers(1, 20))
    name = f"schema{next(_NUMBERS)}"
    with sink_of(shared, schema_name=name) as sink, reading(shared, schema_name=name) as reader:
        early = [one for one, is_kept in zip(batch, kept, strict=True) if is_kept]
        for part in (early, batch):
            for begin in range(0, len(part), size):
                sink.handle_many(part[begin : begin + size])
        with reader.transaction() as connection:
            documents, tables = stored_documents(connection), stored(connection)
    assert documents == [one.document for one in batch]  # byte for byte, with NUL and half surrogates
    wanted = projections(documents, {"loom1": EPOCH})
    for name in PROJECTIONS:
        assert tables[name] == wanted[name], name


def test_what_was_handled_outlives_a_server_that_is_killed(server: PostgresServer, url: str) -> None:
    """The server's default is synchronous_commit = off, with which it would not."""
    assert server.psql("SHOW synchronous_commit").strip() == "off"
    with sink_of(url) as sink:
        for number in range(1, 4):
            sink.handle_many(states(number))
            server.stop()
            with pytest.raises(RetryableError, match="start the server, or correct url"):
                sink.handle_many(states(number + 1))
            server.start()
            assert seqs(url) == list(range(1, number + 1))


def test_a_server_that_is_away_at_first_is_waited_for(server: PostgresServer, url: str) -> None:
    server.stop()
    with sink_of(url) as sink:
        with pytest.raises(RetryableError, match="start the server"):
            sink.handle_many(states(1))
        server.start()
        sink.handle_many(states(1))
    assert seqs(url) == [1]


def test_a_backend_that_is_ended_is_followed_by_another(server: PostgresServer, url: str) -> None:
    with sink_of(url) as sink:
        sink.handle_many(states(1))
        server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'glass-edge test'")
        with pytest.raises(RetryableError, match=r"wait until the server is up again|start the server"):
            sink.handle_many(states(2))
        sink.handle_many(states(2))
    assert seqs(url) == [1, 2]


def test_a_server_that_hangs_is_left(server: PostgresServer, url: str) -> None:
    with sink_of(url, timeout_s=3) as sink:
        sink.handle_many(states(1))
        find = "SELECT pid FROM pg_stat_activity WHERE application_name = 'glass-edge test'"
        backend = int(server.psql(find))
        os.kill(backend, signal.SIGSTOP)
        begun_s = time.monotonic()
        try:
            with pytest.raises(RetryableError, match="gave no answer for 6 s"):
                sink.handle_many(states(2))
            assert time.monotonic() - begun_s < 30  # it would be for ever
            sink.handle_many(states(2))
        finally:
            os.kill(backend, signal.SIGCONT)
    assert seqs(url) == [1, 2]


def test_a_lock_that_somebody_holds_ends_in_time_and_names_what_to_do(server: PostgresServer, url: str) -> None:
    with sink_of(url, timeout_s=3) as sink:
        sink.handle_many(states(1))
        with server.connect(url) as other:
            other.execute("SELECT * FROM glass_edge.station_state FOR UPDATE")
            with pytest.raises(RetryableError, match="took longer than timeout_s"):
                sink.handle_many(states(2))
        sink.handle_many(states(2))
    assert seqs(url) == [1, 2]


def test_what_a_person_does_to_the_tables_holds_events_back_and_passes_none_over(
    server: PostgresServer, url: str
) -> None:
    harm = [
        ("events ALTER kind TYPE varchar(3)", "events ALTER kind TYPE text", "give it back its type"),
        (
            "events ADD CONSTRAINT odd CHECK (seq <> 5)",
            "events DROP CONSTRAINT odd",
            "remove the rows or the constraint",
        ),
        ("gaps RENAME TO holes", "holes RENAME TO gaps", "make the missing tables"),
        ("gaps RENAME reason TO why", "gaps RENAME why TO reason", "mend them by --print-ddl"),
    ]
    gap = {"first_line": 1, "end_line": 2, "along_mm": 0.5, "length_m": 0.1, "reason": "overrun"}
    with sink_of(url) as sink:
        for number, (harmful, mending, remedy) in enumerate(harm, start=1):
            first = 3 * number - 2
            batch = [*states(first, first + 1), *received([document("coverage.gap", gap, seq=first + 2)])]
            with server.connect(url) as other:
                other.execute(f"ALTER TABLE glass_edge.{harmful}")
            with pytest.raises(RetryableError, match=remedy):
                sink.handle_many(batch)
            with server.connect(url) as other:
                other.execute(f"ALTER TABLE glass_edge.{mending}")
            assert seqs(url) == list(range(1, first))
            sink.handle_many(batch)
    assert seqs(url) == list(range(1, 13))


def test_a_full_disk_holds_events_back_until_there_is_room(server: PostgresServer) -> None:
    long = document("status", {"state": "Error", "fault_code": "x", "message": "m" * 1900})
    with server.small_disk(10) as url, sink_of(url) as sink:
        written = 0
        with pytest.raises(RetryableError, match="make room on the server's disk"):  # noqa: PT012 - at some time
            while written < 20_000:
                sink.handle_many(received([long | {"seq": written + number} for number in range(1, 501)]))
                written += 500
        with server.connect(url) as reader:  # a full disk has no room for sorting
            kept = reader.execute("SELECT count(*), max(seq) FROM glass_edge.events").fetchone()
        assert kept == (written, written)
        server.widen_disk(40)
        sink.handle_many(received([long | {"seq": written + number} for number in range(1, 501)]))
        assert seqs(url) == list(range(1, written + 501))


def test_adapters_of_many_stations_start_and_write_at_the_same_time(server: PostgresServer, url: str) -> None:
    """Two of them are of the same station: one of them finds every event there."""
    ready, errors = threading.Barrier(6), []

    def follow(station: str) -> None:
        try:
            ready.wait()
            with sink_of(url) as sink:
                for first in range(1, 100, 5):
                    while True:
                        try:
                            sink.handle_many(states(*range(first, first + 5), station=station))
                            break
                        except RetryableError as error:  # as the runner does; none but a conflict is forgiven
                            assert "nothing needs to be done" in str(error)  # noqa: PT017 - in a thread
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=follow, args=(f"loom{number % 5}",)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    with reading(url) as database, database.transaction() as connection:
        tables = stored(connection)
    assert [(row["station"], row["seq"]) for row in tables["events"]] == [
        (f"loom{station}", seq) for station in range(5) for seq in range(1, 101)
    ]
    assert [row["seq"] for row in tables["station_state"]] == [100] * 5
