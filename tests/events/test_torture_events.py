"""Station, adapters and the network between them, killed and cut at random: nothing is lost, doubled or reordered."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tcp_proxy import TcpProxy, free_port

from glass_edge.errors import InputError
from glass_edge.events.curve_keys import allow, make_key_pair
from glass_edge.events.journal_check import verify
from glass_edge.events.journal_reader import JournalReader

sys.path.append(str(Path(__file__).parents[1] / "adapters"))

from torture_adapters import Case, cases

_STILL_S = 120.0
ADAPTERS = Path(__file__).parents[1] / "adapters"
STATION = """
journal = "{folder}/journal.db"
publish_endpoint = "tcp://127.0.0.1:{ports[0]}"
request_endpoint = "tcp://127.0.0.1:{ports[1]}"
beacon_s = 0.3
heartbeat_s = 0.3
[curve]
server_key = "{folder}/keys/loom1.key_secret"
allowed_clients = "{folder}/clients"
"""
ADAPTER = """
adapter = "{kind}"
[source]
station = "loom1"
publish_endpoint = "tcp://127.0.0.1:{ports[0]}"
request_endpoint = "tcp://127.0.0.1:{ports[1]}"
server_key = "{folder}/keys/loom1.key"
client_key = "{folder}/keys/{kind}.key_secret"
[state]
folder = "{folder}/{kind}/state"
[retry]
first_s = 0.02
most_s = 0.2
"""


class Process:
    """A program that is killed and started again.

    Args:
        command: arguments of Python.
        progress: a number that grows while it works.
    """

    def __init__(self, command: list[str], progress: Callable[[], int], log: Path) -> None:
        self._command = command
        self._progress = progress
        self._log = log
        self.child: subprocess.Popen[str] | None = None
        self._before = 0

    def start(self) -> None:
        self._before = self._progress()
        with self._log.open("ab") as log:
            self.child = subprocess.Popen(
                [sys.executable, *self._command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | {"PYTHONPATH": f"{Path.cwd()}:{ADAPTERS}"},
            )

    @property
    def is_at_work(self) -> bool:
        """It has done something since it was started, so that killing it hits work and not only its start."""
        self._require_alive()
        return self._progress() > self._before

    def come_to(self, last: int) -> None:
        """Wait until it has come so far; however slow the machine is, it has to move."""
        before, deadline_s = self._progress(), time.monotonic() + _STILL_S
        while (now := self._progress()) != last:
            self._require_alive()
            if now != before:
                before, deadline_s = now, time.monotonic() + _STILL_S
            assert time.monotonic() < deadline_s, f"stays at {now} of {last}: {self._status()}"
            time.sleep(0.01)

    def _status(self) -> str:
        files = sorted(self._log.parent.glob(f"{self._log.stem}/state/status.json"))
        return "".join(path.read_text() for path in (*files, self._log))

    def _require_alive(self) -> None:
        assert self.child is not None
        assert self.child.poll() is None, self._log.read_text()

    def kill(self) -> None:
        if self.child is not None:
            self.child.kill()
            self.child.communicate()
            self.child = None

    def end(self) -> int:
        """SIGTERM, and its exit code."""
        assert self.child is not None
        self.child.terminate()
        self.child.communicate(timeout=60)
        return self.child.returncode


class Mill:
    """All the processes."""

    def __init__(self, folder: Path, adapters: list[Case], proxy: TcpProxy, ports: tuple[int, int], seed: int) -> None:
        self.folder = folder
        offsets = [folder / case.kind / "state/offset.json" for case in adapters]
        make_key_pair(folder / "keys", "loom1")
        for case in adapters:
            _, public = make_key_pair(folder / "keys", case.kind)
            allow(public, folder / "clients")
            text = ADAPTER.format(kind=case.kind, ports=proxy.ports, folder=folder) + case.settings()
            (folder / f"{case.kind}.toml").write_text(text)
        (folder / "station.toml").write_text(STATION.format(folder=folder, ports=ports))
        script = str(Path(__file__).with_name("torture_station.py"))
        command = [script, str(folder / "station.toml"), str(seed), *map(str, offsets)]
        self.station = Process(command, self.head, folder / "station.log")
        self.adapters = {
            case.kind: Process(
                ["-m", "glass_edge.cli", "adapter", case.kind, "--config", str(folder / f"{case.kind}.toml")],
                lambda offset=offset: place(offset),
                folder / f"{case.kind}.log",
            )
            for case, offset in zip(adapters, offsets, strict=True)
        }

    def documents(self) -> list[str]:
        with JournalReader(self.folder / "journal.db") as reader:
            return [stored.document for stored in reader.read(1, 1_000_000).events]

    def head(self) -> int:
        try:
            with JournalReader(self.folder / "journal.db") as reader:
                return reader.extent().head
        except InputError:  # not made yet
            return 0

    def processes(self) -> dict[str, Process]:
        return {"station": self.station, **self.adapters}

    @contextmanager
    def running(self) -> Iterator[None]:
        try:
            for process in self.processes().values():
                process.start()
            yield
        finally:
            for process in self.processes().values():
                process.kill()


def place(offset: Path) -> int:
    return int(json.loads(offset.read_text())["seq"]) if offset.exists() else 0


def strike(mill: Mill, proxy: TcpProxy, fault: str, chance: random.Random) -> None:
    """One fault; it is over, and what died lives again, when this returns."""
    processes = mill.processes()
    if fault in processes:
        processes[fault].kill()
        time.sleep(chance.uniform(0, 0.2))
        processes[fault].start()
    elif fault == "proxy":
        proxy.kill()
        time.sleep(chance.uniform(0, 0.2))
        proxy.start()
    elif fault == "cut":
        proxy.tell("cut")
    else:
        proxy.tell(f"delay {chance.uniform(0.05, 0.2)}" if fault == "delay" else fault)
        time.sleep(chance.uniform(0.1, 0.5))
        proxy.tell("flow")


def torture(folder: Path, strikes: int, seed: int, network: tuple[str, ...]) -> tuple[Counter[str], int]:
    """Strike so often, let all come to rest, and compare; the faults by name and the number of events."""
    chance = random.Random(seed)
    struck: Counter[str] = Counter()
    ports = free_port(), free_port()
    with TcpProxy(*ports) as proxy, cases(folder, seed) as adapters:
        mill = Mill(folder, adapters, proxy, ports, seed)
        with mill.running():
            while struck.total() < strikes:
                at_work = [name for name, process in mill.processes().items() if process.is_at_work]
                fault = chance.choice([*at_work, *at_work, *network]) if at_work else "wait"
                if fault != "wait":
                    strike(mill, proxy, fault, chance)
                    struck[fault] += 1
                time.sleep(chance.uniform(0, 0.5))
            assert mill.station.child is not None
            assert mill.station.child.stdout is not None
            assert mill.station.child.stdout.readline() == "ready\n"
            mill.station.child.terminate()
            head = int(mill.station.child.stdout.readline())
            for adapter in mill.adapters.values():
                adapter.come_to(head)
            assert {kind: process.end() for kind, process in mill.adapters.items()} == dict.fromkeys(mill.adapters, 0)
        journal = mill.documents()
        assert [json.loads(text)["seq"] for text in journal] == list(range(1, head + 1))
        assert verify(folder / "journal.db").is_whole
        for case in adapters:
            case.check(journal)
    return struck, head


def test_twenty_strikes_lose_double_and_reorder_nothing(short_path: Path) -> None:
    struck, head = torture(short_path, strikes=20, seed=1, network=("proxy", "cut", "stall", "delay"))
    assert struck.total() == 20
    assert head > 100


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", [2, 3])
def test_two_hundred_strikes_lose_double_and_reorder_nothing(short_path: Path, seed: int) -> None:
    struck, head = torture(short_path, strikes=200, seed=seed, network=("proxy", "cut", "stall", "delay", "hole"))
    assert struck.total() == 200
    assert min(struck[name] for name in ("station", "files", "webhook", "proxy", "cut", "hole")) >= 5
    assert head > 1000
