"""Snapshot and replies against the journal they come from; no sockets."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from events_support import MAKER, SCALE, defect, numbered
from hypothesis import given, settings
from hypothesis import strategies as st

from glass_edge.engine.base import EngineFacts
from glass_edge.events.commands_desk import CommandDesk
from glass_edge.events.drafts import DraftMaker
from glass_edge.events.errors import EventFormatError
from glass_edge.events.journal import Journal
from glass_edge.events.parsing import parse_event
from glass_edge.events.payloads import Command, StationState, StopAck
from glass_edge.events.publication import Publication
from glass_edge.events.schema import Draft, Kind
from glass_edge.events.snapshot import StateFold, state_of
from glass_edge.events.wire import (
    MAX_REPLAY_BYTES,
    MAX_REQUEST_BYTES,
    ErrorReply,
    ReplayReply,
    SnapshotReply,
    StatusReply,
    parse_beacon,
    parse_reply,
)
from glass_edge.fabric.defect import DefectPhase
from glass_edge.fabric.roll import Roll, RollTotals

FACTS = EngineFacts(runtime="OpenVINO", version="2025.1", device="CPU", precision="f32", threads=2)


def ack(request_id: str) -> Draft:
    payload = StopAck(request_id=request_id, accepted=True, source="plc")
    return Draft(kind=Kind.STOP_ACK, is_simulated=False, is_partial=False, roll_id=None, style=None, payload=payload)


def bypass(is_on: bool, accepted: bool) -> Draft:
    payload = Command(command="bypass", client="hmi", role="controller", accepted=accepted, is_on=is_on)
    return Draft(kind=Kind.COMMAND, is_simulated=False, is_partial=False, roll_id=None, style=None, payload=payload)


def any_draft() -> st.SearchStrategy[Draft]:
    number = st.integers(1, 3)
    return st.one_of(
        st.builds(lambda n: DraftMaker(Roll(f"R{n}", "twill", n), SCALE, is_simulated=False).roll_start(), number),
        st.just(MAKER.roll_end(2000, RollTotals(1000, 1000, 0, 2))),
        st.builds(lambda n, phase: MAKER.defect(defect(n, phase)), number, st.sampled_from(DefectPhase)),
        st.builds(lambda n: MAKER.status(StationState.READY, roll_lines=n), number),
        st.builds(
            lambda n: MAKER.engine_activated(
                style="twill", version=str(n), model_sha256="a" * 64, facts=FACTS, threshold_logit=1.0
            ),
            number,
        ),
        st.builds(lambda n: MAKER.stop_request(str(n), "hole"), number),
        st.builds(lambda n: ack(str(n)), number),
        st.builds(bypass, st.booleans(), st.booleans()),
        st.builds(lambda n: MAKER.coverage_gap(n, n + 1, "overrun"), number),
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(any_draft(), max_size=25))
def test_the_short_way_to_a_snapshot_gives_what_reading_everything_gives(drafts: list[Draft]) -> None:
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "j", "loom1") as journal:
        whole = StateFold()
        for event in journal.append_all(drafts):
            whole.apply(event)
        with journal.reader() as reader:
            assert state_of(reader).snapshot() == whole.snapshot()


def test_a_snapshot_tells_the_open_roll_and_its_open_defects(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", "loom1") as journal, journal.reader() as reader:
        journal.append_all(
            [
                MAKER.defect(defect(9)),  # of a roll that ended with the program: closed by the next roll
                MAKER.roll_start(),
                MAKER.defect(defect(1)),
                MAKER.defect(defect(2)),
                MAKER.defect(defect(2, DefectPhase.END)),
                MAKER.status(StationState.CONTINUOUS_EXECUTION),
                MAKER.stop_request("s1", "hole"),
                MAKER.stop_request("s2", "hole again"),
                ack("s1"),
            ]
        )
        snapshot = state_of(reader).snapshot()
        assert snapshot.seq == 9
        assert snapshot.roll is not None
        assert (snapshot.roll.roll_id, snapshot.roll.start.first_line) == ("R-17", 1000)
        assert [found.defect_id for found in snapshot.open_defects] == [1]
        assert snapshot.status is not None
        assert snapshot.status.state is StationState.CONTINUOUS_EXECUTION
        assert snapshot.stop_request is not None
        assert snapshot.stop_request.request_id == "s2"
        journal.append_all([ack("s2"), MAKER.roll_end(2000, RollTotals(1000, 1000, 0, 2))])
        snapshot = state_of(reader).snapshot()
        assert (snapshot.roll, snapshot.open_defects, snapshot.stop_request) == (None, (), None)


class Desk:
    """A publication beside its journal."""

    def __init__(self, journal: Journal, replay_limit: int = 5) -> None:
        self.journal = journal
        self.reader = journal.reader()
        self.publication = Publication(
            self.reader,
            beacon_s=1.0,
            replay_limit=replay_limit,
            up_s=lambda: 12.5,
            now=lambda: datetime.now(UTC),
            desk=CommandDesk(None, journal.append_all, nullcontext()),
        )

    def ask(self, **request: object) -> tuple[Any, list[bytes]]:
        frames = self.publication.answer(json.dumps(request).encode())
        return parse_reply(frames[0]), frames[1:]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Journal(tmp_path / "j", "loom1") as journal:
        journal.append_all([numbered(number) for number in range(1, 4)])
        desk = Desk(journal)
        yield desk
        desk.reader.close()


def test_only_what_is_new_is_published_and_once(desk: Desk) -> None:
    assert desk.publication.take_new(10) == []
    events = desk.journal.append_all([numbered(number) for number in range(4, 9)])
    assert parse_beacon(desk.publication.beacon()[1]).head == 3  # not told of before it was sent
    messages = desk.publication.take_new(3) + desk.publication.take_new(3)
    assert [parse_event(document) for _, document in messages] == events
    assert {topic for topic, _ in messages} == {b"loom1"}
    assert desk.publication.take_new(3) == []


def test_the_beacon(desk: Desk) -> None:
    topic, body = desk.publication.beacon()
    beacon = parse_beacon(body)
    assert topic == b"loom1/beacon"
    assert (beacon.epoch, beacon.oldest, beacon.head, beacon.beacon_s) == (desk.journal.epoch, 1, 3, 1.0)


def test_replay_gives_the_bytes_of_the_journal_within_its_limits(desk: Desk) -> None:
    desk.journal.append_all([numbered(number) for number in range(4, 11)])
    reply, frames = desk.ask(request="replay", id="x", epoch=desk.journal.epoch, from_seq=2, limit=3)
    assert isinstance(reply, ReplayReply)
    assert (reply.id, reply.station, reply.epoch, reply.oldest, reply.head) == ("x", "loom1", desk.journal.epoch, 1, 10)
    assert frames == [row.document.encode() for row in desk.reader.read(2, 3).events]
    assert desk.ask(request="replay", from_seq=1)[0].count == 5  # the station's limit
    assert desk.ask(request="replay", from_seq=1, limit=0)[0].count == 0
    assert desk.ask(request="replay", from_seq=11)[0].count == 0
    assert desk.ask(request="replay", from_seq=2**62)[0].count == 0
    desk.journal.forget_before(8)
    reply, frames = desk.ask(request="replay", from_seq=1)
    assert (reply.oldest, parse_event(frames[0]).seq) == (8, 8)


def test_a_replay_of_large_events_stays_within_a_megabyte(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", "loom1") as journal:
        journal.append_all([MAKER.coverage_gap(1, 2, "overrun", detail="x" * 2000) for _ in range(700)])
        desk = Desk(journal, replay_limit=10_000)
        _, frames = desk.ask(request="replay", from_seq=1, limit=10_000)
        size = sum(len(frame) for frame in frames)
        assert MAX_REPLAY_BYTES - 3000 < size <= MAX_REPLAY_BYTES
        desk.reader.close()


def test_snapshot_and_status(desk: Desk) -> None:
    reply, _ = desk.ask(request="snapshot", id="s")
    assert isinstance(reply, SnapshotReply)
    assert (reply.id, reply.snapshot.seq) == ("s", 3)
    desk.ask(request="nonsense")
    desk.journal.append(numbered(4))
    desk.publication.take_new(10)
    reply, _ = desk.ask(request="status")
    assert isinstance(reply, StatusReply)
    assert (reply.head, reply.published, reply.requests, reply.requests_refused, reply.up_s) == (4, 1, 3, 1, 12.5)


def test_another_epoch_is_refused_with_the_present_one(desk: Desk) -> None:
    reply, frames = desk.ask(request="replay", id="y", epoch="f" * 32, from_seq=1)
    assert isinstance(reply, ErrorReply)
    assert (reply.code, reply.id, reply.epoch, reply.oldest, reply.head) == (
        "wrong_epoch",
        "y",
        desk.journal.epoch,
        1,
        3,
    )
    assert frames == []


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "not a JSON document"),
        (b"\xff\xff", "not a JSON document"),
        (b"[" * 10_000, "not a JSON document"),
        (b"[1]", "object is needed"),
        (b"{}", "request"),
        (b'{"request": "reboot"}', "reboot"),
        (b'{"request": "replay"}', "from_seq"),
        (b'{"request": "replay", "from_seq": 0}', "from_seq"),
        (b'{"request": "replay", "from_seq": 9223372036854775808}', "from_seq"),
        (b'{"request": "replay", "from_seq": 1, "limit": -1}', "limit"),
        (b'{"request": "replay", "from_seq": 1, "until": 5}', "until"),
        (b'{"request": "replay", "from_seq": 1, "epoch": "E"}', "epoch"),
        (b'{"request": "status", "id": {"a": 1}}', "id"),
        (b" " * (MAX_REQUEST_BYTES + 1), "at most"),
    ],
)
def test_malformed_requests_get_a_reply_that_says_why(desk: Desk, body: bytes, reason: str) -> None:
    (frame,) = desk.publication.answer(body)
    reply = parse_reply(frame)
    assert isinstance(reply, ErrorReply)
    assert reply.code == "bad_request"
    assert reason in reply.message


@given(st.binary(max_size=60))
def test_replies_and_beacons_that_are_none_are_refused_with_one_error(body: bytes) -> None:
    for parse in (parse_reply, parse_beacon):
        with pytest.raises(EventFormatError):
            parse(body)


def test_replies_of_a_later_minor_version_are_read(desk: Desk) -> None:
    (frame,) = desk.publication.answer(b'{"request": "status"}')
    later = json.loads(frame) | {"schema_version": "1.4", "colour": "green"}
    assert isinstance(parse_reply(json.dumps(later).encode()), StatusReply)
    with pytest.raises(EventFormatError, match=r"reads 1\.x"):
        parse_reply(json.dumps(later | {"schema_version": "2.0"}).encode())
