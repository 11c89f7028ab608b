"""Who wants to know whether an adapter gets on hears it from the turns of its runner."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from adapters_support import QUICK, client_of, eventually, idle_draft, ipc_settings

from glass_edge.adapters.dead_letters import DeadLetters
from glass_edge.adapters.repeated_log import RepeatedLog
from glass_edge.adapters.runner import Runner
from glass_edge.adapters.sink import RetryableError
from glass_edge.adapters.status_file import AdapterStatus, StatusFile
from glass_edge.events.client import Received
from glass_edge.events.publisher import Publisher
from glass_edge.events.sequencer import EpochChanged, Lost


class Trouble:
    """A receiver that is tried again for ever, or does not come back."""

    def __init__(self, *, hangs: bool) -> None:
        self._hangs = hangs
        self.is_in = threading.Event()
        self.let_go = threading.Event()

    def handle(self, received: Received) -> None:
        del received
        self.is_in.set()
        if not self._hangs:
            raise RetryableError("the server is away")
        self.let_go.wait(60)

    def told(self, notice: Lost | EpochChanged) -> None:
        del notice

    def close(self) -> None:
        """Nothing is held."""


@pytest.mark.parametrize("hangs", [False, True])
def test_a_receiver_that_hangs_is_not_told_and_one_that_is_tried_again_is(short_path: Path, hangs: bool) -> None:
    told: list[AdapterStatus] = []
    sink, stop = Trouble(hangs=hangs), threading.Event()

    def work() -> None:
        with client_of(short_path) as client:
            log = RepeatedLog("test")
            status = StatusFile(
                short_path / "state/status.json", "test", lambda text: log.tell("status", text), told.append
            )
            letters = DeadLetters(short_path / "state/letters", 1 << 20)
            Runner(client, sink, letters=letters, status=status, log=log, retry=QUICK, stop=stop).run()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        eventually(lambda: len(told) >= 2, "turns without a station")
        assert {status.state for status in told} == {"waiting"}
        with Publisher(ipc_settings(short_path), "loom1") as publisher:
            publisher.emit(idle_draft())
            assert sink.is_in.wait(30)
            time.sleep(0.2)
            before = len(told)
            time.sleep(3.5)
            assert (len(told) - before == 0) if hangs else (len(told) - before >= 2)
    finally:
        sink.let_go.set()
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    assert told[-1].state == "stopped"


def test_a_state_that_cannot_be_written_is_told_all_the_same(tmp_path: Path) -> None:
    problems: list[str] = []
    told: list[AdapterStatus] = []
    (tmp_path / "file").write_text("in the way")
    StatusFile(tmp_path / "file" / "status.json", "test", problems.append, told.append).write()
    assert len(problems) == len(told) == 1
