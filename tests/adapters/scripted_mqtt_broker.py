"""A broker that answers each packet as a test says, for answers that no well-kept broker gives on demand."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

CONNECT, CONNACK, PUBLISH, PUBACK, SUBSCRIBE, SUBACK, DISCONNECT = 1, 2, 3, 4, 8, 9, 14
Answer = Callable[[int, bytes], bytes | None]
"""Packet type and body; the answer's bytes (empty: none), or None to close."""


def _length(data: bytes) -> bytes:
    """A variable byte integer (MQTT 5.0, 1.5.5)."""
    value, out = len(data), bytearray()
    while True:
        value, digit = divmod(value, 128)
        out.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(out)


def packet(kind: int, body: bytes) -> bytes:
    return bytes([kind << 4]) + _length(body) + body


def connack(reason: int = 0, properties: bytes = b"") -> bytes:
    return packet(CONNACK, bytes([0, reason]) + _length(properties) + properties)


def string(identifier: int, text: str) -> bytes:
    """A property that is a string."""
    return bytes([identifier]) + struct.pack("!H", len(text)) + text.encode()


def puback(body: bytes, reason: int = 0, properties: bytes = b"") -> bytes:
    """The acknowledgement of a PUBLISH body."""
    (topic_bytes,) = struct.unpack_from("!H", body)
    identifier = body[2 + topic_bytes : 4 + topic_bytes]
    return packet(PUBACK, identifier + bytes([reason]) + _length(properties) + properties)


def topic_of(body: bytes) -> str:
    (topic_bytes,) = struct.unpack_from("!H", body)
    return body[2 : 2 + topic_bytes].decode()


def good(kind: int, body: bytes) -> bytes:
    """What a broker answers that takes everything."""
    if kind == CONNECT:
        return connack()
    if kind == SUBSCRIBE:
        return packet(SUBACK, body[:2] + b"\0" + b"\0")
    return puback(body) if kind == PUBLISH else b""


class ScriptedBroker:
    """Listens and answers; a context manager. `seen` holds the packets that came, and "closed" for ends."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.seen: list[tuple[int, bytes]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._thread = threading.Thread(target=self._accept, daemon=True)

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> ScriptedBroker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in self._connections:
            connection.close()
        self._thread.join(10)

    def kinds(self) -> list[int]:
        return [kind for kind, _ in self.seen]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection, connection.makefile("rb") as stream:
            while head := stream.read(1):
                length, shift = 0, 0
                while True:
                    digit = stream.read(1)[0]
                    length |= (digit & 0x7F) << shift
                    shift += 7
                    if not digit & 0x80:
                        break
                body = stream.read(length)
                self.seen.append((head[0] >> 4, body))
                said = self.answer(head[0] >> 4, body)
                if said is None:
                    connection.shutdown(socket.SHUT_RDWR)
                    return
                connection.sendall(said)
