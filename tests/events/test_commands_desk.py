"""The desk alone: what fails, what is malformed, what is remembered."""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import zmq.auth
from commands_support import Loom, commands_in, journal_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from glass_edge.config.events import Role
from glass_edge.errors import InputError
from glass_edge.events.asker import Asker
from glass_edge.events.commands_desk import CommandDesk
from glass_edge.events.commands_limits import COMMANDS_REMEMBERED, Callers, WindowLimit
from glass_edge.events.commands_wire import AcknowledgeRequest, BypassRequest, RollRequest
from glass_edge.events.curve import AllowList
from glass_edge.events.curve_keys import allow, allowed, make_key_pair
from glass_edge.events.errors import JournalError
from glass_edge.events.journal import Journal
from glass_edge.events.publication import Publication
from glass_edge.events.schema import Draft, Event
from glass_edge.events.snapshot import StateFold, is_bypassed
from glass_edge.events.wire import ErrorCode, ErrorReply, parse_reply

HMI = Asker("hmi", Role.CONTROLLER)


@contextmanager
def served(loom: Loom) -> Iterator[tuple[Publication, Journal, CommandDesk]]:
    with tempfile.TemporaryDirectory() as folder, Journal(Path(folder) / "j", "loom1") as journal:
        desk = CommandDesk(loom, journal.append_all, nullcontext(), loom.present_status)
        with journal.reader() as reader:
            publication = Publication(
                reader, beacon_s=1.0, replay_limit=5, up_s=lambda: 1.0, now=lambda: datetime.now(UTC), desk=desk
            )
            yield publication, journal, desk


def values() -> st.SearchStrategy[Any]:
    """Any JSON there can be, lone surrogates and numbers of any size too."""
    text = st.text(st.characters(exclude_categories=()), max_size=20)
    leaf = st.none() | st.booleans() | st.integers() | st.floats() | text | st.text("x", min_size=120, max_size=140)
    return st.recursive(leaf, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3))


FIELDS = ("id", "operator", "roll_id", "style", "version", "request_id", "accepted", "detail", "is_on", "reason")
SOUND: tuple[dict[str, Any], ...] = (
    {"request": "roll", "roll_id": "R-2"},
    {"request": "recipe", "style": "twill"},
    {"request": "acknowledge", "request_id": "s", "accepted": True},
    {"request": "bypass", "is_on": True},
)


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(SOUND),
    st.dictionaries(
        st.sampled_from(FIELDS) | st.text(st.characters(exclude_categories=()), max_size=8), values(), max_size=2
    ),
    st.sampled_from(list(Role)),
)
def test_whatever_a_command_holds_there_is_one_answer_and_a_sound_journal(
    sound: dict[str, Any], fields: dict[str, Any], role: Role
) -> None:
    loom = Loom()
    with served(loom) as (publication, journal, desk):
        body = json.dumps(sound | fields).encode()
        for _ in range(2):
            (frame,) = publication.answer(body, lambda: Asker("hmi", role))
            reply = parse_reply(frame)
        publication.take_new(100)
        kept = commands_in(journal_of(journal.path))
        if isinstance(reply, ErrorReply) and reply.code is ErrorCode.BAD_REQUEST:
            assert (kept, loom.told, desk.taken) == ([], [], 0)
        else:
            assert kept[0].accepted is not isinstance(reply, ErrorReply)
            assert len(loom.told) <= (1 if fields.get("id") else 2)
            assert not loom.told or role is not Role.OBSERVER


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=60).map(str.encode))
def test_what_is_no_request_is_answered_too(body: bytes) -> None:
    assume(b'"request"' not in body)  # hypothesis draws requests from the code's own constants
    with served(Loom()) as (publication, journal, _):
        (frame,) = publication.answer(body)
        assert parse_reply(frame).reply == "error"
        assert journal_of(journal.path) == []


@given(st.integers(1, 8), st.lists(st.floats(0, 30), max_size=60))
def test_no_window_holds_more_than_its_limit(most: int, pauses_s: list[float]) -> None:
    limit, now_s, allowed_s = WindowLimit(most, 60.0), 0.0, []
    for pause_s in pauses_s:
        now_s += pause_s
        in_window = [moment_s for moment_s in allowed_s if now_s - moment_s < 60.0]
        is_allowed = limit.allows(now_s)
        assert is_allowed is (len(in_window) < most)  # neither more, nor fewer than it could
        allowed_s += [now_s] * is_allowed


def test_the_memory_of_clients_is_bounded() -> None:
    callers = Callers()
    first = callers.of(Asker("0", Role.OBSERVER))
    for number in range(1, 256):
        callers.of(Asker(str(number), Role.OBSERVER))
    assert callers.of(Asker("0", Role.ENGINEER)) is first  # whatever its role is now
    for number in range(256, 512):
        callers.of(Asker(str(number), Role.OBSERVER))
    assert callers.of(Asker("0", Role.OBSERVER)) is not first
    assert callers.of(Asker("0", Role.OBSERVER, uid=1)) is not callers.of(Asker("0", Role.OBSERVER, uid=2))


class Full:
    """A journal whose disk may be full."""

    def __init__(self) -> None:
        self.is_full = False
        self.kept: list[Draft] = []

    def emit_all(self, drafts: Sequence[Draft]) -> list[Event]:
        if self.is_full:
            raise JournalError("j: the disk is full")
        self.kept += drafts
        return []


