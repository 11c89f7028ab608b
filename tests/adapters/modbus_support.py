"""What the Modbus tests share: a station to command, raw frames, and a client that reads values by their names."""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from adapters_support import SCALE

from glass_edge.adapters.modbus_codec import Coding, Value
from glass_edge.adapters.modbus_map import BY_NAME, FLAGS
from glass_edge.events.drafts import DraftMaker
from glass_edge.events.errors import RequestRefusedError
from glass_edge.events.journal_reader import JournalReader
from glass_edge.events.parsing import parse_event
from glass_edge.events.schema import Draft, Event
from glass_edge.fabric.roll import Roll

needs_mbpoll = pytest.mark.skipif(shutil.which("mbpoll") is None, reason="needs mbpoll, of the Debian package mbpoll")


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def frame(body: bytes, transaction: int = 1, unit: int = 1, protocol: int = 0) -> bytes:
    return struct.pack(">HHHB", transaction, protocol, len(body) + 1, unit) + body


def read_request(address: int, count: int, function: int = 3) -> bytes:
    return struct.pack(">BHH", function, address, count)


def write_request(address: int, words: Sequence[int]) -> bytes:
    return struct.pack(">BHHB", 16, address, len(words), 2 * len(words)) + struct.pack(f">{len(words)}H", *words)


class Wire:
    """A connection, frame by frame; written from the specification, not from the library."""

    def __init__(self, port: int, timeout_s: float = 10.0, host: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection((host, port), timeout_s)

    def close(self) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self) -> tuple[int, int, bytes]:
        """Transaction, unit and body of the next answer; EOFError when the server hung up."""
        transaction, protocol, size, unit = struct.unpack(">HHHB", self._exactly(7))
        assert protocol == 0
        return transaction, unit, self._exactly(size - 1)

    def ask(self, body: bytes, unit: int = 1) -> bytes:
        self.send(frame(body, 77, unit))
        transaction, answered_unit, answer = self.receive()
        assert (transaction, answered_unit) == (77, unit)
        return answer

    def words(self, address: int, count: int, function: int = 3) -> tuple[int, ...]:
        answer = self.ask(read_request(address, count, function))
        assert answer[:2] == bytes([function, 2 * count]), answer.hex()
        return struct.unpack(f">{count}H", answer[2:])

    def value(self, name: str) -> Value:
        one = BY_NAME[name]
        return Coding().decode(one, self.words(one.address, one.size))

    def flags(self) -> set[str]:
        bits = self.value("flags")
        assert isinstance(bits, int)
        return {name for bit, (name, _) in enumerate(FLAGS) if bits >> bit & 1}

    def write(self, name: str, value: Value) -> None:
        one = BY_NAME[name]
        self.write_words(one.address, Coding().encode(one, value))

    def write_words(self, address: int, words: Sequence[int]) -> None:
        answer = self.ask(write_request(address, words))
        assert answer == struct.pack(">BHH", 16, address, len(words)), answer.hex()

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data


@contextmanager
def wire(port: int, timeout_s: float = 10.0) -> Iterator[Wire]:
    one = Wire(port, timeout_s)
    try:
        yield one
    finally:
        one.close()


def is_hung_up(one: Wire) -> bool:
    """The server closed the connection."""
    try:
        return one.socket.recv(1) == b""
    except ConnectionError:
        return True


def mbpoll(port: int, *options: str, values: Sequence[int] = ()) -> subprocess.CompletedProcess[str]:
    """One poll, or one write of `values`, of Debian's Modbus master; addresses count from 0."""
    command = ["mbpoll", "-m", "tcp", "-0", "-1", "-p", str(port), *options, "127.0.0.1", *map(str, values)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


class Loom:
    """A station that can be commanded."""

    def __init__(self) -> None:
        self.done: list[tuple[object, ...]] = []

    def change_roll(self, roll_id: str) -> int:
        self.done.append(("roll", roll_id))
        return 0

    def change_recipe(self, style: str, version: str | None) -> str:
        if style == "velvet":
            raise RequestRefusedError("no engine of style velvet is installed")
        self.done.append(("recipe", style, version))
        return version or "newest"

    def set_bypass(self, is_on: bool, reason: str) -> None:
        self.done.append(("bypass", is_on, reason))


def stop_draft(request_id: str = "stop-1") -> Draft:
    maker = DraftMaker(Roll(roll_id="R-1", style="twill", first_line=0), SCALE, is_simulated=True)
    return maker.stop_request(request_id, "a hole", defect_id=2, along_mm=12.5, across_mm=None, cause="hole")


def journal_of(folder: Path, name: str = "journal.db") -> list[Event]:
    reader = JournalReader(folder / name)
    try:
        return [parse_event(stored.document) for stored in reader.read(1, 10_000).events]
    finally:
        reader.close()
