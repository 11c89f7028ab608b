"""What goes from a journal, what stays, and what it costs those who wait."""

from __future__ import annotations

import json
import sqlite3
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from events_support import MAKER, defect, eventually, ipc_settings, numbered
from hypothesis import given, settings
from hypothesis import strategies as st
from test_publication import ack, any_draft

from glass_edge.events.client import EventClient, Received
from glass_edge.events.errors import EventsLostError
from glass_edge.events.journal import Journal
from glass_edge.events.journal_check import compare, verify
from glass_edge.events.journal_reader import JournalReader
from glass_edge.events.publisher import Publisher
from glass_edge.events.requester import request_snapshot
from glass_edge.events.retention import Retention
from glass_edge.events.schema import Draft, Kind, format_stamp
from glass_edge.events.snapshot import StateFold, state_of
from glass_edge.fabric.defect import DefectPhase
from glass_edge.fabric.roll import RollTotals

NOW = datetime(2026, 3, 1, tzinfo=UTC)
ROLL_END = MAKER.roll_end(2000, RollTotals(1000, 1000, 0, 2))


def open_roll_start(drafts: list[Draft]) -> int | None:
    """Seq of the roll.start that no roll.end follows."""
    start = None
    for seq, draft in enumerate(drafts, start=1):
        if draft.kind == Kind.ROLL_START:
            start = seq
        elif draft.kind == Kind.ROLL_END:
            start = None
    return start


@settings(max_examples=150, deadline=None)
@given(st.lists(any_draft(), min_size=1, max_size=25), st.lists(st.integers(1, 30), max_size=4), st.data())
def test_whatever_goes_the_snapshot_and_the_open_roll_stay(
    drafts: list[Draft], cuts: list[int], data: st.DataObject
) -> None:
    first = data.draw(st.integers(0, len(drafts)))
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "j", "loom1") as journal:
        whole = StateFold()
        for event in journal.append_all(drafts[:first]):
            whole.apply(event)
        with journal.reader() as reader:
            for cut in cuts[:2]:
                journal.forget_before(cut)
            for event in journal.append_all(drafts[first:]):
                whole.apply(event)
            for cut in cuts[2:]:
                journal.forget_before(cut)
            assert state_of(reader).snapshot() == whole.snapshot()
            extent = reader.extent()
            kept = [row.seq for row in reader.read(1, 100).events]
        start = open_roll_start(drafts)
        assert kept == list(range(extent.oldest, len(drafts) + 1))
        assert start is None or extent.oldest <= start
        assert extent.oldest <= max([1, *cuts])
        report = verify(journal.path)
        assert report.is_whole, report.findings.kept


def test_what_may_go_goes(tmp_path: Path) -> None:
    drafts = [numbered(1), MAKER.roll_start(), MAKER.defect(defect(1)), ROLL_END, numbered(2), MAKER.roll_start()]
    with Journal(tmp_path / "j", "loom1") as journal:
        journal.append_all(drafts)
        assert journal.forget_before(100) == 5
        assert journal.forget_before(100) == 0
        journal.append_all([MAKER.defect(defect(1, DefectPhase.END)), ROLL_END, numbered(3)])
        assert journal.forget_before(100) == 3


def test_a_damaged_carried_event_is_found(tmp_path: Path) -> None:
    path = tmp_path / "j"
    with Journal(path, "loom1") as journal:
        journal.append_all([MAKER.stop_request("s", "hole"), *(numbered(number) for number in range(5))])
        journal.forget_before(4)
    connection = sqlite3.connect(path)
    connection.execute("UPDATE carried SET document = replace(document, 'loom1', 'loom2')")
    connection.commit()
    assert "stop.request carried over as seq 1: station is loom2" in verify(path).findings.kept[0]
    connection.execute("UPDATE carried SET document = replace(document, 'loom2', 'loom1'), seq = 4")
    connection.commit()
    connection.close()
    assert verify(path).findings.count == 1


