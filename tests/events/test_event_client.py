"""The client over real sockets, against publishers that die, restart and lose their journal."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zmq
from events_support import eventually, ipc_settings, numbered

from glass_edge.errors import InputError
from glass_edge.events.client import EventClient, Received
from glass_edge.events.errors import EpochChangedError, EventFormatError, EventsLostError, JournalRewoundError
from glass_edge.events.payloads import Status
from glass_edge.events.publisher import Publisher
from glass_edge.events.schema import Event
from glass_edge.events.sequencer import LATEST, OLDEST, EpochChanged, Lost

WAIT_S = 30.0


def client_of(
    folder: Path,
    *,
    station: str | None = None,
    offset_path: Path | None = None,
    start: int = OLDEST,
    high_water_mark: int = 10_000,
) -> EventClient:
    return EventClient(
        f"ipc://{folder}/pub",
        f"ipc://{folder}/req",
        station=station,
        offset_path=offset_path,
        start=start,
        request_timeout_s=0.3,
        high_water_mark=high_water_mark,
    )


def take(client: EventClient, count: int) -> list[Event]:
    events = []
    while len(events) < count:
        item = client.receive(WAIT_S)
        assert isinstance(item, Received), f"{item} after {len(events)} of {count} events"
        events.append(item.event)
    return events


def numbers(events: list[Event]) -> list[int]:
    """What `numbered` put in."""
    return [event.payload.roll_lines for event in events if isinstance(event.payload, Status)]


def test_all_events_come_live_and_from_before(short_path: Path) -> None:
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([numbered(number) for number in range(1, 1501)])
        with client_of(short_path) as client:
            first = take(client, 1500)
            publisher.emit(numbered(1501))
            assert numbers(first + take(client, 1)) == list(range(1, 1502))
            assert client.station == "loom1"
            assert client.receive(0.0) is None
            # a beacon from before the last event may come after it: the client asks once more
            eventually(lambda: client.receive(0.01) is None and not client.is_behind, "nothing is missing")
            assert client.silent_s < WAIT_S


def test_the_document_is_the_one_published(short_path: Path) -> None:
    with Publisher(ipc_settings(short_path), "loom1") as publisher, client_of(short_path) as client:
        sent = publisher.emit(numbered(1))
        item = client.receive(WAIT_S)
        assert isinstance(item, Received)
        assert item.document == sent.to_json()


def test_only_what_comes_next(short_path: Path) -> None:
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([numbered(1), numbered(2)])
        with client_of(short_path, start=LATEST) as client:
            while client.is_behind:
                assert client.receive(0.05) is None
            publisher.emit(numbered(3))
            assert numbers(take(client, 1)) == [3]


def test_a_client_that_is_there_first_waits_for_the_station(short_path: Path) -> None:
    with client_of(short_path) as client:
        assert client.receive(0.2) is None
        assert client.silent_s == float("inf")
        with Publisher(ipc_settings(short_path), "loom1") as publisher:
            publisher.emit(numbered(1))
            assert numbers(take(client, 1)) == [1]


def test_a_slow_client_with_short_queues_misses_nothing(short_path: Path) -> None:
    with (
        Publisher(ipc_settings(short_path, high_water_mark=5), "loom1") as publisher,
        client_of(short_path, high_water_mark=5) as client,
    ):
        publisher.emit(numbered(1))
        assert numbers(take(client, 1)) == [1]
        for start in range(2, 5002, 500):  # nobody reads meanwhile: the transport drops most of it
            publisher.emit_all([numbered(number) for number in range(start, start + 500)])
        assert numbers(take(client, 5000)) == list(range(2, 5002))


BUSY = """
import sys, time
from glass_edge.events.client import EventClient, Received

with EventClient(*sys.argv[1:3], request_timeout_s=0.3, high_water_mark=10, heartbeat_s=0.1) as client:
    for _ in range(3):
        time.sleep(1.0)
        while client.receive(0.1) is not None:
            pass
        print("read", flush=True)
