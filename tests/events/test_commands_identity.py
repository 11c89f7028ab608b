"""Peers that claim to be another, byte by byte as no library lets them."""

from __future__ import annotations

import json
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from commands_support import Keys, Loom
from events_support import ipc_settings
from zmq.utils import z85

from glass_edge.config.events import Role
from glass_edge.events.curve_keys import ClientKeys, allowed
from glass_edge.events.publisher import Publisher

BYPASS = json.dumps({"request": "bypass", "is_on": True}).encode()


class Wire:
    """ZMTP 3.0 (RFC 23 of ZeroMQ) over tcp."""

    def __init__(self, raw: socket.socket, mechanism: bytes) -> None:
        self._raw = raw
        raw.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism.ljust(20, b"\0") + b"\0" + bytes(31))
        self._take(64)

    def send(self, flags: int, body: bytes) -> None:
        """One frame; flags 4: a command."""
        is_long = len(body) > 255
        size = struct.pack(">Q", len(body)) if is_long else bytes([len(body)])
        self._raw.sendall(bytes([flags | 2 * is_long]) + size + body)

    def receive(self) -> bytes:
        """The next frame."""
        is_long = self._take(1)[0] & 2
        return self._take(struct.unpack(">Q", self._take(8))[0] if is_long else self._take(1)[0])

    def _take(self, size: int) -> bytes:
        got = b""
        while len(got) < size:
            got += self._raw.recv(size - len(got)) or pytest.fail(f"the station hung up after {got!r}")
        return got


def claim(key: bytes) -> bytes:
    """Properties of a DEALER that says whose key it has."""
    user = b"\x07User-Id" + struct.pack(">I", len(key)) + key
    return user + b"\x0bSocket-Type\x00\x00\x00\x06DEALER"


@contextmanager
def connected(publisher: Publisher, mechanism: bytes) -> Iterator[Wire]:
    port = int(publisher.request_endpoint.rsplit(":", 1)[1])
    with socket.create_connection(("127.0.0.1", port), timeout=30) as raw:
        yield Wire(raw, mechanism)


def test_without_keys_a_claim_is_not_looked_at(short_path: Path) -> None:
    keys, loom = Keys(short_path), Loom()
    keys.client("hmi", Role.ENGINEER)
    settings = ipc_settings(short_path, publish_endpoint="tcp://127.0.0.1:*", request_endpoint="tcp://127.0.0.1:*")
    with Publisher(settings, "loom1", loom) as publisher, connected(publisher, b"NULL") as wire:
        wire.send(4, b"\x05READY" + claim(allowed(keys.clients)["hmi"].public))
        assert wire.receive().startswith(b"\x05READY")
        wire.send(0, BYPASS)
        assert b"client loopback is observer" in wire.receive()
    assert loom.told == []


def ask_over_curve(wire: Wire, keys: ClientKeys, properties: bytes) -> bytes:
    """A command by a client of RFC 26 of ZeroMQ, written with NaCl; its answer."""
    nacl = pytest.importorskip("nacl.bindings", reason="needs pynacl")
    station, own, secret = (z85.decode(key) for key in (keys.server_public, *keys.own))
    short, short_secret = nacl.crypto_box_keypair()

    def numbered(number: int) -> bytes:
        return struct.pack(">Q", number)

    box = nacl.crypto_box(bytes(64), b"CurveZMQHELLO---" + numbered(1), station, short_secret)
    wire.send(4, b"\x05HELLO\x01\x00" + bytes(72) + short + numbered(1) + box)
    welcome = wire.receive()
    assert welcome.startswith(b"\x07WELCOME")
    opened = nacl.crypto_box_open(welcome[24:], b"WELCOME-" + welcome[8:24], station, short_secret)
    station_short, cookie = opened[:32], opened[32:]
    nonce = os.urandom(16)
    vouch = nacl.crypto_box(short + station, b"VOUCH---" + nonce, station_short, secret)
    box = nacl.crypto_box(
        own + nonce + vouch + properties, b"CurveZMQINITIATE" + numbered(2), station_short, short_secret
    )
    wire.send(4, b"\x08INITIATE" + cookie + numbered(2) + box)
    assert wire.receive().startswith(b"\x05READY")
    box = nacl.crypto_box(b"\0" + BYPASS, b"CurveZMQMESSAGEC" + numbered(3), station_short, short_secret)
    wire.send(0, b"\x07MESSAGE" + numbered(3) + box)
    reply = wire.receive()
    while not reply.startswith(b"\x07MESSAGE"):  # heartbeats
        reply = wire.receive()
    return bytes(nacl.crypto_box_open(reply[16:], b"CurveZMQMESSAGES" + reply[8:16], station_short, short_secret))


def test_with_keys_the_authenticator_is_believed_and_not_the_client(short_path: Path) -> None:
    keys, loom = Keys(short_path), Loom()
    observer, engineer = keys.client("observer"), keys.client("engineer", Role.ENGINEER)
    with Publisher(keys.settings(), "loom1", loom) as publisher:
        with connected(publisher, b"CURVE") as wire:
            answer = ask_over_curve(wire, observer, claim(engineer.own.public) * 2)
        assert b"client observer is observer, and bypass needs the role controller" in answer
        assert loom.told == []
        with connected(publisher, b"CURVE") as wire:  # the same client is believed with its own key
            assert b'"is_on":true' in ask_over_curve(wire, engineer, claim(observer.own.public))
    assert loom.told == [("bypass", True, "")]