def test_what_cannot_be_journaled_is_not_told_as_done_and_may_be_asked_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    journal, loom, state = Full(), Loom(), StateFold()
    desk = CommandDesk(loom, journal.emit_all, nullcontext(), loom.present_status)
    journal.is_full = True
    bypass = BypassRequest(is_on=True, id="1")
    with caplog.at_level(logging.ERROR):
        answer = desk.take(bypass, HMI, state)
        assert (answer.reply, answer.reason) == (None, "it failed: j: the disk is full")
        assert not loom.is_bypassed
        # a refusal stands, and is told in the log
        assert "observer" in desk.take(bypass, Asker("mes", Role.OBSERVER), state).reason
    assert "a refused command of client mes is not in the journal" in caplog.text
    journal.is_full = False
    assert desk.take(bypass, HMI, state).reply is not None
    assert loom.is_bypassed
    assert [draft.kind for draft in journal.kept] == ["command", "status"]


def test_refusals_beyond_the_limit_are_counted_into_the_next_event() -> None:
    now_s = 0.0
    journal, loom, state = Full(), Loom(), StateFold()
    desk = CommandDesk(loom, journal.emit_all, nullcontext(), now_s=lambda: now_s)
    for _ in range(100):
        desk.take(RollRequest(roll_id="open"), HMI, state)
    now_s = 61.0
    desk.take(AcknowledgeRequest(request_id="s", accepted=True), HMI, state)
    desk.take(AcknowledgeRequest(request_id="s", accepted=True), HMI, state)
    told = [draft.payload.model_dump()["refused_unlisted"] for draft in journal.kept]
    assert told == [0] * 6 + [94, 0]
    assert (desk.taken, desk.refused) == (102, 102)


def test_repetitions_are_remembered_for_each_client() -> None:
    journal, loom, state = Full(), Loom(), StateFold()
    desk = CommandDesk(loom, journal.emit_all, nullcontext())
    desk.take(RollRequest(roll_id="R-2", id="1"), HMI, state)
    for number in range(2 * COMMANDS_REMEMBERED):
        desk.take(RollRequest(roll_id="R", id=str(number)), Asker("noisy", Role.OBSERVER), state)
    desk.take(RollRequest(roll_id="R-2", id="1"), HMI, state)
    assert loom.told == [("roll", "R-2")]


def test_the_last_bypass_survives_deletion(tmp_path: Path) -> None:
    loom = Loom()
    with Journal(tmp_path / "j", "loom1") as journal, journal.reader() as reader:
        desk = CommandDesk(loom, journal.append_all, nullcontext(), loom.present_status)
        assert not is_bypassed(reader)
        for is_on in (False, True):
            desk.take(BypassRequest(is_on=is_on), HMI, StateFold())
        desk.take(BypassRequest(is_on=False), Asker("mes", Role.OBSERVER), StateFold())
        assert is_bypassed(reader)
        journal.append_all([loom.present_status()] * 3)
        assert journal.forget_before(100) == 7
        assert is_bypassed(reader)
        desk.take(BypassRequest(is_on=False), HMI, StateFold())
        assert not is_bypassed(reader)


def test_roles_in_certificates(tmp_path: Path) -> None:
    clients = tmp_path / "clients"
    _, public = make_key_pair(tmp_path, "hmi")
    allow(public, clients)
    assert allowed(clients)["hmi"].role is Role.OBSERVER
    allow(public, clients, Role.CONTROLLER)
    allow(public, clients)  # as it was
    assert allowed(clients)["hmi"].role is Role.CONTROLLER
    public.rename(tmp_path / "other.key")
    with pytest.raises(InputError, match="this key is allowed as 'hmi'"):
        allow(tmp_path / "other.key", clients, Role.ENGINEER)
    # as pyzmq itself writes them, without quotes
    zmq.auth.create_certificates(str(clients), "mes", metadata={"role": "engineer"})
    (clients / "mes.key").write_bytes((clients / "mes.key_secret").read_bytes())
    with pytest.raises(InputError, match="holds a secret key"):
        allowed(clients)
    lines = (clients / "mes.key").read_text().splitlines(keepends=True)
    (clients / "mes.key").write_text("".join(line for line in lines if "secret-key" not in line))
    assert allowed(clients)["mes"].role is Role.ENGINEER
    # a role elsewhere than in the metadata is none, and an unknown one is named
    text = (clients / "hmi.key").read_text()
    (clients / "hmi.key").write_text(text.replace("metadata", "other"))
    assert allowed(clients)["hmi"].role is Role.OBSERVER
    (clients / "hmi.key").write_text(text.replace("controller", "admin"))
    with pytest.raises(InputError, match=r"hmi\.key: 'admin' is no role; give observer, controller, engineer"):
        allowed(clients)


def test_of_a_key_under_two_names_the_least_role_counts(tmp_path: Path) -> None:
    clients = tmp_path / "clients"
    _, public = make_key_pair(tmp_path, "hmi")
    path = allow(public, clients, Role.ENGINEER)
    key = allowed(clients)["hmi"].public
    assert AllowList(clients).who(key) == Asker("hmi", Role.ENGINEER)
    (clients / "zz.key").write_text(path.read_text().replace("engineer", "observer"))
    assert AllowList(clients).who(key) == Asker("zz", Role.OBSERVER)
    assert AllowList(clients).who(b"unknown") is None
