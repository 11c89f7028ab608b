"""What the tables hold, against a second computation from the events, whatever order these came in."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sql_support import (
    PROJECTIONS,
    Document,
    defect_payload,
    document,
    end_payload,
    journals,
    projections,
    received,
    stored,
    stored_documents,
)

from glass_edge.adapters.sink import PermanentError, RetryableError
from glass_edge.adapters.sql import SqlSink
from glass_edge.adapters.sql_database import Database
from glass_edge.config.adapter_sql import SqlSettings
from glass_edge.events.client import Received

OLD, NEW = "a" * 32, "b" * 32
QUICK = "/dev/shm" if Path("/dev/shm").is_dir() else None  # what is durable is not the question here


@contextmanager
def sqlite_sink(folder: Path, **settings: object) -> Iterator[tuple[SqlSink, Database]]:
    given = SqlSettings.model_validate({"url": f"sqlite:///{folder}/events.sqlite", "timeout_s": 1.0} | settings)
    sink, reader = SqlSink(given, "test"), Database(given, "reader")
    try:
        yield sink, reader
    finally:
        sink.close()
        reader.close()


def deliver(sink: SqlSink, batch: list[Received], turns: list[tuple[int, int]]) -> None:
    """In batches that step back, as after crashes; in the end each was delivered."""
    place = 0
    for size, back in turns:
        if place < len(batch):
            sink.handle_many(batch[place : place + size])
            place = max(0, min(len(batch), place + size) - back)
    if place < len(batch):
        sink.handle_many(batch[place:])


TURNS = st.lists(st.tuples(st.integers(1, 15), st.integers(0, 6)), max_size=8)


def agrees(reader: Database, delivered: list[Received], newest: str) -> None:
    with reader.transaction() as connection:
        documents, tables = stored_documents(connection), stored(connection)
    assert documents == [one.document for one in delivered]
    wanted = projections(documents, {"loom1": newest})
    for name in PROJECTIONS:
        assert tables[name] == wanted[name], name


@given(old=journals(OLD), new=journals(NEW), turns=st.tuples(TURNS, TURNS))
@settings(max_examples=40, deadline=None)
def test_tables_are_a_function_of_the_events(
    old: list[Document], new: list[Document], turns: tuple[list[tuple[int, int]], list[tuple[int, int]]]
) -> None:
    """Two journals, one after the other, in batches of which some come again."""
    journal = {OLD: received(old), NEW: received(new)}
    with tempfile.TemporaryDirectory(dir=QUICK) as folder, sqlite_sink(Path(folder)) as (sink, reader):
        deliver(sink, journal[OLD], turns[0])
        agrees(reader, journal[OLD], OLD)
        deliver(sink, journal[NEW], turns[1])
        agrees(reader, [*journal[OLD], *journal[NEW]], NEW)


def late_journals_agree(data: st.DataObject, turns: list[list[tuple[int, int]]]) -> None:
    """Two journals, part of each at first, as into a database that was set back to a backup; then all again."""
    journal = {epoch: received(data.draw(journals(epoch))) for epoch in (OLD, NEW)}
    part = {}
    for epoch, batch in journal.items():
        is_there = data.draw(st.lists(st.booleans(), min_size=len(batch), max_size=len(batch)))
        part[epoch] = [one for one, is_kept in zip(batch, is_there, strict=True) if is_kept]
    newest = NEW if part[OLD] else OLD  # the journal that becomes known last
    with tempfile.TemporaryDirectory(dir=QUICK) as folder, sqlite_sink(Path(folder)) as (sink, reader):
        for batch, steps in zip([part[OLD], part[NEW], journal[NEW], journal[OLD]], turns, strict=True):
            deliver(sink, batch, steps)
        agrees(reader, [*journal[OLD], *journal[NEW]], newest)


@given(data=st.data(), turns=st.lists(TURNS, min_size=4, max_size=4))
@settings(max_examples=30, deadline=None)
def test_events_that_come_late_change_nothing_of_that(data: st.DataObject, turns: list[list[tuple[int, int]]]) -> None:
    late_journals_agree(data, turns)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@given(data=st.data(), turns=st.lists(TURNS, min_size=4, max_size=4))
@settings(max_examples=500, deadline=None)
def test_many_events_that_come_late_change_nothing_of_that(
    data: st.DataObject, turns: list[list[tuple[int, int]]]
) -> None:
    late_journals_agree(data, turns)


def numbered(documents: list[Document]) -> list[Document]:
    return [one | {"seq": number} for number, one in enumerate(documents, start=1)]


def two_rolls() -> list[Received]:
    """R-1 is events 1 to 4, R-2 begins with 5."""
    return received(
        numbered(
            [
                document("roll.start", {"first_line": 0, "mm_per_px": 0.1, "mm_per_line": 0.2}, roll="R-1"),
                document("defect.new", defect_payload(1), roll="R-1"),
                document("defect.end", defect_payload(1, length_mm=9.0), roll="R-1"),
                document("roll.end", end_payload(), roll="R-1", is_partial=False),
                document("roll.start", {"first_line": 0, "mm_per_px": 0.1, "mm_per_line": 0.2}, roll="R-2"),
                document("defect.new", defect_payload(1), roll="R-2"),
            ]
        )
    )


def test_an_event_that_comes_late_leaves_the_newest_roll_where_it_is(tmp_path: Path) -> None:
    batch = two_rolls()
    with sqlite_sink(tmp_path) as (sink, reader):
        sink.handle_many([batch[0], *batch[2:]])
        with reader.transaction() as connection:
            (before,) = stored(connection)["station_state"]
            assert [row["is_complete"] for row in stored(connection)["rolls"]] == [False, False]
        sink.handle(batch[1])
        with reader.transaction() as connection:
            tables = stored(connection)
        assert tables["station_state"] == [before]
        assert (before["roll_first_seq"], before["is_roll_open"]) == (5, True)
        assert [row["is_complete"] for row in tables["rolls"]] == [True, False]
        assert [(row["roll_first_seq"], row["found_seq"], row["is_open"]) for row in tables["defects"]] == [
            (1, 2, False),
            (5, 6, True),
        ]
        agrees(reader, batch, OLD)


@pytest.mark.parametrize("is_together", [True, False])
def test_the_first_answer_to_a_stop_request_counts(tmp_path: Path, is_together: bool) -> None:
    ask = document("stop.request", {"request_id": "s", "reason": "hole"})
    answers = [document("stop.ack", {"request_id": "s", "accepted": one, "source": "plc"}) for one in (True, False)]
    batch = received(numbered([*answers, ask, *answers]))
    with sqlite_sink(tmp_path) as (sink, reader):
        for part in [batch] if is_together else [[one] for one in batch]:
            sink.handle_many(part)
        with reader.transaction() as connection:
            (stop,) = stored(connection)["stops"]
        assert (stop["seq"], stop["ack_seq"], stop["accepted"]) == (3, 4, True)
        agrees(reader, batch, OLD)


def test_a_new_journal_closes_what_was_open(tmp_path: Path) -> None:
    batch, new = two_rolls(), received([document("status", {"state": "Ready"}, epoch=NEW)])
    with sqlite_sink(tmp_path) as (sink, reader):
        sink.handle_many([*batch, *new])
        with reader.transaction() as connection:
            tables = stored(connection)
        assert not any(row["is_open"] for name in ("rolls", "defects") for row in tables[name])
        (state,) = tables["station_state"]
        assert (state["epoch"], state["seq"], state["state"], state["roll_id"]) == (NEW, 1, "Ready", None)


def test_what_a_later_release_writes_is_kept_and_projected_nowhere(tmp_path: Path) -> None:
    kind = document("humidity", {"percent": 40}, schema_version="1.9")
    keys = document("status", {"state": "Ready", "mood": "good"}, schema_version="1.9") | {"shift": "night"}
    batch = received(numbered([kind, keys]))
    with sqlite_sink(tmp_path) as (sink, reader):
        sink.handle_many(batch)
        agrees(reader, batch, OLD)
        with reader.transaction() as connection:
            assert stored(connection)["station_state"][0]["state"] == "Ready"


def test_a_number_beyond_64_bits_is_refused_for_good_and_nothing_of_its_batch_is_there(tmp_path: Path) -> None:
    huge = document("defect.new", defect_payload(2**63), roll="R-2")
    batch = [*two_rolls(), *received([huge | {"seq": 7}])]
    with sqlite_sink(tmp_path) as (sink, reader):
        with pytest.raises(PermanentError, match="defect_id = 9223372036854775808 is beyond 64 bits"):
            sink.handle_many(batch)
        with reader.transaction() as connection:
            assert stored_documents(connection) == []
        sink.handle_many(batch[:-1])
        agrees(reader, batch[:-1], OLD)


def test_another_content_under_the_same_number_is_never_passed_over(tmp_path: Path) -> None:
    batch = two_rolls()
    other = received([document("status", {"state": "Ready"}, seq=3)])
    with sqlite_sink(tmp_path) as (sink, reader):
        sink.handle_many(batch)
        with pytest.raises(RetryableError, match=r"event 3 of station loom1.*old copy of the station's journal"):
            sink.handle_many(other)
        agrees(reader, batch, OLD)


def test_stations_do_not_touch_each_other(tmp_path: Path) -> None:
    batch = two_rolls()
    others = [
        Received(one.event.model_copy(update={"station": "loom2"}), one.document.replace("loom1", "loom2"))
        for one in batch
    ]
    with sqlite_sink(tmp_path) as (sink, reader):
        for one, other in zip(batch, others, strict=True):
            sink.handle(one)
            sink.handle(other)
        with reader.transaction() as connection:
            documents, tables = stored_documents(connection), stored(connection)
    wanted = projections(documents, {"loom1": OLD, "loom2": OLD})
    for name in PROJECTIONS:
        assert tables[name] == wanted[name], name
