"""The adapter at a broker that answers as it should not."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest
from adapters_support import eventually, idle_draft, ipc_settings, offset_seq, roll_drafts

pytest.importorskip("aiomqtt")

from mqtt_support import BASE, Log, mqtt_adapter, mqtt_settings
from scripted_mqtt_broker import (
    CONNECT,
    DISCONNECT,
    PUBLISH,
    Answer,
    ScriptedBroker,
    connack,
    good,
    packet,
    puback,
    string,
    topic_of,
)

from glass_edge.adapters.mqtt import MqttSink
from glass_edge.events.publisher import Publisher

_MAXIMUM_PACKET_SIZE, _REASON_STRING, _ASSIGNED_SERVER_KEEP_ALIVE = 0x27, 0x1F, 0x13


def mended(answer: Answer, bad: list[bool]) -> Answer:
    """`answer` while `bad` holds something, then a good broker's."""
    return lambda kind, body: answer(kind, body) if bad else good(kind, body)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (connack(0x84), "speaks no MQTT 5; update it"),
        (b"\x20\x02\x00\x01", "speaks no MQTT 5; update it"),  # as a broker of MQTT 3.1.1 says it
        (connack(0x85), "give another in client_id"),
        (connack(0x87, string(_REASON_STRING, "who are you?")), "allow it there"),
        (connack(0x9A), "keeps no retained messages; allow them"),
        (connack(0x9D), "has moved"),
        (connack(0xB0), "reason 0xb0|closed the connection without a word"),
        (None, "closed the connection without a word; does it speak MQTT 5 on this port, and does it ask for TLS"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not answer"),
    ],
)
def test_a_refused_connection_is_told_and_tried_again(short_path: Path, reply: bytes | None, text: str) -> None:
    bad = [True]
    with (
        ScriptedBroker(mended(lambda _kind, _body: reply, bad)) as broker,
        Publisher(ipc_settings(short_path), "loom1") as publisher,
        mqtt_adapter(mqtt_settings(short_path, broker.url, timeout_s=2)) as running,
    ):
        publisher.emit(idle_draft())
        eventually(lambda: running.status()["state"] == "retrying", "the refusal")
        told = running.status()["last_error"]["text"]
        assert any(part in told for part in text.split("|")), told
        assert ("who are you?" in told) == (reply is not None and b"who are you?" in reply)
        assert offset_seq(short_path) == 0
        bad.clear()
        eventually(lambda: offset_seq(short_path) == 1, "the event")


def of_gap(say: bytes | None, *, is_ack: bool = False) -> Answer:
    """`say` to the event of a gap, with the acknowledgement's number when it is one."""

    def answer(kind: int, body: bytes) -> bytes | None:
        if kind == PUBLISH and topic_of(body) == f"{BASE}/gap":
            return puback(body, say[0], say[1:]) if is_ack and say is not None else say
        return good(kind, body)

    return answer


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (of_gap(b"\x97", is_ack=True), "no room for this client's messages; raise its quota"),
        (of_gap(b"\x83" + string(_REASON_STRING, "disk full"), is_ack=True), "(disk full)"),
        (of_gap(b""), "did not acknowledge a message of mill/loom1/gap within"),
        (of_gap(None), "is lost"),
        (of_gap(packet(DISCONNECT, b"\x8b\x00")), "is being shut down"),
        (of_gap(packet(DISCONNECT, b"\x97\x00")), "raise its quota"),
    ],
)
def test_an_event_that_is_not_taken_now_waits_and_holds_the_next_back(
    short_path: Path, answer: Answer, text: str
) -> None:
    bad = [True]
    with (
        ScriptedBroker(mended(answer, bad)) as broker,
        Publisher(ipc_settings(short_path), "loom1") as publisher,
        mqtt_adapter(mqtt_settings(short_path, broker.url, timeout_s=0.5)) as running,
    ):
        publisher.emit_all(roll_drafts("R-1", 1))
        eventually(lambda: running.status()["state"] == "retrying", "the refusal")
        eventually(lambda: text in running.status()["last_error"]["text"], "its reason")
        topics = [topic_of(body) for kind, body in broker.seen if kind == PUBLISH]
        assert f"{BASE}/gap" in topics
        assert f"{BASE}/roll/R-1/end" not in topics
        bad.clear()
        eventually(lambda: offset_seq(short_path) == 6, "all")
        topics = [topic_of(body) for kind, body in broker.seen if kind == PUBLISH]
        assert topics.count(f"{BASE}/roll/R-1/start") == 1  # what was acknowledged is not sent again
    assert not (short_path / "state/dead-letters.jsonl").exists()


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (of_gap(b"\x99", is_ack=True), "takes no such payload"),
        (of_gap(b"\x90", is_ack=True), "does not take such a topic"),
        (of_gap(packet(DISCONNECT, b"\x95\x00")), "takes only smaller packets"),
    ],
)
def test_an_event_that_is_never_taken_is_kept_and_the_next_goes(short_path: Path, answer: Answer, text: str) -> None:
    with (
        ScriptedBroker(answer) as broker,
        Publisher(ipc_settings(short_path), "loom1") as publisher,
        mqtt_adapter(mqtt_settings(short_path, broker.url)),
    ):
        publisher.emit_all(roll_drafts("R-1", 1))
        eventually(lambda: offset_seq(short_path) == 6, "all")
    (line,) = (short_path / "state/dead-letters.jsonl").read_text().splitlines()
    assert json.loads(line)["seq"] == 5
    assert text in json.loads(line)["reason"]


