"""What the journal costs: events a second, and from the finding to the subscriber, beside a PUB socket without journal.

    python benchmarks/events.py [--seconds 5] [--rounds 3] [--folder FOLDER] [--json]

Both publish the same documents in turn in one run, to subscribers in processes of their own; FOLDER is where the
journal lies (the disk decides). `--folder` on the disk of the station gives its figures.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import event_peers
import zmq
from event_timing import Figures, Listener, defect, emit_and_hear, figures, machine, numbered, paced

from glass_edge.config.events import EventSettings
from glass_edge.events.publisher import Publisher

_HZ = 100.0
_BATCH = 20


class Plain:
    """A PUB socket that sends the same documents without keeping them."""

    def __init__(self, folder: Path, publisher: Publisher) -> None:
        self.endpoint = f"ipc://{folder}/plain"
        self._publisher = publisher
        self._sock: zmq.Socket[Any] = zmq.Context.instance().socket(zmq.XPUB)  # PUB, and tells of subscribers
        self._sock.bind(self.endpoint)
        self._event = publisher.emit(numbered(0))

    def wait_for_subscriber(self) -> None:
        """Return once one is there."""
        self._sock.recv()

    def send(self, number: int) -> None:
        """Send event `number`."""
        self._send(self._event.model_copy(update={"payload": numbered(number).payload}).to_json())

    def send_defect(self, number: int) -> None:
        """Send a defect."""
        draft = defect(number)
        self._send(self._event.model_copy(update={"kind": draft.kind, "payload": draft.payload}).to_json())

    def _send(self, document: str) -> None:
        self._sock.send_multipart([b"loom1", document.encode()])


def settings(folder: Path, reply_mb_per_s: float = 8.0) -> EventSettings:
    """A station's in `folder`."""
    return EventSettings(
        journal=folder / "journal",
        publish_endpoint=f"ipc://{folder}/pub",
        request_endpoint=f"ipc://{folder}/req",
        beacon_s=0.2,
        reply_mb_per_s=reply_mb_per_s,
    )


def a_second(call: Callable[[int], object], seconds: float, events_a_call: int = 1) -> float:
    """Events a second."""
    started_s, calls = time.monotonic(), 0
    while time.monotonic() - started_s < seconds:
        calls += 1
        call(calls)
    return calls * events_a_call / (time.monotonic() - started_s)


def fsync_ns(folder: Path, count: int = 200) -> list[int]:
    """What the disk takes for a kilobyte and an fdatasync."""
    times = []
    fd = os.open(folder / "fsync", os.O_WRONLY | os.O_CREAT)
    for _ in range(count):
        begun_ns = time.monotonic_ns()
        os.write(fd, bytes(1024))
        os.fdatasync(fd)
        times.append(time.monotonic_ns() - begun_ns)
    os.close(fd)
    return times


def throughput(folder: Path, seconds: float, rounds: int) -> dict[str, float]:
    """Events a second of each way, the median of the rounds."""
    found: dict[str, list[float]] = {"emit": [], f"emit_all of {_BATCH}": [], "plain PUB": []}
    with Publisher(settings(folder), "loom1") as publisher:
        plain = Plain(folder, publisher)
        for _ in range(rounds):
            found["emit"].append(a_second(lambda number: publisher.emit(defect(number)), seconds))
            batches = a_second(lambda number: publisher.emit_all([defect(number)] * _BATCH), seconds, _BATCH)
            found[f"emit_all of {_BATCH}"].append(batches)
            found["plain PUB"].append(a_second(plain.send_defect, seconds))
    return {name: statistics.median(values) for name, values in found.items()}


def latency(folder: Path, seconds: float, rounds: int) -> dict[str, Figures]:
    """From the call to the subscriber at 100 events/s, journaled and plain in turn; and what emit takes."""
    found: dict[str, list[int]] = {"journaled": [], "plain PUB": [], "emit": []}
    with ExitStack() as stack:
        publisher = stack.enter_context(Publisher(settings(folder), "loom1"))
        plain = Plain(folder, publisher)
        client = stack.enter_context(Listener("client", publisher.publish_endpoint, publisher.request_endpoint))
        plain_listener = stack.enter_context(Listener("plain", plain.endpoint))
        plain.wait_for_subscriber()
        count = int(seconds * _HZ)
        for turn in range(rounds):
            numbers = range(1 + turn * count, 1 + (turn + 1) * count)
            kept, sent = paced(numbers, _HZ, lambda number: publisher.emit(numbered(number)), plain.send)
            found["journaled"] += client.latencies_ns(kept)
            found["plain PUB"] += plain_listener.latencies_ns(sent)
            found["emit"] += [one.took_ns for one in kept]
    return {name: figures(values) for name, values in found.items()}


def greedy(folder: Path, seconds: float) -> dict[str, Figures]:
    """Latency of events alone, and beside a client that asks for the whole journal on, with and without a budget."""
    found = {}
    for name, mb_per_s in (("budget of 8 MB/s", 8.0), ("budget of 1000 MB/s: none", 1000.0)):
        place = folder / f"greedy-{mb_per_s:g}"
        place.mkdir()
        with Publisher(settings(place, mb_per_s), "loom1") as publisher:
            for _ in range(20):
                publisher.emit_all([defect(number + 1) for number in range(100)])
            ends = publisher.publish_endpoint, publisher.request_endpoint
            with Listener("client", *ends) as client:
                alone = emit_and_hear(publisher, client, seconds, _HZ)
                with event_peers.at_work(*ends, "greedy"):
                    beside = emit_and_hear(publisher, client, seconds, _HZ)
        found |= {f"{name}, alone": alone.heard, f"{name}, beside it": beside.heard}
        found |= {f"{name}, emit alone": alone.emit, f"{name}, emit beside it": beside.emit}
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ge-", dir=options.folder) as name:
        folder = Path(name)
        before = machine(folder)
        fsync = figures(fsync_ns(folder))
        (folder / "a").mkdir()
        (folder / "b").mkdir()
        rates = throughput(folder / "a", options.seconds, options.rounds)
        delays = latency(folder / "b", options.seconds, options.rounds)
        beside = greedy(folder, options.seconds)
    if options.json:
        document = {"machine": before, "fdatasync": fsync, "per_s": rates, "latency": delays, "greedy": beside}
        print(json.dumps(document, indent=2))
        return
    print(before)
    print(f"{'1 kB and fdatasync, ms p50 p99':34} {fsync}")
    for way, value in rates.items():
        print(f"{way + ', events/s':34} {value:7.0f}   {rates['plain PUB'] / value:6.2f} times slower than plain PUB")
    plain = delays["plain PUB"]
    for way, delay in delays.items():
        print(f"{way + ', 100 events/s, ms p50 p99':34} {delay}   {delay.p50_ms / plain.p50_ms:6.2f} times plain PUB")
    for way, delay in beside.items():
        print(f"{way + ', ms p50 p99':46} {delay}")


if __name__ == "__main__":
    main()
