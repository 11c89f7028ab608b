"""What the benchmarks of events share: a beat, listeners in processes of their own, figures, the machine.

Times are CLOCK_MONOTONIC, which all processes of a machine share.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import zmq

from glass_edge.events.client import EventClient, Received
from glass_edge.events.curve_keys import ClientKeys, KeyPair
from glass_edge.events.drafts import DraftMaker
from glass_edge.events.payloads import StationState, Status
from glass_edge.events.publisher import Publisher
from glass_edge.events.schema import Draft
from glass_edge.fabric.defect import Defect, DefectPhase, DefectShape
from glass_edge.fabric.geometry import WebBox, WebScale, to_mm
from glass_edge.fabric.roll import Roll

_SCALE = WebScale(mm_per_px=0.1, mm_per_line=0.2)
_ROLL = Roll(roll_id="R-1", style="twill", first_line=0)
_MAKER = DraftMaker(_ROLL, _SCALE, is_simulated=True)
_HUSH_S = 5.0


def numbered(number: int) -> Draft:
    """A small event that carries a number."""
    return _MAKER.status(StationState.READY, roll_lines=number)


def defect(number: int) -> Draft:
    """An event as most are: a defect of 0.8 kB."""
    box = WebBox(left_px=100, right_px=130, first_line=10 * number, end_line=10 * number + 12)
    place = to_mm(box, _SCALE, left_selvedge_px=40, roll_first_line=0)
    return _MAKER.defect(Defect(number, DefectPhase.NEW, DefectShape.POINT, box, place, 1.5, 0.97, 0.8, 3.5))


class Sent(NamedTuple):
    """An event that was sent."""

    number: int
    begun_ns: int
    took_ns: int


def paced(numbers: Sequence[int], hz: float, *send: Callable[[int], object]) -> list[list[Sent]]:
    """Call each of `send` with each number, `hz` times a second, spread over the beat; what each took."""
    sent: list[list[Sent]] = [[] for _ in send]
    step_ns = int(1e9 / hz / len(send))
    next_ns = time.monotonic_ns()
    for number in numbers:
        for which, call in enumerate(send):
            next_ns += step_ns
            time.sleep(max(0, next_ns - time.monotonic_ns()) / 1e9)
            begun_ns = time.monotonic_ns()
            call(number)
            sent[which].append(Sent(number, begun_ns, time.monotonic_ns() - begun_ns))
    return sent


class Figures(NamedTuple):
    """Percentiles, ms."""

    p50_ms: float
    p99_ms: float

    def __str__(self) -> str:
        return f"{self.p50_ms:7.2f} {self.p99_ms:8.2f}"


def figures(values_ns: Sequence[int]) -> Figures:
    """Percentiles by the nearest rank."""
    ordered = sorted(values_ns)

    def rank(share: float) -> float:
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] / 1e6

    return Figures(rank(0.5), rank(0.99))


class Listener:
    """A subscriber in a process of its own; a context manager.

    Args:
        kind: `client` (the client library) or `plain` (a SUB socket alone).
        publish: publish endpoint.
        request: request endpoint, for the client.
        keys: of the client; None: without CURVE.
    """

    def __init__(self, kind: str, publish: str, request: str = "", keys: ClientKeys | None = None) -> None:
        flat = [] if keys is None else [keys.server_public.decode(), *(key.decode() for key in keys.own)]
        self._command = [sys.executable, __file__, kind, publish, request, *flat]
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "go\n":
            raise RuntimeError("the listener did not begin")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def latencies_ns(self, sent: Sequence[Sent]) -> list[int]:
        """From the beginning of the call that sent it to the moment the listener had it, for each of `sent`.

        Waits for the last. The listener goes on.

        Raises:
            RuntimeError: some did not arrive.
        """
        assert self._process is not None
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{sent[-1].number}\n")
        self._process.stdin.flush()
        arrived = {int(number): int(ns) for number, ns in json.loads(self._process.stdout.readline()).items()}
        missing = [one.number for one in sent if one.number not in arrived]
        if missing:
            raise RuntimeError(f"{len(missing)} of {len(sent)} events did not arrive, the first is {missing[0]}")
        return [arrived[one.number] - one.begun_ns for one in sent]


class Delays(NamedTuple):
    """What emitting takes, and the time until the listener has it."""

    emit: Figures
    heard: Figures


def emit_and_hear(publisher: Publisher, listener: Listener, seconds: float, hz: float) -> Delays:
    """Emit at a steady beat for so long."""
    with publisher.journal.reader() as reader:
        first = reader.extent().head  # numbers that were not used
    numbers = range(first, first + int(seconds * hz))
    (sent,) = paced(numbers, hz, lambda number: publisher.emit(numbered(number)))
    return Delays(figures([one.took_ns for one in sent]), figures(listener.latencies_ns(sent)))


def machine(folder: Path) -> str:
    """The machine in a line: processor, load, file system of `folder`, versions."""
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.machine(),
    )
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    real = str(folder.resolve())
    system = max((mount for mount in mounts if real.startswith(mount[1])), key=lambda mount: len(mount[1]))[2]
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    return (
        f"{model}, {os.cpu_count()} cores, load {load}, journal on {system}, Python {platform.python_version()},"
        f" libzmq {zmq.zmq_version()}"
    )


def _number(document: str) -> int:
    payload = json.loads(document)["payload"]
    return int(payload.get("roll_lines", payload.get("defect_id", -1)))


def _listen_as_client(publish: str, request: str, keys: list[str], arrived: dict[int, int]) -> None:
    station, own = (keys[0].encode(), KeyPair(*(key.encode() for key in keys[1:]))) if keys else (b"", None)
    pair = None if own is None else ClientKeys(station, own)
    with EventClient(publish, request, start=0, keys=pair) as client:
        while client.is_behind:
            client.receive(0.05)
        _answer(lambda: _from_client(client, arrived), arrived)


def _from_client(client: EventClient, arrived: dict[int, int]) -> None:
    item = client.receive(0.02)
    if isinstance(item, Received) and isinstance(item.event.payload, Status):
        arrived[item.event.payload.roll_lines] = time.monotonic_ns()


def _listen_plainly(publish: str, arrived: dict[int, int]) -> None:
    sock = zmq.Context.instance().socket(zmq.SUB)
    sock.setsockopt(zmq.SUBSCRIBE, b"")
    sock.connect(publish)

    def receive() -> None:
        if sock.poll(20):
            arrived[_number(sock.recv_multipart()[1].decode())] = time.monotonic_ns()

    _answer(receive, arrived)


def _answer(receive: Callable[[], None], arrived: dict[int, int]) -> None:
    """Receive until a number is asked for and was heard, or nothing came for some seconds; tell all, and go on."""
    print("go", flush=True)
    os.set_blocking(sys.stdin.fileno(), False)
    asked: int | None = None
    deadline_s = 0.0
    while True:
        receive()
        if asked is None and (line := sys.stdin.readline()):
            asked, deadline_s = int(line), time.monotonic() + _HUSH_S
        if asked is not None and (asked in arrived or time.monotonic() > deadline_s):
            print(json.dumps(arrived), flush=True)
            arrived.clear()
            asked = None


if __name__ == "__main__":
    heard: dict[int, int] = {}
    if sys.argv[1] == "plain":
        _listen_plainly(sys.argv[2], heard)
    else:
        _listen_as_client(sys.argv[2], sys.argv[3], sys.argv[4:], heard)
