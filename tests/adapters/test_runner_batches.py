"""The runner with a sink that takes many events at once, over real sockets."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from adapters_support import Running, eventually, idle_draft, ipc_settings, offset_seq, seqs

from glass_edge.adapters.sink import BatchSink, PermanentError, RetryableError
from glass_edge.events.client import EventClient, Item, Received
from glass_edge.events.errors import EventFormatError
from glass_edge.events.publisher import Publisher
from glass_edge.events.schema import Event
from glass_edge.events.sequencer import EpochChanged, Lost


class BatchRecorder:
    """Keeps what it is handed, all or none of a batch; `trouble` may raise at an event of it."""

    def __init__(self, trouble: Callable[[Received], None] | None = None, most_events: int = 7) -> None:
        self.most_events = most_events
        self.sizes: list[int] = []
        self.events: list[Event] = []
        self.items: list[Event | Lost | EpochChanged] = []
        self._trouble = trouble

    def handle(self, received: Received) -> None:
        self.handle_many([received])

    def handle_many(self, batch: Sequence[Received]) -> None:
        if self._trouble is not None:
            for received in batch:
                self._trouble(received)
        self.sizes.append(len(batch))
        self.events += [received.event for received in batch]
        self.items += [received.event for received in batch]

    def told(self, notice: Lost | EpochChanged) -> None:
        self.items.append(notice)

    def close(self) -> None:
        """Nothing is held."""


def test_a_sink_of_batches_is_known_by_its_methods() -> None:
    assert isinstance(BatchRecorder(), BatchSink)


def test_what_waits_comes_in_batches_and_the_place_is_committed_once_a_batch(short_path: Path) -> None:
    seen: list[int] = []
    sink = BatchRecorder(lambda _: seen.append(offset_seq(short_path)))
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([idle_draft(number) for number in range(20)])
        with Running(short_path, sink) as running:
            eventually(lambda: offset_seq(short_path) == 20, "all committed")
            eventually(lambda: running.status()["seq"] == 20, "told")
            publisher.emit(idle_draft())
            eventually(lambda: offset_seq(short_path) == 21, "the one that came alone")
    assert seqs(sink.events) == list(range(1, 22))
    assert sink.sizes == [7, 7, 6, 1]  # no batch waits for more
    assert seen == [0] * 7 + [7] * 7 + [14] * 6 + [20]
    assert running.status()["delivered"] == 21


def test_a_batch_that_fails_comes_again_whole_and_only_the_refused_event_is_set_aside(short_path: Path) -> None:
    chance = random.Random(3)

    def trouble(received: Received) -> None:
        if received.event.seq in (5, 6, 30):
            raise PermanentError(f"not number {received.event.seq}")
        if chance.random() < 0.1:
            raise RetryableError("away")

    sink = BatchRecorder(trouble)
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([idle_draft(number) for number in range(40)])
        with Running(short_path, sink) as running:
            eventually(lambda: offset_seq(short_path) == 40, "all committed")
    assert seqs(sink.events) == [seq for seq in range(1, 41) if seq not in (5, 6, 30)]
    lines = [json.loads(line) for line in (short_path / "state/dead-letters.jsonl").read_text().splitlines()]
    assert [(line["seq"], line["reason"]) for line in lines] == [(seq, f"not number {seq}") for seq in (5, 6, 30)]
    status = running.status()
    assert (status["delivered"], status["refused"]) == (37, 3)
    assert status["retries"] > 0
    assert max(sink.sizes) == 7


def test_the_end_in_the_middle_of_a_batch_keeps_the_place_before_it(short_path: Path) -> None:
    tried, sound = threading.Event(), BatchRecorder()

    def away(received: Received) -> None:
        if received.event.seq == 10:
            tried.set()
            raise RetryableError("the server is away; start it")

    def refusing(received: Received) -> None:
        if received.event.seq == 8:  # the batch is taken apart, and then stops at number 10
            raise PermanentError("no")
        away(received)

    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([idle_draft(number) for number in range(20)])
        with Running(short_path, BatchRecorder(away)):
            assert tried.wait(30)
        assert offset_seq(short_path) == 7
        tried.clear()
        with Running(short_path, BatchRecorder(refusing)):
            assert tried.wait(30)
            eventually(lambda: offset_seq(short_path) == 9, "what is before it")
        assert offset_seq(short_path) == 9
        with Running(short_path, sound):
            eventually(lambda: offset_seq(short_path) == 20, "the rest")
    assert seqs(sound.events) == list(range(10, 21))


def test_a_notice_stands_between_the_batches_it_parts(short_path: Path) -> None:
    settings, sink = ipc_settings(short_path), BatchRecorder()
    with Publisher(settings, "loom1") as publisher:
        old = publisher.epoch
        publisher.emit_all([idle_draft(number) for number in range(3)])
        with Running(short_path, sink):
            eventually(lambda: len(sink.events) == 3, "first")
        publisher.emit_all([idle_draft(number) for number in range(4)])
        publisher.journal.forget_before(6)
        with Running(short_path, sink):
            eventually(lambda: offset_seq(short_path) == 7, "the rest")
    for part in ("", "-wal", "-shm"):
        Path(f"{settings.journal}{part}").unlink(missing_ok=True)
    with Publisher(settings, "loom1") as publisher:
        publisher.emit(idle_draft())
        with Running(short_path, sink):
            eventually(lambda: len(sink.events) == 6, "the new journal's")
        new = publisher.epoch
    told = [item.seq if isinstance(item, Event) else item for item in sink.items]
    assert told == [1, 2, 3, Lost(old, 4, 5), 6, 7, EpochChanged(old, new, 7), 1]


def test_what_came_before_a_document_that_cannot_be_read_is_delivered_first(
    short_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = EventClient.receive

    def receive_but_one(client: EventClient, timeout_s: float) -> Item | None:
        item = receive(client, timeout_s)
        if isinstance(item, Received) and item.event.seq == 5:
            raise EventFormatError("schema_version is 2.0; use a release that writes that")
        return item

    monkeypatch.setattr(EventClient, "receive", receive_but_one)
    sink = BatchRecorder()
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([idle_draft(number) for number in range(9)])
        running = Running(short_path, sink)
        running.__enter__()
        eventually(lambda: running.error is not None, "the end")
        with pytest.raises(EventFormatError):
            running.__exit__()
    assert seqs(sink.events) == [1, 2, 3, 4]
    assert offset_seq(short_path) == 4
    assert running.status()["state"] == "failed"