def test_what_a_subscriber_received_before_it_was_deleted_is_no_finding(tmp_path: Path) -> None:
    received = tmp_path / "received.jsonl"
    with Journal(tmp_path / "j", "loom1") as journal:
        lines = [event.to_json() for event in journal.append_all([numbered(number) for number in range(1, 11)])]
        journal.forget_before(5)
        received.write_text("\n".join([*lines[:3], *lines[1:]]))
        report = compare(journal.path, received)
        assert report.is_equal, report.findings.kept
        assert (report.received, report.repeated, report.not_kept) == (6, 2, 4)
        received.write_text("\n".join([lines[0], *lines[2:]]))
        assert "seq 2 to 2 were not received" in compare(journal.path, received).findings.kept[0]
        received.write_text("\n".join([*lines[:2], *lines[4:]]))
        assert "seq 3 to 4 were not received" in compare(journal.path, received).findings.kept[0]
        received.write_text("\n".join([*lines[:4], *lines[5:]]))
        assert "seq 5 to 5 were not received" in compare(journal.path, received).findings.kept[0]


def restamp(path: Path, stamps: list[datetime]) -> None:
    """Give the events of a journal these stamps, in order."""
    connection = sqlite3.connect(path)
    for seq, stamp in enumerate(stamps, start=1):
        row = connection.execute("SELECT document FROM events WHERE seq = ?", (seq,)).fetchone()
        document = json.dumps(json.loads(row[0]) | {"stamp_utc": format_stamp(stamp)})
        connection.execute(
            "UPDATE events SET stamp_utc = ?, document = ? WHERE seq = ?", (format_stamp(stamp), document, seq)
        )
    connection.commit()
    connection.close()


class Keeper:
    """A retention with clocks in the hand of the test."""

    def __init__(self, journal: Journal, reader: JournalReader, keep_days: float, keep_mb: float = 1e6) -> None:
        self.now = NOW
        self.running_s = 0.0
        self._head = reader.extent().head
        self._retention = Retention(journal, reader, keep_days=keep_days, keep_mb=keep_mb, now=lambda: self.now)

    def run(self, hours: float, step_s: float = 60.0) -> None:
        end_s = self.running_s + hours * 3600
        while self.running_s < end_s:
            self.running_s += step_s
            self.now += timedelta(seconds=step_s)
            self._retention.step(self._head, self.running_s)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "j", "loom1")


def test_events_go_by_age_at_a_bounded_pace(journal: Journal) -> None:
    events = 1000
    journal.append_all([numbered(number) for number in range(events)])
    restamp(journal.path, [NOW - timedelta(days=10) + timedelta(days=10) * n / events for n in range(events)])
    with journal, journal.reader() as reader:
        keeper = Keeper(journal, reader, keep_days=4)
        keeper.run(24)
        after_a_day = reader.extent().oldest
        # 4 of 4 days a day at most: of what is kept no more than all but 1/e
        assert 0 < after_a_day - 1 <= events * 0.64
        keeper.run(24 * 2)
        # what is stamped longer ago than four days is gone, and nothing else; there is an event every 14 minutes
        limit = keeper.now - timedelta(days=4)
        oldest = datetime.fromisoformat(json.loads(reader.read(1, 1).events[0].document)["stamp_utc"])
        assert limit - timedelta(hours=2) < oldest < limit + timedelta(minutes=15)
        assert verify(journal.path).is_whole


def test_a_clock_that_jumps_ahead_costs_little(journal: Journal) -> None:
    events = 2000
    journal.append_all([numbered(number) for number in range(events)])
    restamp(journal.path, [NOW - timedelta(hours=events - n) for n in range(events)])
    with journal, journal.reader() as reader:
        keeper = Keeper(journal, reader, keep_days=90)
        keeper.run(1)
        assert reader.extent().oldest == 1
        keeper.now += timedelta(days=70 * 365)
        keeper.run(24)
        lost = reader.extent().oldest - 1
        assert 0 < lost <= events * 4 / 90 * (24 + 1) / 24 + 1  # a day's allowance, and an hour's that was put by
        keeper.now = NOW
        keeper.run(24)
        assert reader.extent().oldest == lost + 1


def test_stamps_out_of_order_keep_what_comes_after_them(journal: Journal) -> None:
    journal.append_all([numbered(number) for number in range(5)])
    old, new, unset = NOW - timedelta(days=9), NOW - timedelta(hours=1), datetime(1970, 1, 1, tzinfo=UTC)
    restamp(journal.path, [unset, old, new, unset, old])
    with journal, journal.reader() as reader:
        Keeper(journal, reader, keep_days=5).run(24 * 4)
        assert reader.extent().oldest == 3


