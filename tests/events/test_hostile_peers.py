"""Peers that mean no good are refused, told of once a minute at most, and move nobody else."""

from __future__ import annotations

import logging
import sys
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from events_support import ipc_settings, numbered

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import event_peers

from glass_edge.events.client import EventClient, Received
from glass_edge.events.curve_keys import ClientKeys, allow, make_key_pair, read_pair, read_public, revoke
from glass_edge.events.errors import NoAnswerError
from glass_edge.events.publisher import Publisher
from glass_edge.events.requester import request_status
from glass_edge.events.schema import Event, Kind
from glass_edge.events.wire import StatusReply

_AT_WORK_S = 1.0
_MEBIBYTE = 1 << 20


def keys_of(folder: Path, name: str) -> ClientKeys:
    secret, _ = make_key_pair(folder / "keys", name)
    return ClientKeys(read_public(folder / "keys/loom1.key"), read_pair(str(secret)))


def flat(keys: ClientKeys) -> Sequence[bytes]:
    return keys.server_public, keys.own.public, keys.own.secret


def status_of(publisher: Publisher, keys: ClientKeys) -> StatusReply:
    """The status, asked for again where a flood cost the first request."""
    for _ in range(10):
        with suppress(NoAnswerError):
            return request_status(publisher.request_endpoint, timeout_s=3.0, keys=keys)
    raise AssertionError("no answer at all")


class Bystander:
    """An ordinary client; what it hears has to be what was emitted."""

    def __init__(self, client: EventClient) -> None:
        self._client = client
        self._next = 1

    def hears(self, events: list[Event]) -> None:
        last = events[-1].seq
        while self._next <= last:
            item = self._client.receive(30.0)
            assert isinstance(item, Received)
            assert item.event.seq == self._next
            self._next += 1


def test_all_of_them_one_after_the_other(short_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    server_secret, _ = make_key_pair(short_path / "keys", "loom1")
    own, guest, former = (keys_of(short_path, name) for name in ("hmi", "guest", "former"))
    stranger = keys_of(short_path, "stranger")
    clients = short_path / "clients"
    for name in ("hmi", "guest", "former"):
        allow(short_path / f"keys/{name}.key", clients)
    settings = ipc_settings(
        short_path,
        publish_endpoint="tcp://127.0.0.1:*",
        request_endpoint="tcp://127.0.0.1:*",
        curve={"server_key": str(server_secret), "allowed_clients": clients},
        high_water_mark=100,
        reply_mb_per_s=2.0,
    )
    this = psutil.Process()
    peers = [
        ("unlisted", flat(stranger)),  # an unknown key
        ("unlisted", ()),  # no key
        ("unlisted", flat(former)),  # a revoked key
        ("greedy", flat(guest)),
        ("deaf", flat(guest)),
        ("flooding", flat(guest)),
        ("stalled", flat(guest)),
        ("malformed", flat(guest)),
        ("pushy", flat(guest)),
        ("huge", flat(guest)),
        ("huge", flat(stranger)),
        ("foreign", ()),
    ]
    begun_s = time.monotonic()
    with (
        Publisher(settings, "loom1") as publisher,
        EventClient(publisher.publish_endpoint, publisher.request_endpoint, keys=own) as client,
    ):
        bystander = Bystander(client)
        ends = publisher.publish_endpoint, publisher.request_endpoint
        # a journal that is worth a flood of replays, and memory as it is under ordinary load
        bystander.hears([publisher.emit_all([numbered(number) for number in range(2000)])[-1]])
        resident = this.memory_info().rss
        emitted = 2000
        for kind, keys in peers:
            if keys == flat(former):
                revoke("former", clients)
            refused = status_of(publisher, own).clients_refused
            with event_peers.at_work(*ends, kind, keys=keys):
                until_s = time.monotonic() + _AT_WORK_S
                while time.monotonic() < until_s:
                    emitted += 1
                    bystander.hears([publisher.emit(numbered(emitted))])
                    time.sleep(0.01)
            if kind == "unlisted" and keys:
                assert status_of(publisher, own).clients_refused > refused
        status = status_of(publisher, own)
        assert status.requests_malformed > 0
        assert status.commands_refused > 0
        grown = this.memory_info().rss - resident
        with publisher.journal.reader() as reader:
            kinds = [stored.document.split('"kind":"')[1].split('"')[0] for stored in reader.read(1, 100_000).events]
    minutes = 1 + int((time.monotonic() - begun_s) / 60)
    commands = kinds.count(Kind.COMMAND)
    assert 1 <= commands <= 6 * (minutes + 1)  # refused commands are journaled, a few a minute
    assert kinds.count(Kind.STATUS) == emitted
    assert len(kinds) == emitted + commands
    assert grown < 64 * _MEBIBYTE, f"{grown / _MEBIBYTE:.0f} MiB more"
    told = Counter(str(record.msg) for record in caplog.records if record.levelno >= logging.WARNING)
    assert max(told.values()) <= minutes, told
    for words in ("that are not allowed", "floods the request socket", "malformed requests"):
        assert sum(words in text for text in told) == 1, told
