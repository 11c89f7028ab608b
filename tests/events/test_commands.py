"""Commands over real sockets: who may, what is done once, what the journal keeps."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import zmq
from commands_support import Keys, Loom, commands_in, journal_of, raw_dealer
from events_support import MAKER, eventually, ipc_settings, numbered

from glass_edge.config.events import Role
from glass_edge.errors import InputError
from glass_edge.events.commands import acknowledge, change_recipe, change_roll, set_bypass
from glass_edge.events.commands_limits import COMMANDS_REMEMBERED
from glass_edge.events.curve_keys import ClientKeys, revoke
from glass_edge.events.errors import CommandRefusedError, NoAnswerError
from glass_edge.events.journal_check import verify
from glass_edge.events.publisher import Publisher
from glass_edge.events.requester import request_snapshot, request_status
from glass_edge.events.schema import Kind

COMMANDS: dict[str, Callable[[str, ClientKeys | None], object]] = {
    "roll": lambda endpoint, keys: change_roll(endpoint, "R-2", operator="K. Weber", keys=keys),
    "recipe": lambda endpoint, keys: change_recipe(endpoint, "twill", operator="K. Weber", keys=keys),
    "acknowledge": lambda endpoint, keys: acknowledge(
        endpoint, "s1", accepted=True, detail="stops", operator="K. Weber", keys=keys
    ),
    "bypass": lambda endpoint, keys: set_bypass(endpoint, True, reason="new beam", operator="K. Weber", keys=keys),
}


@pytest.fixture
def loom() -> Loom:
    return Loom()


@pytest.fixture
def keys(short_path: Path) -> Keys:
    return Keys(short_path)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("role", "is_allowed"), [(None, False), (Role.OBSERVER, False), (Role.CONTROLLER, True), (Role.ENGINEER, True)]
)
def test_who_may_command_over_curve(keys: Keys, loom: Loom, command: str, role: Role | None, is_allowed: bool) -> None:
    hmi = keys.client("hmi", role)
    with Publisher(keys.settings(), "loom1", loom) as publisher:
        publisher.emit_all([MAKER.roll_start(), MAKER.stop_request("s1", "hole")])
        if is_allowed:
            COMMANDS[command](publisher.request_endpoint, hmi)
        else:
            with pytest.raises(CommandRefusedError) as caught:
                COMMANDS[command](publisher.request_endpoint, hmi)
            assert caught.value.reason == f"client hmi is observer, and {command} needs the role controller"
            assert loom.told == []
        status = request_status(publisher.request_endpoint, keys=hmi)
        assert (status.commands, status.commands_refused) == (1, 0 if is_allowed else 1)
    (kept,) = commands_in(journal_of(keys.folder / "journal.db"))
    assert (kept.command, kept.client, kept.role, kept.operator) == (command, "hmi", role or "observer", "K. Weber")
    assert kept.accepted is is_allowed
    assert kept.uid is None
    wanted = {"roll": ("roll_id", "R-2"), "recipe": ("style", "twill"), "bypass": ("is_on", True)}
    field, value = wanted.get(command, ("request_id", "s1"))
    assert getattr(kept, field) == value


@pytest.mark.parametrize("role", [None, *Role])
def test_who_may_command_over_ipc_is_set(short_path: Path, loom: Loom, role: Role | None) -> None:
    settings = ipc_settings(short_path, **({} if role is None else {"local_role": role.value}))
    with Publisher(settings, "loom1", loom) as publisher:
        publisher.emit(MAKER.stop_request("s1", "hole"))
        for command in COMMANDS.values():
            if role is Role.OBSERVER:
                with pytest.raises(CommandRefusedError, match="client local is observer"):
                    command(publisher.request_endpoint, None)
            else:
                command(publisher.request_endpoint, None)
    kept = commands_in(journal_of(short_path / "journal.db"))
    assert [command.command for command in kept] == list(COMMANDS)
    assert {(command.client, command.role, command.uid) for command in kept} == {
        ("local", role or "engineer", os.getuid())
    }


def test_over_loopback_without_keys_nobody_commands(short_path: Path, loom: Loom) -> None:
    settings = ipc_settings(short_path, publish_endpoint="tcp://127.0.0.1:*", request_endpoint="tcp://127.0.0.1:*")
    with Publisher(settings, "loom1", loom) as publisher:
        for command in COMMANDS.values():
            with pytest.raises(CommandRefusedError, match="client loopback is observer"):
                command(publisher.request_endpoint, None)
    assert loom.told == []


def test_a_stranger_and_a_revoked_client_are_not_heard(keys: Keys, loom: Loom) -> None:
    hmi, plc = keys.client("hmi", Role.CONTROLLER), keys.client("plc", Role.CONTROLLER)
    stranger = keys.client("stranger", is_allowed=False)
    with Publisher(keys.settings(), "loom1", loom) as publisher:
        endpoint = publisher.request_endpoint
        with pytest.raises(NoAnswerError):
            change_roll(endpoint, "R-2", timeout_s=1.0, keys=stranger)
        change_roll(endpoint, "R-2", keys=plc)
        with raw_dealer(endpoint, plc) as sock:
            sock.send_json({"request": "status"})
            sock.recv_multipart()
            revoke("plc", keys.clients)
            with pytest.raises(NoAnswerError):
                change_roll(endpoint, "R-3", timeout_s=1.5, keys=plc)
            # the connection that was open is of no use either: refused until it is cut
            with contextlib.suppress(zmq.Again):  # it is cut, and nothing else to send it to
                sock.send_json({"request": "roll", "roll_id": "R-4"}, zmq.NOBLOCK)
            if sock.poll(500):
                assert b"allowed no longer" in sock.recv_multipart()[0]
        change_roll(endpoint, "R-5", timeout_s=30.0, keys=hmi)
    assert loom.told == [("roll", "R-2"), ("roll", "R-5")]


def test_a_role_changes_while_the_client_is_connected(keys: Keys, loom: Loom) -> None:
    hmi = keys.client("hmi")
    with (
        Publisher(keys.settings(beacon_s=60.0), "loom1", loom) as publisher,
        raw_dealer(publisher.request_endpoint, hmi) as sock,
    ):

        def answer() -> str:
            sock.send_json({"request": "acknowledge", "request_id": "s", "accepted": True})
            return str(json.loads(sock.recv_multipart()[0])["message"])

        assert answer().startswith("client hmi is observer")
        keys.give_role("hmi", Role.CONTROLLER)
        eventually(lambda: answer().endswith("none does"), "the new role counts")
        keys.give_role("hmi", Role.OBSERVER)
        eventually(lambda: answer().startswith("client hmi is observer"), "the old role counts again")


def test_two_clients_command_under_their_own_names(keys: Keys, loom: Loom) -> None:
    hmi, mes = keys.client("hmi", Role.CONTROLLER), keys.client("mes", Role.ENGINEER)
    with Publisher(keys.settings(), "loom1", loom, loom.present_status) as publisher:
        endpoint = publisher.request_endpoint
        with raw_dealer(endpoint, hmi) as first, raw_dealer(endpoint, mes) as second:
            for sock, style in ((first, "twill"), (second, "satin")):
                sock.send_json({"request": "recipe", "style": style, "id": "1"})
            replies = [json.loads(sock.recv_multipart()[0]) for sock in (first, second)]
            assert [reply["reply"] for reply in replies] == ["recipe", "error"]  # one id, two clients: two commands
    kept = {command.client: command for command in commands_in(journal_of(keys.folder / "journal.db"))}
    assert (kept["hmi"].accepted, kept["hmi"].version) == (True, "7")
    assert (kept["mes"].accepted, kept["mes"].reason) == (False, "no engine of style satin; there is twill")


def test_a_command_sent_again_is_done_once_and_answered_alike(short_path: Path, loom: Loom) -> None:
    with (
        Publisher(ipc_settings(short_path), "loom1", loom) as publisher,
        raw_dealer(publisher.request_endpoint) as sock,
    ):

        def answer(**request: object) -> dict[str, object]:
            sock.send_json(request)
            reply: dict[str, object] = json.loads(sock.recv_multipart()[0])
            return {name: value for name, value in reply.items() if name not in ("head", "oldest")}

        asked: dict[str, object] = {"request": "roll", "roll_id": "R-2", "id": "a"}
        first = answer(**asked)
        assert (first["reply"], first["first_line"]) == ("roll", 4711)
        assert [answer(**asked) for _ in range(3)] == [first] * 3
        refused = answer(request="roll", roll_id="open", id="b")
        assert answer(request="roll", roll_id="open", id="b") == refused
        other = answer(request="roll", roll_id="R-3", id="a")
        assert other["message"] == "another command came with the id 'a' before; give each its own"
        for number in range(COMMANDS_REMEMBERED - 2):  # refused: nothing waits for an answer
            answer(request="acknowledge", request_id="s", accepted=True, id=f"c{number}")
        assert answer(**asked) == first
        assert loom.told == [("roll", "R-2")]
        answer(request="acknowledge", request_id="s", accepted=True, id="one more")
        assert answer(**asked) == first
        assert loom.told == [("roll", "R-2")] * 2  # the oldest was forgotten
        assert request_status(publisher.request_endpoint).commands == COMMANDS_REMEMBERED + 2
    kept = commands_in(journal_of(short_path / "journal.db"))
    assert [command.roll_id for command in kept if command.command == "roll"] == ["R-2", "open", "R-2"]


def test_a_lost_answer_is_asked_for_again_by_the_client(keys: Keys, loom: Loom) -> None:
    """The station cuts all tcp connections when a client is revoked; whoever waits then asks again."""
    hmi = keys.client("hmi", Role.CONTROLLER)
    for name in "abcd":
        keys.client(name)
    settings = keys.settings(beacon_s=0.05)
    with Publisher(settings, "loom1", loom) as publisher:
        done = threading.Event()

        def revoke_all() -> None:
            for name in "abcd":
                time.sleep(0.2)
                revoke(name, keys.clients)
            done.set()

        thread = threading.Thread(target=revoke_all)
        thread.start()
        rolls = 0
        while not done.is_set():
            rolls += 1
            assert change_roll(publisher.request_endpoint, f"R-{rolls}", timeout_s=30.0, keys=hmi).first_line == 4711
            time.sleep(0.1)
        thread.join()
    assert loom.told == [("roll", f"R-{number}") for number in range(1, rolls + 1)]


def test_an_acknowledgement_and_its_stop_ack_come_together(short_path: Path, loom: Loom) -> None:
    with Publisher(ipc_settings(short_path), "loom1", loom) as publisher:
        endpoint = publisher.request_endpoint
        with pytest.raises(CommandRefusedError) as caught:
            acknowledge(endpoint, "s1", accepted=True)
        assert caught.value.reason == "stop request s1 does not wait for an answer; none does"
        publisher.emit_all([MAKER.roll_start(), MAKER.stop_request("s1", "hole"), MAKER.stop_request("s2", "dense")])
        eventually(lambda: request_snapshot(endpoint)[1].stop_request is not None, "the request is published")
        with pytest.raises(CommandRefusedError) as caught:
            acknowledge(endpoint, "s1", accepted=True)
        assert caught.value.reason == "stop request s1 does not wait for an answer; s2 does"
        with raw_dealer(endpoint) as sock:  # many at once, before the first is published: one is taken
            for _ in range(12):  # fewer than the station queues replies for one peer
                sock.send_json(
                    {"request": "acknowledge", "request_id": "s2", "accepted": False, "detail": "thread end"}
                )
            replies = [json.loads(sock.recv_multipart()[0])["reply"] for _ in range(12)]
        assert replies == ["acknowledge", *["error"] * 11]
        eventually(lambda: request_snapshot(endpoint)[1].stop_request is None, "nothing waits")
    events = journal_of(short_path / "journal.db")
    (ack,) = [event for event in events if event.kind == Kind.STOP_ACK]
    payload = ack.payload.model_dump()
    assert payload == {"request_id": "s2", "accepted": False, "source": "local", "detail": "thread end"}
    command = events[ack.seq - 2].payload.model_dump()
    assert (command["command"], command["accepted"], command["request_id"]) == ("acknowledge", True, "s2")
    assert {event.roll_id for event in events[3:]} == {"R-17"}
    assert ack.is_partial
    assert ack.is_simulated


def test_the_journal_tells_a_command_before_its_effect(short_path: Path) -> None:
    """The effect is told by another thread, at once and before the station has answered."""
    threads: list[threading.Thread] = []

    class Hasty(Loom):
        def change_roll(self, roll_id: str) -> int:
            threads.append(threading.Thread(target=publisher.emit, args=(numbered(1),)))
            threads[-1].start()
            time.sleep(0.2)
            return super().change_roll(roll_id)

    loom = Hasty()
    with Publisher(ipc_settings(short_path), "loom1", loom, loom.present_status) as publisher:
        change_roll(publisher.request_endpoint, "R-2")
        set_bypass(publisher.request_endpoint, True, reason="new beam")
        threads[0].join()
        eventually(lambda: request_snapshot(publisher.request_endpoint)[1].is_bypassed, "the bypass is published")
    events = journal_of(short_path / "journal.db")
    assert [event.kind for event in events] == ["command", "status", "command", "status"]
    payload = events[3].payload.model_dump()
    assert (payload["is_bypassed"], payload["state"]) == (True, "ContinuousExecution")


def test_refused_commands_in_a_flood_neither_fill_the_journal_nor_hold_events_up(
    keys: Keys, loom: Loom, record_property: Callable[[str, object], None]
) -> None:
    observer, hmi = keys.client("observer"), keys.client("hmi", Role.CONTROLLER)
    with Publisher(keys.settings(), "loom1", loom) as publisher:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        sub = context.socket(zmq.SUB)
        sub.setsockopt(zmq.SUBSCRIBE, b"loom1")
        sub.setsockopt(zmq.RCVTIMEO, 30_000)
        sub.setsockopt(zmq.CURVE_SERVERKEY, hmi.server_public)
        sub.setsockopt(zmq.CURVE_PUBLICKEY, hmi.own.public)
        sub.setsockopt(zmq.CURVE_SECRETKEY, hmi.own.secret)
        sub.connect(publisher.publish_endpoint)
        while not sub.recv_multipart()[0].endswith(b"/beacon"):
            pass

        def latencies_ms(count: int) -> list[float]:
            found = []
            for number in range(count):
                started_s = time.monotonic()
                publisher.emit(numbered(number))
                while True:
                    topic, document = sub.recv_multipart()
                    if topic == b"loom1" and json.loads(document)["kind"] == "status":
                        break
                found.append(1000 * (time.monotonic() - started_s))
                time.sleep(0.005)
            return sorted(found)

        before = latencies_ms(60)
        stopping = threading.Event()
        sent, answered = 0, 0

        def flood() -> None:
            nonlocal sent, answered
            with raw_dealer(publisher.request_endpoint, observer) as sock:
                while not stopping.is_set():
                    sock.send_json({"request": "bypass", "is_on": True, "reason": "x" * 1000})
                    sent += 1
                    while sock.poll(0):
                        sock.recv_multipart()
                        answered += 1

        thread = threading.Thread(target=flood)
        thread.start()
        during = latencies_ms(60)
        end_s = time.monotonic() + 60
        while answered < 50 and time.monotonic() < end_s:  # well beyond what is listed one by one
            time.sleep(0.01)
        stopping.set()
        thread.join()
        started_s = time.monotonic()
        change_roll(publisher.request_endpoint, "R-2", timeout_s=30.0, keys=hmi)
        waited_s = time.monotonic() - started_s
        status = request_status(publisher.request_endpoint, timeout_s=30.0, keys=hmi)
        context.destroy(linger=0)
    kept = commands_in(journal_of(keys.folder / "journal.db"))
    refused = [command for command in kept if not command.accepted]
    assert len(refused) == 6
    unlisted = sum(command.refused_unlisted for command in kept)
    assert status.commands_refused >= 6 + unlisted > 6
    assert [command.roll_id for command in kept if command.accepted] == ["R-2"]
    figures = {
        "refused": status.commands_refused,
        "p50_before_ms": round(before[30], 2),
        "p50_during_ms": round(during[30], 2),
        "worst_before_ms": round(before[-1], 2),
        "worst_during_ms": round(during[-1], 2),
        "command_of_another_s": round(waited_s, 3),
    }
    for name, value in figures.items():
        record_property(name, value)
    sys.stdout.write(f"{figures}\n")


def test_a_controller_that_never_stops_is_held_back(short_path: Path, loom: Loom) -> None:
    with Publisher(ipc_settings(short_path), "loom1", loom) as publisher:
        with raw_dealer(publisher.request_endpoint) as sock:
            for number in range(200):
                sock.send_json({"request": "bypass", "is_on": number % 2 == 0})
                sock.recv_multipart()
        publisher.emit(MAKER.stop_request("s1", "hole"))
        eventually(lambda: request_snapshot(publisher.request_endpoint)[1].stop_request is not None, "it is published")
        acknowledge(publisher.request_endpoint, "s1", accepted=True)  # an answer never waits behind that
    kept = commands_in(journal_of(short_path / "journal.db"))
    assert sum(command.accepted and command.command == "bypass" for command in kept) == 30
    assert sum(not command.accepted for command in kept) == 6
    assert kept[-1].command == "acknowledge"
    assert sum(command.refused_unlisted for command in kept) == 200 - 30 - 6


def test_malformed_requests_are_counted_logged_once_and_not_journaled(
    short_path: Path, loom: Loom, caplog: pytest.LogCaptureFixture
) -> None:
    bodies = [
        b"",
        b"\xff\xfe",
        b'{"request":"roll"}',
        b'{"request":"roll","roll_id":""}',
        b'{"request":"roll","roll_id":"' + b"x" * 129 + b'"}',
        b'{"request":"bypass","is_on":"maybe"}',
        b'{"request":"bypass","is_on":true,"operator":7}',
        b'{"request":"bypass","is_on":true,"\\ud800":1}',
        b'{"request":"acknowledge","request_id":"s\\ud800","accepted":true}',
        b'{"request":"recipe","style":"twill","version":""}',
        b'{"request":"launch"}',
        b'{"request":"bypass","is_on":' + b"9" * 5000 + b"}",
    ]
    with caplog.at_level(logging.WARNING), Publisher(ipc_settings(short_path), "loom1", loom) as publisher:
        with raw_dealer(publisher.request_endpoint) as sock:
            for body in bodies:
                sock.send(body)
                reply = json.loads(sock.recv_multipart()[0])
                assert (reply["reply"], reply["code"]) == ("error", "bad_request"), body
        status = request_status(publisher.request_endpoint)
        assert (status.requests_malformed, status.requests_refused) == (len(bodies), len(bodies))
        assert (status.commands, status.head) == (0, 0)
        with pytest.raises(InputError, match="roll_id"):
            change_roll(publisher.request_endpoint, "")
    assert len([record for record in caplog.records if "malformed" in record.getMessage()]) == 1
    assert loom.told == []


def test_a_mistake_of_the_station_is_told_and_ends_nothing(short_path: Path, loom: Loom) -> None:
    with Publisher(ipc_settings(short_path), "loom1", loom) as publisher:
        for _ in range(2):
            with pytest.raises(CommandRefusedError, match="it failed: ValueError: a mistake"):
                change_roll(publisher.request_endpoint, "broken")
        assert change_roll(publisher.request_endpoint, "R-2").first_line == 4711
        with pytest.raises(CommandRefusedError) as caught:
            change_roll(publisher.request_endpoint, "open")
        assert caught.value.reason == "the roll open is open already"
    assert verify(short_path / "journal.db").is_whole


def test_a_station_that_takes_no_commands_says_so(short_path: Path) -> None:
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        with pytest.raises(CommandRefusedError, match="this station takes no commands"):
            change_roll(publisher.request_endpoint, "R-2")
        publisher.emit(MAKER.stop_request("s1", "hole"))
        eventually(lambda: request_snapshot(publisher.request_endpoint)[1].stop_request is not None, "it is published")
        acknowledge(publisher.request_endpoint, "s1", accepted=True)


def test_an_older_request_without_operator_and_id_is_valid(short_path: Path, loom: Loom) -> None:
    with (
        Publisher(ipc_settings(short_path), "loom1", loom) as publisher,
        raw_dealer(publisher.request_endpoint) as sock,
    ):
        for roll_id in ("R-2", "R-3", "R-3"):  # without an id nothing is a repetition
            sock.send_json({"request": "roll", "roll_id": roll_id})
            assert json.loads(sock.recv_multipart()[0])["roll_id"] == roll_id
    assert loom.told == [("roll", "R-2"), ("roll", "R-3"), ("roll", "R-3")]
