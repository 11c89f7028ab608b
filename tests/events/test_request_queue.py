"""Requests that wait: bounds, turns, and peers that fill the queue and hang up."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from events_support import ipc_settings, numbered
from hypothesis import given
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[2] / "benchmarks"))

import event_peers

from glass_edge.events.publisher import Publisher
from glass_edge.events.request_queue import MOST_A_PEER, RequestQueue
from glass_edge.events.requester import request_status


class Piece(NamedTuple):
    """A frame."""

    bytes: bytes

    def __len__(self) -> int:
        return len(self.bytes)


def request(peer: int, number: int, size: int = 1) -> list[Piece]:
    return [Piece(b"%d" % peer), Piece(b"%d" % number + b" " * size)]


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=80))
def test_each_peer_has_a_bound_an_order_and_its_turn(steps: list[tuple[int, bool]]) -> None:
    queue: RequestQueue[Piece] = RequestQueue(most_a_peer=3)
    waiting: dict[int, list[int]] = {}  # in the order of turns
    for number, (peer, is_put) in enumerate(steps):
        if is_put:
            queue.put(request(peer, number))
            held = waiting.setdefault(peer, [])
            if len(held) < 3:
                held.append(number)
        elif waiting:
            first = next(iter(waiting))
            wanted = waiting[first].pop(0)
            rest = waiting.pop(first)
            if rest:
                waiting[first] = rest
            assert queue.take() == request(first, wanted)
        else:
            assert queue.take() is None
        assert len(queue) == sum(map(len, waiting.values()))
    queue.clear()
    assert queue.take() is None


def test_all_peers_together_have_a_bound_in_bytes() -> None:
    queue: RequestQueue[Piece] = RequestQueue(most_bytes=10_000)
    for peer in range(1000):
        queue.put(request(peer, 0, size=1000))
    assert 7 <= len(queue) <= 9
    while queue.take() is not None:
        pass
    queue.put(request(1, 0, size=9000))  # there is room again
    assert len(queue) == 1


def test_a_flood_is_what_comes_within_a_second() -> None:
    queue: RequestQueue[Piece] = RequestQueue(most_a_peer=1)

    def drop(count: int) -> None:
        for _ in range(count):
            queue.put(request(1, 0))

    drop(4001)
    assert not queue.is_flooded(10.0)
    drop(4000)
    assert not queue.is_flooded(11.5)  # a slow trickle
    drop(4000)
    assert not queue.is_flooded(11.6)
    drop(4000)
    assert queue.is_flooded(11.7)
    assert not queue.is_flooded(11.8)


STATION = """
import sys
from pathlib import Path
from events_support import MAKER, ipc_settings
from glass_edge.events.publisher import Publisher

tcp = {"publish_endpoint": "tcp://127.0.0.1:*", "request_endpoint": "tcp://127.0.0.1:*"}
with Publisher(ipc_settings(Path(sys.argv[1]), **tcp, reply_mb_per_s=0.5, heartbeat_s=0.2), "loom1") as publisher:
    publisher.emit_all([MAKER.coverage_gap(1, 2, "overrun", detail="x" * 1500) for _ in range(1000)])
    print(publisher.request_endpoint, flush=True)
    sys.stdin.read()
"""


@contextmanager
def station(folder: Path) -> Iterator[str]:
    """A station in a process of its own, since what is tested for would end it; where it takes requests."""
    environment = {"PYTHONPATH": f"{Path(__file__).parent}:{Path.cwd()}"}
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STATION), str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
        process.communicate("", timeout=30)
        assert process.returncode == 0, signal.strsignal(-process.returncode)
    finally:
        process.kill()
        process.communicate()


GREETING = b"\xff" + bytes(8) + b"\x7f\x03\x01NULL" + bytes(16) + b"\x00" + bytes(31)
READY = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER"
PING = b"\x04PING\x00\x0a"


def dealer(endpoint: str) -> socket.socket:
    """ZMTP 3.1 (RFC 37) by hand: a DEALER that has shaken hands."""
    host, port = endpoint.removeprefix("tcp://").split(":")
    sock = socket.create_connection((host, int(port)), timeout=30)
    sock.sendall(GREETING + b"\x04" + bytes([len(READY)]) + READY)
    return sock


def message(body: bytes) -> bytes:
    return b"\x02" + len(body).to_bytes(8, "big") + body


def test_a_peer_that_fills_its_queue_with_a_heartbeat_behind_and_hangs_up_ends_nobody(short_path: Path) -> None:
    """libzmq aborts the process of a socket whose own queue has a bound."""
    replay = message(b'{"request":"replay","from_seq":1,"limit":1000}')
    with station(short_path) as ask:
        for _ in range(5):
            with dealer(ask) as sock:
                sock.sendall(replay * (MOST_A_PEER + 16) + b"\x04" + bytes([len(PING)]) + PING + replay * 3)
                time.sleep(0.1)
        assert request_status(ask, timeout_s=60.0).head == 1000


def test_a_flood_costs_those_who_ask_a_second_and_one_line_of_log(
    short_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        with event_peers.at_work(publisher.publish_endpoint, publisher.request_endpoint, "deaf"):
            until_s = time.monotonic() + 4.0
            while time.monotonic() < until_s:
                publisher.emit(numbered(1))
                time.sleep(0.02)
        assert request_status(publisher.request_endpoint, timeout_s=30.0).published > 0
    told = Counter(record.getMessage() for record in caplog.records)
    assert told == {"a client floods the request socket; it is closed for 1 s each time": 1}
