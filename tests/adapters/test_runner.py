"""The runner over real sockets, against sinks that fail in every way and stations that forget."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from adapters_support import Running, eventually, idle_draft, ipc_settings, offset_seq, roll_drafts, seqs

from glass_edge.adapters.sink import PermanentError, RetryableError
from glass_edge.errors import InputError
from glass_edge.events.client import Received
from glass_edge.events.errors import JournalRewoundError
from glass_edge.events.publisher import Publisher
from glass_edge.events.schema import Event
from glass_edge.events.sequencer import EpochChanged, Lost


class Recorder:
    """Keeps what it is handed; `trouble` may raise before."""

    def __init__(self, trouble: Callable[[Received], None] | None = None) -> None:
        self.events: list[Event] = []
        self.tries: list[int] = []
        self.notices: list[Lost | EpochChanged] = []
        self.trouble = trouble

    def handle(self, received: Received) -> None:
        self.tries.append(received.event.seq)
        if self.trouble is not None:
            self.trouble(received)
        self.events.append(received.event)

    def told(self, notice: Lost | EpochChanged) -> None:
        self.notices.append(notice)

    def close(self) -> None:
        """Nothing is held."""


def test_events_go_in_order_each_committed_after_its_side_effect(short_path: Path) -> None:
    seen: list[int] = []
    sink = Recorder(lambda _: seen.append(offset_seq(short_path)))
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([idle_draft(number) for number in range(20)])
        with Running(short_path, sink) as running:
            eventually(lambda: offset_seq(short_path) == 20, "all committed")
            eventually(lambda: running.status()["seq"] == 20, "told")
            status = running.status()
    assert seqs(sink.events) == list(range(1, 21))
    assert seen == list(range(20))  # while one is delivered, the one before is the last committed
    assert (status["state"], status["station"], status["is_behind"]) == ("following", "loom1", False)
    assert 0 <= status["lag_s"] < 60
    assert running.status()["state"] == "stopped"
    assert running.status()["delivered"] == 20


def test_a_sink_that_fails_at_random_gets_every_event_in_order_and_refused_ones_are_kept(short_path: Path) -> None:
    chance = random.Random(5)

    def trouble(received: Received) -> None:
        if received.event.seq % 10 == 3:
            raise PermanentError(f"not number {received.event.seq}")
        if chance.random() < 0.4:
            raise RetryableError("away", after_s=chance.choice([None, 0.001, 1e6]))

    sink = Recorder(trouble)
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([idle_draft(number) for number in range(40)])
        with Running(short_path, sink) as running:
            eventually(lambda: offset_seq(short_path) == 40, "all committed")
    refused = [3, 13, 23, 33]
    assert seqs(sink.events) == [seq for seq in range(1, 41) if seq not in refused]
    lines = [json.loads(line) for line in (short_path / "state/dead-letters.jsonl").read_text().splitlines()]
    assert [(line["seq"], line["reason"]) for line in lines] == [(seq, f"not number {seq}") for seq in refused]
    status = running.status()
    assert (status["delivered"], status["refused"]) == (36, 4)
    assert status["retries"] == len(sink.tries) - 40
    assert sink.tries == sorted(sink.tries)  # never a later event before an earlier one


def test_the_end_during_a_retry_keeps_the_place_and_the_reason(short_path: Path) -> None:
    def trouble(received: Received) -> None:
        if received.event.seq == 3:
            raise RetryableError("the server is away; start it")

    first, second = Recorder(trouble), Recorder()
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([idle_draft(number) for number in range(5)])
        with Running(short_path, first) as running:
            eventually(lambda: first.tries.count(3) > 3, "tries")
        status = running.status()
        assert (status["state"], status["seq"]) == ("stopped", 2)
        assert status["last_error"]["text"] == "the server is away; start it"
        assert offset_seq(short_path) == 2
        with Running(short_path, second):
            eventually(lambda: len(second.events) == 3, "the rest")
    assert seqs(first.events + second.events) == [1, 2, 3, 4, 5]


def test_a_full_file_of_refused_events_holds_everything_up_and_nothing_is_dropped(short_path: Path) -> None:
    def trouble(_: Received) -> None:
        raise PermanentError("no")

    sink = Recorder(trouble)
    letters = short_path / "state/dead-letters.jsonl"
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([idle_draft(number) for number in range(12)])
        with Running(short_path, sink, dead_letter_bytes=2500) as running:
            eventually(lambda: running.status()["state"] == "retrying", "held up")
            kept = [json.loads(line)["seq"] for line in letters.read_text().splitlines()]
            assert offset_seq(short_path) == kept[-1] < 12
            assert "move the file away" in running.status()["last_error"]["text"]
            moved = 0
            while offset_seq(short_path) < 12:  # a person moves it away again and again
                if letters.exists():
                    moved += 1
                    letters.rename(short_path / f"state/moved-{moved:04d}.jsonl")
                time.sleep(0.02)
    files = [*sorted(short_path.glob("state/moved-*.jsonl")), *short_path.glob("state/dead-letters.jsonl")]
    kept = [json.loads(line)["seq"] for file in files for line in file.read_text().splitlines()]
    assert kept == list(range(1, 13))
    assert sink.events == []


def test_an_offset_that_cannot_be_written_is_tried_again(short_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink, is_full = Recorder(), threading.Event()

    def write(*_: object) -> None:
        is_full.set()
        raise InputError("cannot write offset.json: No space left on device")

    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit(idle_draft())
        with monkeypatch.context() as broken:
            broken.setattr("glass_edge.events.offset.OffsetFile.write", write)
            running = Running(short_path, sink)
            running.__enter__()
            assert is_full.wait(30)
        eventually(lambda: offset_seq(short_path) == 1, "committed after all")
        running.__exit__()
    assert seqs(sink.events) == [1]  # only the commit was tried again


def test_lost_events_and_a_new_journal_are_told_and_followed(short_path: Path) -> None:
    settings, sink = ipc_settings(short_path), Recorder()
    with Publisher(settings, "loom1") as publisher:
        old = publisher.epoch
        publisher.emit_all([idle_draft(number) for number in range(10)])
        with Running(short_path, sink):
            eventually(lambda: len(sink.events) == 10, "first")
        publisher.emit_all([idle_draft(number) for number in range(10)])
        publisher.journal.forget_before(16)
        with Running(short_path, sink) as running:
            eventually(lambda: len(sink.events) == 15, "the rest")
        assert running.status()["lost"] == 5
    for part in ("", "-wal", "-shm"):
        Path(f"{settings.journal}{part}").unlink(missing_ok=True)
    with Publisher(settings, "loom1") as publisher:
        publisher.emit(idle_draft())
        with Running(short_path, sink) as running:
            eventually(lambda: len(sink.events) == 16, "the new journal's")
        assert sink.notices == [Lost(old, 11, 15), EpochChanged(old, publisher.epoch, 20)]
        assert running.status()["new_journals"] == 1
    assert seqs(sink.events) == [*range(1, 11), *range(16, 21), 1]


def test_a_journal_that_went_back_ends_the_adapter_with_its_reason(short_path: Path) -> None:
    settings, sink = ipc_settings(short_path), Recorder()
    with Publisher(settings, "loom1") as publisher:
        publisher.emit(idle_draft())
    copy = settings.journal.read_bytes()
    with Publisher(settings, "loom1") as publisher:
        publisher.emit(idle_draft())
        with Running(short_path, sink):
            eventually(lambda: offset_seq(short_path) == 2, "committed")
    settings.journal.write_bytes(copy)
    with Publisher(settings, "loom1"):
        running = Running(short_path, sink)
        running.__enter__()
        eventually(lambda: running.error is not None, "the end")
        with pytest.raises(JournalRewoundError):
            running.__exit__()
    status = running.status()
    assert status["state"] == "failed"
    assert "remove this client's offset" in status["last_error"]["text"]


def test_without_a_station_it_waits_and_says_so(short_path: Path) -> None:
    with Running(short_path, Recorder()) as running:
        eventually((short_path / "state/status.json").exists, "a state")
        assert running.status()["state"] == "waiting"
        assert running.status()["station"] is None


class Display(Recorder):
    """Shows whether the station lives, and may be away itself."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[bool] = []
        self.is_away = False

    def idle(self, *, is_heard: bool) -> None:
        self.heard.append(is_heard)
        if self.is_away:
            raise RetryableError("the display is away; start it")


