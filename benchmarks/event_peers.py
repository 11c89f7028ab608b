"""Peers that mean no good, for the benchmarks and the tests: each a process of its own, until it is killed.

`event_peers.py PEER PUBLISH REQUEST [STATION_PUBLIC OWN_PUBLIC OWN_SECRET]` is one; it says `go` once it has begun.
`at_work` starts them.
"""

from __future__ import annotations

import ctypes
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NoReturn

import zmq

_REPLAY = json.dumps({"request": "replay", "from_seq": 1, "limit": 10_000}).encode()
_MALFORMED = (
    b"",
    b"\xff\x00",
    b"[" * 10_000,
    b'{"request":"roll"}',
    b'{"request":"roll","roll_id":"R","force":true}',
    b'{"request":"bypass","is_on":"yes please"}',
    b'{"request":"acknowledge","request_id":5,"accepted":null}',
    b'{"request":"erase"}',
    json.dumps({"request": "replay", "from_seq": 1, "id": "x" * 20_000}).encode(),
)


@contextmanager
def at_work(publish: str, request: str, *kinds: str, keys: Sequence[bytes] = ()) -> Iterator[None]:
    """Peers of these kinds, begun; one that only waits is stopped (SIGSTOP).

    Args:
        publish: publish endpoint.
        request: request endpoint.
        kinds: names of functions of this module.
        keys: public key of the station, public and secret key of the peer, Z85; none: without CURVE.
    """
    with ExitStack() as stack:
        for kind in kinds:
            command = [sys.executable, __file__, kind, publish, request, *(key.decode() for key in keys)]
            process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            stack.callback(process.communicate)
            stack.callback(process.kill)
            assert process.stdout is not None
            if process.stdout.readline() != "go\n":
                raise RuntimeError(f"the peer {kind} did not begin")
            if kind == "stalled":
                process.send_signal(signal.SIGSTOP)
        yield


class Peer:
    """A peer with its sockets."""

    def __init__(self, publish: str, request: str, keys: list[str]) -> None:
        self.publish, self.request, self._keys = publish, request, [key.encode() for key in keys]
        self._context: zmq.Context[Any] = zmq.Context()

    def connected(self, kind: int, endpoint: str) -> zmq.Socket[Any]:
        """A socket of this kind with the peer's keys."""
        sock: zmq.Socket[Any] = self._context.socket(kind)
        sock.setsockopt(zmq.LINGER, 0)
        if self._keys:
            options = (zmq.CURVE_SERVERKEY, zmq.CURVE_PUBLICKEY, zmq.CURVE_SECRETKEY)
            for option, key in zip(options, self._keys, strict=True):
                sock.setsockopt(option, key)
        if kind == zmq.SUB:
            sock.setsockopt(zmq.SUBSCRIBE, b"")
        sock.connect(endpoint)
        return sock


def go() -> None:
    """Tell the one who started it."""
    print("go", flush=True)


def greedy(peer: Peer) -> NoReturn:
    """Asks for the whole journal again and again on three sockets, forty requests ahead on each, and reads all."""
    socks = [peer.connected(zmq.DEALER, peer.request) for _ in range(3)]
    for sock in socks:
        for _ in range(40):
            sock.send(_REPLAY)
    go()
    while True:
        for sock in socks:
            while sock.poll(5):
                sock.recv_multipart()
                sock.send(_REPLAY)


def deaf(peer: Peer) -> NoReturn:
    """Asks, and never reads a reply: a replay flood against queues."""
    sock = peer.connected(zmq.DEALER, peer.request)
    go()
    while True:
        try:
            sock.send(_REPLAY, zmq.NOBLOCK)
        except zmq.Again:
            time.sleep(0.001)


def stalled(peer: Peer) -> NoReturn:
    """Subscribes, hears the station, and waits to be stopped."""
    sock = peer.connected(zmq.SUB, peer.publish)
    sock.recv_multipart()
    go()
    while True:
        time.sleep(1)


def flooding(peer: Peer) -> NoReturn:
    """Subscribes and unsubscribes as fast as it can, and asks for the state in between."""
    sock, asking = peer.connected(zmq.SUB, peer.publish), peer.connected(zmq.DEALER, peer.request)
    go()
    number = 0
    while True:
        number += 1
        topic = b"loom1" + str(number % 1000).encode()
        sock.setsockopt(zmq.SUBSCRIBE if number % 2 else zmq.UNSUBSCRIBE, topic)
        try:
            asking.send(b'{"request":"status"}', zmq.NOBLOCK)
            while True:
                asking.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            pass


def unlisted(peer: Peer) -> NoReturn:
    """Connects with its keys as fast as it can; the station is to know that they are not, or no longer, allowed."""
    go()
    while True:
        socks = [peer.connected(zmq.DEALER, peer.request) for _ in range(8)]
        time.sleep(0.05)
        for sock in socks:
            sock.close()


def malformed(peer: Peer) -> NoReturn:
    """Sends requests that are none, and commands that are incomplete."""
    sock = peer.connected(zmq.DEALER, peer.request)
    go()
    number = 0
    while True:
        try:
            sock.send(_MALFORMED[number % len(_MALFORMED)], zmq.NOBLOCK)
            number += 1
        except zmq.Again:
            time.sleep(0.001)
        while sock.poll(0):
            sock.recv_multipart()


def pushy(peer: Peer) -> NoReturn:
    """Gives commands that its key may not give."""
    sock = peer.connected(zmq.DEALER, peer.request)
    go()
    number = 0
    while True:
        number += 1
        body = {"request": "bypass", "id": str(number), "is_on": True, "reason": "because", "operator": "nobody"}
        sock.send(json.dumps(body).encode())
        while sock.poll(20):
            sock.recv_multipart()


def huge(peer: Peer) -> NoReturn:
    """Sends messages of 100 MB, over and over; the station hangs up, and it comes again."""
    body = bytes(100_000_000)
    go()
    while True:
        sock = peer.connected(zmq.DEALER, peer.request)
        sock.setsockopt(zmq.SNDHWM, 1)
        sock.send(body, copy=False)
        time.sleep(0.3)
        sock.close()


def foreign(peer: Peer) -> NoReturn:
    """Speaks no ZeroMQ at all."""
    go()
    while True:
        for endpoint in (peer.publish, peer.request):
            host, port = endpoint.removeprefix("tcp://").split(":")
            with socket.create_connection((host, int(port)), timeout=10) as sock:
                sock.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
        time.sleep(0.01)


PEERS = {kind.__name__: kind for kind in (greedy, deaf, stalled, flooding, unlisted, malformed, huge, pushy, foreign)}

_PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # dies with the one who started it, also when stopped
    PEERS[sys.argv[1]](Peer(sys.argv[2], sys.argv[3], sys.argv[4:]))
