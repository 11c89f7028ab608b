"""The files adapter's sink against the events themselves, whatever comes again, is lost, or cannot be written."""

from __future__ import annotations

import csv
import errno
import json
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from adapters_support import idle_draft, journaled, roll_drafts
from hypothesis import given, settings
from hypothesis import strategies as st

from glass_edge.adapters.files import FilesSink, plan
from glass_edge.adapters.roll_files import file_name
from glass_edge.adapters.roll_store import RollStore
from glass_edge.adapters.sink import RetryableError
from glass_edge.config.adapter_files import FilesSettings
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.events.client import Received
from glass_edge.events.sequencer import EpochChanged, Lost


def sink_of(folder: Path, *, make_folder: bool = True) -> FilesSink:
    settings = FilesSettings(folder=folder / "out", make_folder=make_folder)
    return FilesSink(settings, folder / "state/rolls.sqlite")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((folder / "out").iterdir()) if path.is_file()}


def document(folder: Path, name: str) -> dict[str, Any]:
    return json.loads((folder / f"out/{name}.json").read_text())


def deliver(sink: FilesSink, received: list[Received]) -> None:
    for one in received:
        sink.handle(one)


def test_both_files_are_there_at_the_rolls_end_and_not_before(tmp_path: Path) -> None:
    received = journaled(tmp_path / "journal", [idle_draft(), *roll_drafts("R-1"), idle_draft()])
    sink = sink_of(tmp_path)
    deliver(sink, received[:-2])
    assert not (tmp_path / "out").exists()
    deliver(sink, received[-2:])
    assert list(contents(tmp_path)) == ["R-1-defects.csv", "R-1.json"]
    found = document(tmp_path, "R-1")
    assert found["events"] == [json.loads(one.document) for one in received[1:-1]]
    assert (found["first_seq"], found["last_seq"], found["is_complete"], found["lost_events"]) == (2, 10, True, [])
    assert found["roll_end"]["defects"] == len(found["defects"]) == 2
    assert found["gaps"][0]["detail"] == "CRC"
    with (tmp_path / "out/R-1-defects.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    # the last that was known of each: 20 lines of 0.2 mm long, 10 lines apart
    assert [(row["defect_id"], row["has_ended"], float(row["length_mm"])) for row in rows] == [
        ("1", "true", 4.0),
        ("2", "true", 4.0),
    ]
    assert [float(row["along_mm"]) for row in rows] == [2.0, 4.0]


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=12))
@settings(max_examples=25, deadline=None)
def test_what_comes_again_changes_nothing(turns: list[tuple[bool, int]]) -> None:
    """Deliveries that step back and sinks that are made anew end in the files of a single pass."""
    root = Path(tempfile.mkdtemp())
    try:
        drafts = [*roll_drafts("R-1"), idle_draft(), *roll_drafts("R/2", 1), *roll_drafts("R-1", 0), *roll_drafts("x")]
        received = journaled(root / "journal", drafts)
        straight = sink_of(root / "straight")
        deliver(straight, received)
        place, sink = 0, sink_of(root / "again")
        for is_anew, back in turns:
            deliver(sink, received[place : place + 5])
            place = max(0, min(len(received), place + 5) - back)
            if is_anew:
                sink.close()
                sink = sink_of(root / "again")
        deliver(sink, received[place:])
        assert contents(root / "again") == contents(root / "straight")
        assert set(contents(root / "again")) == {
            f"{name}{end}" for name in ("R-1", "R_2", "R-1-2", "x") for end in (".json", "-defects.csv")
        }
        sink.close()
        straight.close()
    finally:
        shutil.rmtree(root)


def _full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _a_file_in_the_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    (folder / "out").write_text("not a folder")
    return (folder / "out").unlink


def _a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    del folder
    monkeypatch.setattr("glass_edge.files.os.fsync", _full)
    return monkeypatch.undo


def _away_after_the_csv(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    del folder
    monkeypatch.setattr("glass_edge.adapters.roll_files.atomic_write", _full)
    return monkeypatch.undo


@pytest.mark.parametrize("trouble", [_a_file_in_the_way, _a_full_disk, _away_after_the_csv])
@pytest.mark.parametrize("is_anew", [False, True])
def test_a_folder_that_cannot_be_written_loses_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    trouble: Callable[[Path, pytest.MonkeyPatch], Callable[[], None]],
    is_anew: bool,
) -> None:
    received = journaled(tmp_path / "journal", roll_drafts("R-1"))
    sink = sink_of(tmp_path)
    deliver(sink, received[:-1])
    mend = trouble(tmp_path, monkeypatch)
    for _ in range(3):
        with pytest.raises(RetryableError, match="cannot"):
            sink.handle(received[-1])
    mend()
    assert not list(tmp_path.glob("out/*.json"))
    if is_anew:
        sink.close()
        sink = sink_of(tmp_path)
    sink.handle(received[-1])
    assert document(tmp_path, "R-1")["events"] == [json.loads(one.document) for one in received]
    assert not list((tmp_path / "out/.part").iterdir())


def test_a_share_that_is_not_mounted_is_waited_for(tmp_path: Path) -> None:
    received = journaled(tmp_path / "journal", roll_drafts("R-1"))
    sink = sink_of(tmp_path, make_folder=False)
    deliver(sink, received[:-1])
    with pytest.raises(RetryableError, match="is not there; make it, or mount"):
        sink.handle(received[-1])
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    sink.handle(received[-1])
    assert document(tmp_path, "R-1")["is_complete"]


