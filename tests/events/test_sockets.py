"""Greedy and frozen peers, in processes of their own."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import zmq
from events_support import MAKER, eventually, ipc_settings, numbered
from hypothesis import given
from hypothesis import strategies as st

from glass_edge.events.publisher import Publisher
from glass_edge.events.reply_budget import LEAST_BYTES, ReplyBudget
from glass_edge.events.requester import request_status
from glass_edge.events.socket_options import set_common

GREEDY = """
import json, sys, time
import zmq
context = zmq.Context()
socks = []
for _ in range(3):
    sock = context.socket(zmq.DEALER)
    sock.connect(sys.argv[1])
    socks.append(sock)
ask = json.dumps({"request": "replay", "from_seq": 1, "limit": 10000}).encode()
small = json.dumps({"request": "snapshot"}).encode()
for sock in socks:
    for _ in range(40):
        sock.send(ask)
        sock.send(small)
received, started = 0, time.monotonic()
print("go", flush=True)
while time.monotonic() < started + float(sys.argv[2]):
    for sock in socks:
        while sock.poll(5):
            received += sum(len(frame) for frame in sock.recv_multipart())
            sock.send(ask)
print(received, flush=True)
context.destroy(linger=0)
"""


@contextmanager
def other_process(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@given(
    st.floats(1e5, 1e8),
    st.lists(st.tuples(st.floats(0, 2), st.integers(0, 2_000_000)), min_size=1, max_size=60),
)
def test_the_budget_bounds_what_is_granted(rate: float, asked: list[tuple[float, int]]) -> None:
    budget = ReplyBudget(rate, 0.0)
    now_s = 0.0
    granted, largest = 0, 0
    for pause_s, size in asked:
        now_s += pause_s
        if budget.wait_s(now_s) == 0:
            budget.spend(size)
            granted += max(size, LEAST_BYTES)
            largest = max(largest, size, LEAST_BYTES)
        assert granted <= rate * (now_s + 0.25) * (1 + 1e-9) + largest + 1


def test_waiting_as_long_as_told_is_enough() -> None:
    budget = ReplyBudget(1e6, 10.0)
    budget.spend(3_000_000)
    wait_s = budget.wait_s(10.0)
    assert wait_s == pytest.approx(2.75)
    assert budget.wait_s(10.0 + wait_s + 1e-9) == 0


def test_a_greedy_client_gets_its_share_and_others_are_served(short_path: Path) -> None:
    """Rate and service are tested; latencies of a shared machine are not."""
    rate_mb = 2.0
    with Publisher(ipc_settings(short_path, reply_mb_per_s=rate_mb), "loom1") as publisher:
        for _ in range(5):
            publisher.emit_all([MAKER.coverage_gap(1, 2, "overrun", detail="x" * 1500) for _ in range(200)])
        context: zmq.Context[Any] = zmq.Context()
        sock: zmq.Socket[Any] = context.socket(zmq.SUB)
        sock.setsockopt(zmq.SUBSCRIBE, b"")
        sock.setsockopt(zmq.RCVTIMEO, 30_000)
        sock.connect(publisher.publish_endpoint)
        sock.recv_multipart()
        duration_s = 5.0
        with other_process(GREEDY, publisher.request_endpoint, duration_s) as greedy:
            assert greedy.stdout is not None
            assert greedy.stdout.readline() == "go\n"
            started_s = time.monotonic()
            emitted = 0
            while time.monotonic() < started_s + 3:
                emitted += 1
                publisher.emit(numbered(emitted))
                time.sleep(0.005)
                if emitted % 100 == 1:
                    request_status(publisher.request_endpoint, timeout_s=10.0)  # one behind the others' forty
            heard = 0
            while heard < emitted:
                heard += sock.recv_multipart()[0] == b"loom1"
            received = int(greedy.stdout.readline())
        context.destroy(linger=0)
        # two more megabytes: a reply under way, and the burst
        assert 0 < received <= rate_mb * 1e6 * (duration_s + 2.0) + 2e6


def test_a_frozen_client_is_cut_off(short_path: Path) -> None:
    """A stopped process answers no heartbeat; the system still acknowledges its tcp."""
    client = """
        import sys, zmq
        context = zmq.Context()
        sock = context.socket(zmq.SUB)
        sock.setsockopt(zmq.SUBSCRIBE, b"")
        sock.connect(sys.argv[1])
        sock.recv_multipart()
        print("here", flush=True)
        sock.recv_multipart()
        input()
    """
    settings = ipc_settings(
        short_path, publish_endpoint="tcp://127.0.0.1:*", request_endpoint="tcp://127.0.0.1:*", heartbeat_s=0.2
    )
    with Publisher(settings, "loom1") as publisher, other_process(client, publisher.publish_endpoint) as frozen:
        port = int(publisher.publish_endpoint.rsplit(":", 1)[1])
        assert frozen.stdout is not None
        assert frozen.stdout.readline() == "here\n"
        assert connections(port) == 1
        frozen.send_signal(signal.SIGSTOP)
        eventually(lambda: connections(port) == 0, "the frozen client is cut off")
        frozen.send_signal(signal.SIGCONT)


def connections(port: int) -> int:
    """Established connections that this process holds on its local tcp `port`."""
    mine = set()
    for link in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            mine.add(str(link.readlink()))
    found = 0
    for line in Path("/proc/self/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        is_ours = f"socket:[{fields[9]}]" in mine and int(fields[1].split(":")[1], 16) == port
        found += is_ours and fields[3] == "01"
    return found


def test_a_client_that_says_nothing_is_hung_up_on(short_path: Path) -> None:
    settings = ipc_settings(short_path, publish_endpoint="tcp://127.0.0.1:*", request_endpoint="tcp://127.0.0.1:*")
    with Publisher(settings, "loom1") as publisher:
        host, port = publisher.request_endpoint.removeprefix("tcp://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as raw:
            while raw.recv(1024):  # the greeting, then the end: nothing was said within the time for a handshake
                pass


@pytest.mark.parametrize("heartbeat_s", [0.0, 0.2])
def test_a_peer_that_answers_no_heartbeat_stays_only_where_there_are_none(short_path: Path, heartbeat_s: float) -> None:
    settings = ipc_settings(
        short_path, publish_endpoint="tcp://127.0.0.1:*", request_endpoint="tcp://127.0.0.1:*", heartbeat_s=heartbeat_s
    )
    with Publisher(settings, "loom1") as publisher:
        port = int(publisher.publish_endpoint.rsplit(":", 1)[1])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as raw:
            # greeting of ZMTP 3.0 (RFC 23), NULL mechanism, then READY of a SUB socket; nothing after it
            raw.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31))
            properties = b"\x0bSocket-Type\x00\x00\x00\x03SUB"
            ready = b"\x05READY" + properties
            raw.sendall(b"\x04" + bytes([len(ready)]) + ready)
            if heartbeat_s:
                while raw.recv(1024):  # until the station hangs up
                    pass
            else:
                time.sleep(2.0)
                assert connections(port) == 1


def test_tcp_keepalive_and_bounds_are_set() -> None:
    context: zmq.Context[Any] = zmq.Context()
    sock: zmq.Socket[Any] = context.socket(zmq.ROUTER)
    set_common(sock, send_queue=7, receive_queue=8, max_message_bytes=99, heartbeat_s=2.0, tcp_keepalive_s=9.0)
    names = ("SNDHWM", "RCVHWM", "MAXMSGSIZE", "HEARTBEAT_IVL", "HEARTBEAT_TIMEOUT", "TCP_KEEPALIVE")
    assert [sock.getsockopt(getattr(zmq, name)) for name in names] == [7, 8, 99, 2000, 6000, 1]
    assert sock.getsockopt(zmq.TCP_KEEPALIVE_IDLE) == 9
    assert sock.getsockopt(zmq.TCP_KEEPALIVE_INTVL) == 3
    assert sock.getsockopt(zmq.TCP_KEEPALIVE_CNT) == 3
    context.destroy(linger=0)
