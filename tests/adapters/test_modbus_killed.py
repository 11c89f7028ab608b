"""The adapter as a process, killed while a stop waits and commands are written again and again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from adapters_support import eventually, idle_draft, ipc_settings, roll_drafts
from modbus_support import Loom, Wire, free_port, journal_of, mbpoll, needs_mbpoll, stop_draft, wire

from glass_edge.adapters.modbus_codec import Coding
from glass_edge.adapters.modbus_codes import Result
from glass_edge.adapters.modbus_map import BY_NAME
from glass_edge.events import commands_limits
from glass_edge.events.payloads import StopAck
from glass_edge.events.publisher import Publisher

ADAPTER = """
adapter = "plc"
[source]
publish_endpoint = "ipc://{folder}/pub"
request_endpoint = "ipc://{folder}/req"
[modbus]
port = {port}
requests_per_s = 1000
[state]
folder = "state"
"""


@pytest.fixture(autouse=True)
def _patient_station(monkeypatch: pytest.MonkeyPatch) -> None:
    """A station that takes more commands than one lets a controller give."""
    monkeypatch.setattr(commands_limits, "_MOST_A_MINUTE", 1_000_000)


@contextmanager
def process(folder: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The adapter, which is killed at the end if it has not ended by itself."""
    (folder / "plc.toml").write_text(ADAPTER.format(folder=folder, port=port))
    command = [sys.executable, "-m", "glass_edge.cli", "adapter", "modbus", "--config", str(folder / "plc.toml")]
    started = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(Path.cwd())})
    try:
        yield started
    finally:
        if started.poll() is None:
            started.send_signal(signal.SIGKILL)
        started.wait(30)


def connect(port: int) -> Wire:
    found: list[Wire] = []

    def is_there() -> bool:
        try:
            found.append(Wire(port))
        except ConnectionError:
            return False
        return True

    eventually(is_there, "the server")
    return found[0]


@needs_mbpoll
def test_a_stop_outlives_a_kill_and_is_answered_with_mbpoll(short_path: Path) -> None:
    port = free_port()
    with Publisher(ipc_settings(short_path), "loom1", Loom()) as publisher:
        with process(short_path, port):
            one = connect(port)
            eventually(lambda: "live" in one.flags(), "the present")
            assert mbpoll(port, "-a", "1", "-r", "1000", values=[1]).returncode == 0
            eventually(lambda: "stop_enabled" in one.flags(), "stop_enable")
            publisher.emit_all([*roll_drafts("R-1", 1)[:-1], stop_draft()])
            eventually(lambda: one.value("stop_number") != 0, "the request")
            number = one.value("stop_number")
            one.close()
        publisher.emit(idle_draft())  # what happens while it is dead
        with process(short_path, port) as adapter:
            one = connect(port)
            assert one.value("stop_number") == number  # at once
            eventually(lambda: "live" in one.flags(), "the present")
            assert one.value("stop_number") == number
            assert "stop_enabled" in one.flags()
            polled = mbpoll(port, "-a", "1", "-r", "10", "-c", "1")
            assert f"[10]: \t{number}" in polled.stdout
            refused = mbpoll(port, "-a", "1", "-r", "10", values=[0])
            assert "Illegal data address" in refused.stderr
            assert mbpoll(port, "-a", "1", "-r", "1001", values=[int(str(number))]).returncode == 0
            eventually(lambda: one.value("stop_number") == 0, "the acknowledgement")
            one.close()
            adapter.send_signal(signal.SIGTERM)
            assert adapter.wait(30) == 0
    acks = [event.payload for event in journal_of(short_path) if isinstance(event.payload, StopAck)]
    assert [(ack.request_id, ack.accepted) for ack in acks] == [("stop-1", True)]


def killed_while_commanding(folder: Path, kills: int, seed: int) -> None:
    """A controller that writes all its registers in each cycle, and an adapter that dies at any moment: no command is
    carried out twice, and the controller knows the fate of each."""
    chance, port, loom = random.Random(seed), free_port(), Loom()
    fates: dict[int, object] = {}
    sequence = 1
    with Publisher(ipc_settings(folder), "loom1", loom):
        for _ in range(kills):
            with process(folder, port), connect_for(port) as one:
                until_s = time.monotonic() + chance.uniform(0.1, 0.6)
                while time.monotonic() < until_s:
                    text = Coding().encode(BY_NAME["new_roll_id"], f"R-{sequence}")
                    one.write_words(1020, [sequence, *text])
                    done, result = one.value("roll_done"), one.value("roll_result")
                    if done == sequence and result != Result.PENDING:
                        fates[sequence] = result
                        sequence += 1
    names = [str(done[1]) for done in loom.done]
    assert len(names) == len(set(names)), "a command was carried out twice"
    assert [int(name.removeprefix("R-")) for name in names] == sorted(int(name.removeprefix("R-")) for name in names)
    for number, fate in fates.items():
        assert fate in (Result.DONE, Result.UNKNOWN)
        assert fate is not Result.DONE or f"R-{number}" in names
    assert len(fates) > kills


@contextmanager
def connect_for(port: int) -> Iterator[Wire]:
    one = connect(port)
    try:
        yield one
    finally:
        one.close()


def test_no_command_is_carried_out_twice(short_path: Path) -> None:
    killed_while_commanding(short_path, kills=3, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_no_command_is_carried_out_twice_however_often_it_is_killed(short_path: Path, seed: int) -> None:
    killed_while_commanding(short_path, kills=20, seed=seed)


def test_a_dead_adapter_serves_nothing(short_path: Path) -> None:
    port = free_port()
    with process(short_path, port):
        connect(port).close()
    with pytest.raises(ConnectionRefusedError), wire(port):
        pass
