"""The MQTT adapter and its broker, killed again and again: what a reader got against the station's journal."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from adapters_support import eventually, idle_draft, ipc_settings, offset_seq, roll_drafts
from mosquitto_server import Mosquitto, Subscriber, needs_mosquitto, retained

pytest.importorskip("aiomqtt")

from mqtt_support import BASE, adapter_file

from glass_edge.events.publisher import Publisher
from glass_edge.events.schema import Event

pytestmark = needs_mosquitto
_MOST_AHEAD = 100


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "glass_edge.cli", "adapter", "mqtt", "--config", str(folder / "mqtt.toml")]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(Path.cwd())})


def documents(reader: Subscriber) -> list[dict[str, Any]]:
    """Events in the order they came, repetitions included."""
    return [
        one["payload"] for one in reader.messages() if isinstance(one["payload"], dict) and "kind" in one["payload"]
    ]


class Weaver(threading.Thread):
    """Emits rolls, a few events at a time, never far ahead of the adapter."""

    def __init__(self, folder: Path, publisher: Publisher, chance: random.Random) -> None:
        super().__init__()
        self.ended = threading.Event()
        self.events: list[Event] = []
        self._folder = folder
        self._publisher = publisher
        self._chance = chance

    def run(self) -> None:
        roll = 0
        while not self.ended.is_set():
            roll += 1
            drafts = [*roll_drafts(f"R/{roll}", self._chance.randint(0, 12)), idle_draft()]
            while drafts:
                count = self._chance.randint(1, 5)
                self.events += self._publisher.emit_all(drafts[:count])
                del drafts[:count]
                time.sleep(0.02)
                while self.events[-1].seq - offset_seq(self._folder) > _MOST_AHEAD and not self.ended.is_set():
                    time.sleep(0.02)  # the test is to end on a slow disk too


def torture(folder: Path, kills: int, seed: int) -> tuple[int, int]:
    """Kill adapter or broker `kills` times; returns how many events there were and how many came again."""
    chance = random.Random(seed)
    with Mosquitto(folder) as broker, Publisher(ipc_settings(folder), "loom1") as publisher:
        adapter_file(folder, broker.url)
        with Subscriber(broker.port, folder / "got", "-t", f"{BASE}/#", "-i", "reader") as reader:
            eventually(lambda: "SUBACK to reader" in broker.log(), "the reader's subscription")
            weaver = Weaver(folder, publisher, chance)
            weaver.start()
            process, starts = start(folder), 1
            try:
                for _ in range(kills):
                    before = offset_seq(folder)
                    eventually(lambda before=before: offset_seq(folder) > before, "progress of the adapter")
                    time.sleep(chance.uniform(0, 0.3))
                    if chance.random() < 0.5:
                        process.kill()
                        process.wait()
                        process = start(folder)
                    else:
                        # What mosquitto acknowledged and holds for a reader who is away may die with it; one who is
                        # there gets a message before the acknowledgement. So the adapter waits for the reader.
                        broker.end(signal.SIGKILL)
                        process.send_signal(signal.SIGSTOP)
                        time.sleep(chance.uniform(0, 0.5))
                        broker.start()
                        starts += 1
                        eventually(lambda n=starts: broker.log().count("SUBACK to reader") == n, "the reader's return")
                        process.send_signal(signal.SIGCONT)
            finally:
                weaver.ended.set()
                weaver.join()
                head = weaver.events[-1].seq
                eventually(lambda: offset_seq(folder) == head, "the last event", timeout_s=60)
                process.send_signal(signal.SIGTERM)
                code = process.wait(timeout=30)
            assert code == 0
            eventually(lambda: documents(reader)[-1]["seq"] == head, "the last event at the reader")
    came = documents(reader)
    taken: list[dict[str, Any]] = []
    for document in came:  # as a reader does: what is not above the last is a repetition
        if not taken or document["seq"] > taken[-1]["seq"]:
            taken.append(document)
    assert taken == [json.loads(event.to_json()) for event in weaver.events]
    return len(taken), len(came) - len(taken)


def test_kills_of_adapter_and_broker_lose_and_reorder_nothing(short_path: Path) -> None:
    assert torture(short_path, kills=4, seed=2)[0] > 30


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [4, 5])
def test_thirty_kills_of_adapter_and_broker_lose_and_reorder_nothing(short_path: Path, seed: int) -> None:
    assert torture(short_path, kills=30, seed=seed)[0] > 300


def test_the_broker_tells_the_death_of_an_adapter_that_was_killed(short_path: Path) -> None:
    with Mosquitto(short_path) as broker, Publisher(ipc_settings(short_path), "loom1") as publisher:
        adapter_file(short_path, broker.url)
        with Subscriber(broker.port, short_path / "got", "-t", f"{BASE}/death") as reader:
            process = start(short_path)
            try:
                publisher.emit(idle_draft())
                eventually(lambda: offset_seq(short_path) == 1, "a delivery")
                (birth,) = retained(broker.port, f"{BASE}/birth")
            finally:
                process.kill()
                process.wait()
            eventually(lambda: len(reader.messages()) == 1, "the will")
            death = reader.messages()[0]["payload"]
        assert death == {
            "format_version": 1,
            "station": "loom1",
            "session": birth["payload"]["session"],
            "reason": "connection_lost",
        }
        (kept,) = retained(broker.port, f"{BASE}/death")
        assert kept["payload"] == death
        process = start(short_path)
        try:
            eventually(
                lambda: retained(broker.port, f"{BASE}/birth")[0]["payload"]["session"] != death["session"],
                "a birth that the death does not concern",
            )
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
        (kept,) = retained(broker.port, f"{BASE}/death")
        assert kept["payload"]["reason"] == "ended"


def test_the_end_is_quick_while_the_broker_is_away(short_path: Path) -> None:
    with Mosquitto(short_path) as broker, Publisher(ipc_settings(short_path), "loom1") as publisher:
        adapter_file(short_path, broker.url)
        broker.end(signal.SIGTERM)
        publisher.emit(idle_draft())
        process = start(short_path)
        try:
            status = short_path / "state/status.json"
            eventually(lambda: status.exists() and "retrying" in status.read_text(), "its trouble")
        finally:
            process.send_signal(signal.SIGTERM)
            begun_s = time.monotonic()
            assert process.wait(timeout=30) == 0
        assert time.monotonic() - begun_s < 10