def test_a_journal_stops_growing_at_its_size(journal: Journal) -> None:
    with journal, journal.reader() as reader:
        keeper = Retention(journal, reader, keep_days=90, keep_mb=1.0, now=lambda: datetime.now(UTC))
        sizes = []
        for turn in range(60):
            head = journal.append_all([numbered(number) for number in range(200)])[-1].seq
            keeper.step(head, float(turn))
            sizes.append(journal.path.stat().st_size)
        assert reader.extent().oldest > 1
        assert 0.7e6 < reader.used_bytes() < 1.3e6
        assert sizes[-1] < 1.3e6
        assert verify(journal.path).is_whole


def test_an_open_roll_larger_than_the_limit_stays_and_is_told_once(
    journal: Journal, caplog: pytest.LogCaptureFixture
) -> None:
    with journal, journal.reader() as reader:
        journal.append_all([numbered(0), MAKER.roll_start(), *(numbered(number) for number in range(3000))])
        keeper = Retention(journal, reader, keep_days=90, keep_mb=0.5, now=lambda: datetime.now(UTC))
        for turn in range(20):
            keeper.step(3002, float(turn))
        assert reader.extent().oldest == 2
        assert [record.getMessage() for record in caplog.records if "keep_mb" in record.getMessage()] == [
            f"{journal.path}: the journal holds more than keep_mb (0) and nothing may be deleted: the open roll is kept"
            " whole"
        ]


def test_nothing_unpublished_goes(journal: Journal) -> None:
    with journal, journal.reader() as reader:
        journal.append_all([numbered(number) for number in range(3000)])
        keeper = Retention(journal, reader, keep_days=90, keep_mb=0.1, now=lambda: datetime.now(UTC))
        for turn in range(10):
            keeper.step(7, float(turn))
        assert reader.extent().oldest == 8


def test_a_failing_deletion_does_not_end_the_publication(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    with journal, journal.reader() as reader:
        journal.append_all([numbered(number) for number in range(3000)])
        keeper = Retention(journal, reader, keep_days=90, keep_mb=0.1, now=lambda: datetime.now(UTC))
        journal._pruner.execute("PRAGMA query_only=1")
        assert keeper.step(3000, 0.0) == 60.0
        assert "old events are not deleted" in caplog.text
        journal._pruner.execute("PRAGMA query_only=0")
        keeper.step(3000, 60.0)
        assert reader.extent().oldest > 1


def test_a_station_prunes_while_it_publishes_and_a_client_behind_is_told(short_path: Path) -> None:
    first, second = short_path / "offset", 12_000
    with Publisher(ipc_settings(short_path, keep_mb=1.0), "loom1") as publisher:
        endpoints = (publisher.publish_endpoint, publisher.request_endpoint)
        publisher.emit_all([MAKER.stop_request("s", "hole"), numbered(0)])
        with EventClient(*endpoints, offset_path=first) as client:
            item = client.receive(30.0)
            assert isinstance(item, Received)
            client.commit(item.event)
        for _ in range(second // 500):
            publisher.emit_all([numbered(number) for number in range(500)])
        reader = publisher.journal.reader()
        eventually(lambda: reader.used_bytes() < 1e6, "the journal is within its size")
        oldest = reader.extent().oldest
        reader.close()
        assert oldest > 2
        with EventClient(*endpoints, offset_path=first) as client:
            with pytest.raises(EventsLostError) as lost:
                next(client.events(idle_s=30.0))
            assert (lost.value.first_seq, lost.value.last_seq) == (2, oldest - 1)
            event = next(client.events(idle_s=30.0))
            assert event.seq == oldest
        stop = request_snapshot(endpoints[1])[1].stop_request
    with Publisher(ipc_settings(short_path, keep_mb=1.0), "loom1") as publisher:  # read anew from the pruned journal
        again = request_snapshot(publisher.request_endpoint)[1].stop_request
        assert stop is not None
        assert again == stop
        publisher.emit(ack("s"))
        eventually(
            lambda: request_snapshot(publisher.request_endpoint)[1].stop_request is None, "the request is answered"
        )