def test_nothing_larger_than_the_broker_takes_is_sent(short_path: Path) -> None:
    most = 2300

    def answer(kind: int, body: bytes) -> bytes:
        return (
            connack(0, bytes([_MAXIMUM_PACKET_SIZE, 0, 0, most >> 8, most & 255]))
            if kind == CONNECT
            else good(kind, body)
        )

    drafts = roll_drafts("R-1", 0)
    sizes = range(1200, 2000, 3)  # both sides of the limit, byte by byte in the end
    gaps = [
        drafts[1].model_copy(update={"payload": drafts[1].payload.model_copy(update={"detail": "x" * size})})
        for size in sizes
    ]
    with (
        ScriptedBroker(answer) as broker,
        Publisher(ipc_settings(short_path), "loom1") as publisher,
        mqtt_adapter(mqtt_settings(short_path, broker.url)),
    ):
        publisher.emit_all([drafts[0], *gaps])
        eventually(lambda: offset_seq(short_path) == 1 + len(gaps), "all")
    sent = [len(body) + 3 for kind, body in broker.seen if kind == PUBLISH]  # type, length of 2 bytes
    assert most - 12 < max(sent) <= most
    refused = (short_path / "state/dead-letters.jsonl").read_text().splitlines()
    gaps_sent = [body for kind, body in broker.seen if kind == PUBLISH and topic_of(body) == f"{BASE}/gap"]
    assert len(refused) > 10
    assert len(refused) + len(gaps_sent) == len(gaps)


def test_a_broker_that_falls_silent_is_noticed(short_path: Path) -> None:
    def answer(kind: int, body: bytes) -> bytes:
        if kind == CONNECT:
            return connack(0, bytes([_ASSIGNED_SERVER_KEEP_ALIVE, 0, 1]))  # 1 s, which the client has to keep
        return good(kind, body)  # no answer to PINGREQ

    with (
        ScriptedBroker(answer) as broker,
        Publisher(ipc_settings(short_path), "loom1"),
        mqtt_adapter(mqtt_settings(short_path, broker.url)),
    ):
        eventually(lambda: broker.kinds().count(CONNECT) >= 2, "a second connection")


class HeldUp(Log):
    """Holds the thread of the connection up, as a machine without time for it does."""

    def __init__(self) -> None:
        super().__init__()
        self.is_held = threading.Event()
        self.go_on = threading.Event()

    def tell(self, key: str, text: str) -> bool:
        self.is_held.set()
        assert self.go_on.wait(30)
        return super().tell(key, text)


def test_a_connection_that_is_held_up_does_not_hold_the_adapter_up(short_path: Path) -> None:
    log = HeldUp()
    (short_path / "state").mkdir()
    with ScriptedBroker(lambda _kind, _body: connack(0x88)) as broker:
        sink = MqttSink(mqtt_settings(short_path, broker.url), log)
        try:
            assert log.is_held.wait(30)
            begun_s = time.monotonic()
            for is_heard in (True, False, True):
                sink.stands(is_heard=is_heard, is_behind=False)
            assert time.monotonic() - begun_s < 2
        finally:
            log.go_on.set()
            sink.close()
