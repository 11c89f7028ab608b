"""The files adapter, killed again and again while rolls are woven: its files against the station's journal."""

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

import pytest
from adapters_support import eventually, idle_draft, ipc_settings, offset_seq, roll_drafts

from glass_edge.events.publisher import Publisher
from glass_edge.events.schema import Event, Kind

ADAPTER = """
adapter = "torture"
[source]
publish_endpoint = "ipc://{folder}/pub"
request_endpoint = "ipc://{folder}/req"
[files]
folder = "out"
[state]
folder = "state"
"""
_MOST_AHEAD = 300


def start(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "glass_edge.cli", "adapter", "files", "--config", str(folder / "adapter.toml")]
    return subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ | {"PYTHONPATH": str(Path.cwd())})


class Weaver(threading.Thread):
    """Emits rolls one after the other, a few events at a time, with events of no roll between."""

    def __init__(self, folder: Path, publisher: Publisher, chance: random.Random) -> None:
        super().__init__()
        self.ended = threading.Event()
        self.events: list[Event] = []
        self.rolls = 0
        self._folder = folder
        self._publisher = publisher
        self._chance = chance

    def run(self) -> None:
        while not self.ended.is_set():
            self.rolls += 1
            # seven names in turn, so that names come again
            drafts = [*roll_drafts(f"R/{self.rolls % 7}", self._chance.randint(0, 12)), idle_draft()]
            while drafts:
                count = self._chance.randint(1, 5)
                self.events += self._publisher.emit_all(drafts[:count])
                del drafts[:count]
                time.sleep(0.02)
                while self.events[-1].seq - offset_seq(self._folder) > _MOST_AHEAD and not self.ended.is_set():
                    time.sleep(0.02)  # the test is to end on a slow disk too


def torture(folder: Path, kills: int, seed: int) -> int:
    """Kill the adapter `kills` times at random moments; then its files hold each event of a roll once, in order."""
    chance = random.Random(seed)
    (folder / "adapter.toml").write_text(ADAPTER.format(folder=folder))
    with Publisher(ipc_settings(folder), "loom1") as publisher:
        weaver = Weaver(folder, publisher, chance)
        weaver.start()
        try:
            for _ in range(kills):
                process, before = start(folder), offset_seq(folder)
                try:
                    # it must come to work, not only to start; then it dies at any moment
                    eventually(lambda before=before: offset_seq(folder) > before, "progress of the adapter")
                    time.sleep(chance.uniform(0, 0.3))
                finally:
                    process.send_signal(signal.SIGKILL)
                    process.wait()
        finally:
            weaver.ended.set()
            weaver.join()
        head = weaver.events[-1].seq
        process = start(folder)
        try:
            eventually(lambda: offset_seq(folder) == head, "the last event", timeout_s=60)
        finally:
            process.send_signal(signal.SIGTERM)
            code = process.wait(timeout=30)
        assert code == 0
    files = [json.loads(path.read_text()) for path in (folder / "out").glob("*.json")]
    assert len(files) == weaver.rolls
    assert all(file["is_complete"] for file in files)
    assert len(list((folder / "out").glob("*-defects.csv"))) == weaver.rolls
    files.sort(key=lambda file: file["first_seq"])
    written = [event for file in files for event in file["events"]]
    woven = [json.loads(event.to_json()) for event in weaver.events if event.kind != Kind.STATUS]
    assert written == woven  # each once, in order, as it was published
    assert not list((folder / "out/.part").iterdir())
    return len(written)


def test_three_kills_lose_double_and_reorder_nothing(short_path: Path) -> None:
    assert torture(short_path, kills=3, seed=1) > 50


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [2, 3])
def test_thirty_kills_lose_double_and_reorder_nothing(short_path: Path, seed: int) -> None:
    assert torture(short_path, kills=30, seed=seed) > 500