def test_a_roll_whose_end_never_came_is_written_when_the_next_begins(tmp_path: Path) -> None:
    first, second = roll_drafts("R-1"), roll_drafts("R-1", 1)
    received = journaled(tmp_path / "journal", [*first[:-1], *second])
    sink = sink_of(tmp_path)
    deliver(sink, received)
    torn, whole = document(tmp_path, "R-1"), document(tmp_path, "R-1-2")
    assert (torn["is_complete"], torn["roll_end"], len(torn["events"])) == (False, None, len(first) - 1)
    assert (whole["is_complete"], len(whole["events"])) == (True, len(second))


def test_events_that_were_lost_stand_in_the_rolls_file(tmp_path: Path) -> None:
    received = journaled(tmp_path / "journal", [*roll_drafts("R-1"), *roll_drafts("R-2")])
    epoch = received[0].event.epoch
    sink = sink_of(tmp_path)
    deliver(sink, received[:3])
    for _ in range(2):  # told again after a crash
        sink.told(Lost(epoch, 4, 6))
    deliver(sink, received[6:])
    found = document(tmp_path, "R-1")
    assert found["lost_events"] == [{"first_seq": 4, "last_seq": 6}]
    assert not found["is_complete"]
    assert [event["seq"] for event in found["events"]] == [1, 2, 3, 7, 8, 9]
    assert document(tmp_path, "R-2")["is_complete"]


def test_a_new_journal_ends_the_open_roll(tmp_path: Path) -> None:
    old = journaled(tmp_path / "old", roll_drafts("R-1")[:-1])
    new = journaled(tmp_path / "new", roll_drafts("R-1"))
    sink = sink_of(tmp_path)
    deliver(sink, old)
    sink.told(EpochChanged(old[0].event.epoch, new[0].event.epoch, len(old)))
    deliver(sink, new)
    assert document(tmp_path, "R-1")["epoch"] == old[0].event.epoch
    assert document(tmp_path, "R-1-2")["epoch"] == new[0].event.epoch


def test_a_lost_store_never_replaces_the_files_of_another_roll(tmp_path: Path) -> None:
    received = journaled(tmp_path / "journal", [*roll_drafts("R-1"), *roll_drafts("r-1", 1)])
    sink = sink_of(tmp_path)
    deliver(sink, received)
    assert sorted(contents(tmp_path)) == ["R-1-defects.csv", "R-1.json", "r-1-2-defects.csv", "r-1-2.json"]
    sink.close()
    shutil.rmtree(tmp_path / "state")
    before = contents(tmp_path)
    other = journaled(tmp_path / "other", roll_drafts("R-1", 3))
    sink = sink_of(tmp_path)
    deliver(sink, [*other, *received])
    after = contents(tmp_path)
    assert before.items() <= after.items()
    assert document(tmp_path, "R-1-2")["epoch"] == other[0].event.epoch


def test_the_store_forgets_what_is_written(tmp_path: Path) -> None:
    received = journaled(tmp_path / "journal", roll_drafts("R-1", 20))
    sink = sink_of(tmp_path)
    deliver(sink, received)
    sink.close()
    store = RollStore(tmp_path / "state/rolls.sqlite")
    assert store._db.execute("SELECT count(*) FROM events").fetchone() == (0,)
    assert store.ended() is None


def test_a_store_that_is_locked_is_tried_again_and_a_damaged_one_is_told(tmp_path: Path) -> None:
    received = journaled(tmp_path / "journal", roll_drafts("R-1"))
    sink = sink_of(tmp_path)
    sink._store._db.execute("PRAGMA busy_timeout=10")
    with closing(sqlite3.connect(tmp_path / "state/rolls.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(RetryableError, match=r"rolls\.sqlite: cannot be written \(database is locked\)"):
            sink.handle(received[0])
        other.execute("ROLLBACK")
    deliver(sink, received[:5])
    sink.close()
    path = tmp_path / "state/rolls.sqlite"
    data = bytearray(path.read_bytes())
    data[4096:] = b"\xff" * (len(data) - 4096)  # all but the list of tables
    path.write_bytes(data)
    sink = sink_of(tmp_path)
    with pytest.raises(GlassEdgeError, match=r"is damaged .* begin anew") as caught:
        deliver(sink, received[5:])
    assert not isinstance(caught.value, RetryableError)


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state/rolls.sqlite").write_bytes(b"hello " * 1000)
    with pytest.raises(InputError, match=r"rolls\.sqlite: cannot be used"):
        sink_of(tmp_path)


@given(st.text(min_size=1, max_size=128))
def test_any_roll_name_becomes_a_harmless_file_name(name: str) -> None:
    made = file_name(name)
    assert made
    assert not made.startswith(".")
    assert len(made) <= 80
    assert set(made) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")


def test_the_plan_says_what_would_be_written(tmp_path: Path) -> None:
    received = journaled(tmp_path / "journal", [idle_draft(), *roll_drafts("R/1", 0)])
    assert [plan(one) for one in received] == [
        "of no roll, not kept",
        "would hold it for R_1",
        "would hold it for R_1",
        "would write R_1-defects.csv and R_1.json",
    ]
