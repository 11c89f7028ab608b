"""The proxy of the tests does to a connection what it is told."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from tcp_proxy import TcpProxy, free_port


@contextlib.contextmanager
def echo() -> Iterator[int]:
    """A server that sends back what it gets."""

    def serve(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            while data := sock.recv(1 << 16):
                sock.sendall(data)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def answer(sock: socket.socket, data: bytes) -> bytes:
    sock.sendall(data)
    got = b""
    while len(got) < len(data):
        piece = sock.recv(1 << 16)
        if not piece:
            break
        got += piece
    return got


def is_silent(sock: socket.socket) -> bool:
    sock.settimeout(0.3)
    try:
        return sock.recv(1) is None
    except TimeoutError:
        return True
    finally:
        sock.settimeout(30)


def test_it_forwards_whole_and_late_and_after_a_stall() -> None:
    data = bytes(range(256)) * 2000
    with echo() as target, TcpProxy(target) as proxy, dial(proxy.ports[0]) as sock:
        assert answer(sock, data) == data
        proxy.tell("delay 0.2")
        started_s = time.monotonic()
        assert answer(sock, b"late") == b"late"
        assert time.monotonic() - started_s >= 0.4  # there and back
        proxy.tell("stall")
        sock.sendall(b"held")
        assert is_silent(sock)
        proxy.tell("flow")
        assert sock.recv(4) == b"held"


def test_a_cut_and_a_kill_are_noticed_and_new_connections_are_sound() -> None:
    with echo() as target, TcpProxy(target) as proxy:
        with dial(proxy.ports[0]) as sock:
            assert answer(sock, b"a") == b"a"
            proxy.tell("cut")
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        with dial(proxy.ports[0]) as sock:
            assert answer(sock, b"b") == b"b"
            proxy.kill()
            with contextlib.suppress(ConnectionResetError):
                assert sock.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            dial(proxy.ports[0])
        proxy.start()
        with dial(proxy.ports[0]) as sock:
            assert answer(sock, b"c") == b"c"


def test_what_falls_into_the_hole_stays_there() -> None:
    with echo() as target, TcpProxy(target) as proxy, dial(proxy.ports[0]) as before:
        assert answer(before, b"a") == b"a"
        proxy.tell("hole")
        with dial(proxy.ports[0]) as during:
            for sock in (before, during):
                sock.sendall(b"lost")
                assert is_silent(sock)
            proxy.tell("flow")
            for sock in (before, during):
                sock.sendall(b"lost too")
                assert is_silent(sock)
        with dial(proxy.ports[0]) as after:
            assert answer(after, b"d") == b"d"


def test_a_target_that_is_not_there_is_a_connection_that_ends() -> None:
    with TcpProxy(free_port()) as proxy, dial(proxy.ports[0]) as sock, contextlib.suppress(ConnectionResetError):
        assert sock.recv(1) == b""