def test_a_sink_is_told_whether_the_station_lives_and_holds_nothing_up(short_path: Path) -> None:
    sink = Display()
    sink.is_away = True
    with Running(short_path, sink) as running:
        eventually(lambda: running.status()["state"] == "retrying", "the state of a display that is away")
        assert running.status()["last_error"]["text"] == "the display is away; start it"
        with Publisher(ipc_settings(short_path), "loom1") as publisher:
            publisher.emit(idle_draft())
            eventually(lambda: seqs(sink.events) == [1], "the event, all the same")
            eventually(lambda: sink.heard[-1:] == [True], "the station was heard")
            sink.is_away = False
            eventually(lambda: running.status()["state"] == "following", "the end of its trouble")
        eventually(lambda: sink.heard[-1] is False, "the station is gone")
        eventually(lambda: running.status()["state"] == "waiting", "the station is waited for")
    assert sink.heard[0] is False


class Present(Recorder):
    """Wants to know whether what it has is the present."""

    def __init__(self) -> None:
        super().__init__()
        self.standings: list[tuple[bool, bool, int]] = []

    def stands(self, *, is_heard: bool, is_behind: bool) -> None:
        self.standings.append((is_heard, is_behind, len(self.events)))


def test_a_sink_is_told_whether_it_is_behind_the_station(short_path: Path) -> None:
    sink = Present()
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all(roll_drafts("R-1", 3))
        with Running(short_path, sink):
            eventually(lambda: (True, False, 12) in sink.standings, "a word that all has come")
            assert all(is_behind for _, is_behind, events in sink.standings if events < 12)
            publisher.close()
            eventually(lambda: not sink.standings[-1][0], "a word that the station is silent")