"""


def test_a_client_that_is_busy_while_its_queue_is_full_and_its_heartbeats_fail_lives(short_path: Path) -> None:
    """In a process of its own: libzmq ends it where the full queue is its own."""
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        command = [sys.executable, "-c", BUSY, publisher.publish_endpoint, publisher.request_endpoint]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            time.sleep(0.5)
            for _ in range(3):
                publisher.emit_all([numbered(number) for number in range(500)])
                assert process.stdout.readline() == "read\n"
            assert process.wait(30) == 0


def test_committed_events_do_not_come_again_others_do(short_path: Path) -> None:
    offset = short_path / "offset.json"
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([numbered(number) for number in range(1, 11)])
        with client_of(short_path, offset_path=offset) as client:
            events = take(client, 6)
            client.commit(events[3])
            client.commit(events[1])  # an older one takes nothing back
        with client_of(short_path, offset_path=offset, start=LATEST) as client:
            assert numbers(take(client, 6)) == [5, 6, 7, 8, 9, 10]


def test_iterating_ends_when_idle_and_raises_notices(short_path: Path) -> None:
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([numbered(number) for number in range(1, 6)])
        with client_of(short_path) as client:
            seen = []
            for event in client.events(idle_s=0.3):
                seen.append(event)
                client.commit(event)
            assert numbers(seen) == [1, 2, 3, 4, 5]
        publisher.journal.forget_before(4)
        with client_of(short_path, start=2) as client:
            with pytest.raises(EventsLostError) as caught:
                next(client.events())
            assert (caught.value.epoch, caught.value.first_seq, caught.value.last_seq) == (publisher.epoch, 2, 3)
            assert numbers(list(client.events(idle_s=0.3))) == [4, 5]


def test_lost_events_are_named_to_a_client_that_was_away(short_path: Path) -> None:
    offset = short_path / "offset.json"
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([numbered(number) for number in range(1, 11)])
        with client_of(short_path, offset_path=offset) as client:
            client.commit(take(client, 3)[-1])
        publisher.journal.forget_before(8)
        for _ in range(2):  # told again until something after it is committed
            with client_of(short_path, offset_path=offset) as client:
                assert client.receive(WAIT_S) == Lost(publisher.epoch, 4, 7)
                events = take(client, 3)
                assert numbers(events) == [8, 9, 10]
        with client_of(short_path, offset_path=offset) as client:
            client.receive(WAIT_S)
            client.commit(take(client, 1)[0])
        with client_of(short_path, offset_path=offset) as client:
            assert numbers(take(client, 2)) == [9, 10]


def test_a_new_journal_is_told_and_followed_from_its_first_event(short_path: Path) -> None:
    settings = ipc_settings(short_path)
    offset = short_path / "offset.json"
    with client_of(short_path, offset_path=offset) as client:
        with Publisher(settings, "loom1") as publisher:
            old = publisher.epoch
            publisher.emit_all([numbered(1), numbered(2)])
            client.commit(take(client, 2)[-1])
        settings.journal.unlink()
        with Publisher(settings, "loom1") as publisher:
            publisher.emit_all([numbered(11), numbered(12)])
            changed = client.receive(WAIT_S)
            assert changed == EpochChanged(old, publisher.epoch, 2)
            assert numbers(take(client, 2)) == [11, 12]
            client.close()
            # nothing of the new epoch was committed: a client that crashed here is told again
            with client_of(short_path, offset_path=offset) as again:
                with pytest.raises(EpochChangedError) as caught:
                    next(again.events())
                assert (caught.value.previous, caught.value.epoch) == (old, publisher.epoch)
                events = list(again.events(idle_s=0.3))
                assert numbers(events) == [11, 12]
                again.commit(events[0])
            with client_of(short_path, offset_path=offset) as again:
                assert numbers(take(again, 1)) == [12]


def test_an_old_copy_of_a_journal_is_told(short_path: Path) -> None:
    settings = ipc_settings(short_path)
    offset = short_path / "offset.json"
    with Publisher(settings, "loom1") as publisher:
        publisher.emit(numbered(1))
    copy = settings.journal.read_bytes()
    with Publisher(settings, "loom1") as publisher, client_of(short_path, offset_path=offset) as client:
        publisher.emit(numbered(2))
        client.commit(take(client, 2)[-1])
    settings.journal.write_bytes(copy)
    with Publisher(settings, "loom1"), client_of(short_path, offset_path=offset) as client:
        for _ in range(2):  # it is not passed over
            with pytest.raises(JournalRewoundError, match=r"ends at event 1, and event 3 is wanted"):
                client.receive(WAIT_S)


def test_another_station_is_refused(short_path: Path) -> None:
    offset = short_path / "offset.json"
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit(numbered(1))
        with client_of(short_path, offset_path=offset) as client:
            client.commit(take(client, 1)[0])
        with client_of(short_path, station="loom10") as client, pytest.raises(InputError, match="'loom1' answers, not"):
            client.receive(WAIT_S)
    with pytest.raises(InputError, match="offset of station 'loom1', not of 'loom2'"):
        client_of(short_path, offset_path=offset, station="loom2")
    other = short_path / "other"
    other.mkdir()
    with (
        Publisher(ipc_settings(other), "loom2"),
        client_of(other, offset_path=offset) as client,
        pytest.raises(InputError, match="'loom2' answers, not 'loom1'"),
    ):
        client.receive(WAIT_S)


def test_two_clients_cannot_share_an_offset_file(short_path: Path) -> None:
    offset = short_path / "offset.json"
    with (
        client_of(short_path, offset_path=offset),
        pytest.raises(InputError, match="uses this offset file; give each client its own"),
    ):
        client_of(short_path, offset_path=offset)
    client_of(short_path, offset_path=offset).close()


@pytest.mark.parametrize("endpoint", ["tcp://10.0.0.1:5561", "tcp://127.0.0.1:*", "ipc://x", "nonsense"])
def test_endpoints_that_cannot_be_are_refused(endpoint: str) -> None:
    with pytest.raises(InputError, match="give"):
        EventClient(endpoint, "ipc:///tmp/req")
    with pytest.raises(InputError, match="give"):
        EventClient("ipc:///tmp/pub", endpoint)


class Impostor:
    """A station made of bare sockets that publishes and answers what it is told to."""

    def __init__(self, folder: Path, answer: Callable[[bytes], list[bytes]]) -> None:
        self.context: zmq.Context[Any] = zmq.Context()
        self.pub: zmq.Socket[Any] = self.context.socket(zmq.PUB)
        self.pub.bind(f"ipc://{folder}/pub")
        self.router: zmq.Socket[Any] = self.context.socket(zmq.ROUTER)
        self.router.bind(f"ipc://{folder}/req")
        self.answer = answer
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.serve)

    def serve(self) -> None:
        while not self.ended.is_set():
            self.pub.send_multipart([b"loom1", b"garbage"])
            self.pub.send_multipart([b"loom1", b"{}", b"three"])
            self.pub.send_multipart([b"loom1/beacon", b"[]"])
            if self.router.poll(10):
                identity, body = self.router.recv_multipart()
                self.router.send_multipart([identity, *self.answer(body)])

    def __enter__(self) -> Impostor:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ended.set()
        self.thread.join()
        self.context.destroy(linger=0)


def test_broken_messages_are_not_events_and_a_broken_reply_is_raised(short_path: Path) -> None:
    with Impostor(short_path, lambda _: [b"garbage"]), client_of(short_path) as client:
        for _ in range(2):
            with pytest.raises(EventFormatError, match="not a JSON document"):
                client.receive(WAIT_S)


def test_a_restart_between_two_events_is_ridden_out(short_path: Path) -> None:
    settings = ipc_settings(short_path)
    with client_of(short_path) as client:
        for start in (1, 4, 7):
            with Publisher(settings, "loom1") as publisher:
                publisher.emit_all([numbered(number) for number in range(start, start + 3)])
                assert numbers(take(client, 3)) == list(range(start, start + 3))


STATION = textwrap.dedent(
    """
    import os, signal, sys
    from pathlib import Path
    from events_support import ipc_settings, numbered
    from glass_edge.events.publisher import Publisher
    mode, start = sys.argv[2], int(sys.argv[3])
    with Publisher(ipc_settings(Path(sys.argv[1])), "loom1") as publisher:
        for number in range(start, start + 100_000):
            publisher.emit(numbered(number))
            print(number, flush=True)
            if mode == "unpublished" and number == start + 4:
                publisher.journal.append(numbered(number + 1))  # durable, and nobody was told
                print(number + 1, flush=True)
                os.kill(os.getpid(), signal.SIGKILL)
    """
)


def station(folder: Path, mode: str, start: int) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    command = [sys.executable, "-c", STATION, str(folder), mode, str(start)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_a_kill_between_append_and_publish_loses_nothing(short_path: Path) -> None:
    with client_of(short_path) as client:
        process = station(short_path, "unpublished", 1)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == -signal.SIGKILL
        assert output.split() == ["1", "2", "3", "4", "5", "6"]
        with Publisher(ipc_settings(short_path), "loom1") as publisher:  # the socket files of the dead are reclaimed
            publisher.emit(numbered(7))
            assert numbers(take(client, 7)) == [1, 2, 3, 4, 5, 6, 7]


def test_kills_of_station_and_client_at_any_moment_lose_and_reorder_nothing(short_path: Path) -> None:
    offset = short_path / "offset.json"
    chance = random.Random(11)
    done: list[int] = []  # side effects, in order
    told = 0
    for _ in range(3):
        process = station(short_path, "run", told + 1)
        assert process.stdout is not None
        with client_of(short_path, offset_path=offset) as client:
            for event in take(client, chance.randint(5, 40)):
                done.append(event.seq)
                if chance.random() < 0.5:
                    client.commit(event)
            process.send_signal(signal.SIGKILL)
            lines = process.stdout.read().split()
            process.wait()
        told = int(lines[-1])  # the client "crashed" too: what it did not commit comes again
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        head = publisher.emit(numbered(0)).seq
        assert head > told
        with client_of(short_path, offset_path=offset) as client:
            while not done or done[-1] != head:
                done += [event.seq for event in take(client, 1)]
    newest = 0
    for seq in done:
        assert seq <= newest + 1  # at least once, in order: repeated perhaps, never ahead
        newest = max(newest, seq)
    assert set(done) == set(range(1, head + 1))


def test_closing_is_clean(short_path: Path) -> None:
    before = threading.active_count()
    client = client_of(short_path)
    client.close()
    with client_of(short_path) as client:
        client.receive(0.0)
    client.close()
    eventually(lambda: threading.active_count() == before, "threads ended")
