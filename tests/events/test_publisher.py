"""The publisher over real sockets, with plain ZeroMQ peers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import zmq
from events_support import eventually, ipc_settings, numbered

from glass_edge.config.events import EventSettings
from glass_edge.errors import InputError
from glass_edge.events.errors import EventFormatError, NoAnswerError, PublisherError
from glass_edge.events.journal import Journal
from glass_edge.events.publisher import Publisher
from glass_edge.events.requester import request_replay, request_snapshot, request_status


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    context: zmq.Context[Any] = zmq.Context()
    yield context
    context.destroy(linger=0)


def subscriber(context: zmq.Context[Any], endpoint: str) -> zmq.Socket[Any]:
    """A SUB socket that has heard a beacon: the subscription is in force."""
    sock: zmq.Socket[Any] = context.socket(zmq.SUB)
    sock.setsockopt(zmq.RCVTIMEO, 30_000)
    sock.setsockopt(zmq.SUBSCRIBE, b"")
    sock.connect(endpoint)
    assert sock.recv_multipart()[0] == b"loom1/beacon"
    return sock


def next_event(sock: zmq.Socket[Any]) -> dict[str, Any]:
    while True:
        topic, body = sock.recv_multipart()
        if topic == b"loom1":
            document: dict[str, Any] = json.loads(body)
            return document


def tcp_settings(folder: Path) -> EventSettings:
    return ipc_settings(folder, publish_endpoint="tcp://127.0.0.1:*", request_endpoint="tcp://127.0.0.1:*")


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_events_reach_a_subscriber_in_order(short_path: Path, context: zmq.Context[Any], transport: str) -> None:
    settings = ipc_settings(short_path) if transport == "ipc" else tcp_settings(short_path)
    with Publisher(settings, "loom1") as publisher:
        assert publisher.publish_endpoint.startswith(transport)
        assert not publisher.publish_endpoint.endswith("*")
        sock = subscriber(context, publisher.publish_endpoint)
        sent = [publisher.emit(numbered(1)), *publisher.emit_all([numbered(2), numbered(3)])]
        assert [next_event(sock) for _ in sent] == [json.loads(event.to_json()) for event in sent]
        assert request_status(publisher.request_endpoint).published == 3


def test_beacons_keep_coming_and_tell_the_head(short_path: Path, context: zmq.Context[Any]) -> None:
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        sock = subscriber(context, publisher.publish_endpoint)
        publisher.emit(numbered(1))
        heads = []
        while len(heads) < 3 or heads[-1] != 1:
            topic, body = sock.recv_multipart()
            if topic == b"loom1/beacon":
                heads.append(json.loads(body)["head"])
        assert heads == sorted(heads)


def test_req_and_dealer_peers_are_answered_and_garbage_does_no_harm(
    short_path: Path, context: zmq.Context[Any]
) -> None:
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit_all([numbered(1), numbered(2)])
        dealer: zmq.Socket[Any] = context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.RCVTIMEO, 30_000)
        dealer.connect(publisher.request_endpoint)
        garbage: list[list[bytes]] = [[b""], [b"\xff"], [b"a", b"b", b"c"], [b"", b""], [b'{"request":"replay"}']]
        for frames in garbage:
            dealer.send_multipart(frames)
            *route, header = dealer.recv_multipart()
            assert route == frames[:-1]
            assert json.loads(header)["code"] == "bad_request"
        giant: zmq.Socket[Any] = context.socket(zmq.DEALER)
        giant.connect(publisher.request_endpoint)
        giant.send(b" " * 10_000_000)  # the transport hangs up on it
        req: zmq.Socket[Any] = context.socket(zmq.REQ)
        req.setsockopt(zmq.RCVTIMEO, 30_000)
        req.connect(publisher.request_endpoint)
        req.send_json({"request": "replay", "from_seq": 2, "id": "me"})
        header, document = req.recv_multipart()
        assert json.loads(header)["id"] == "me"
        assert json.loads(document)["seq"] == 2
        status = request_status(publisher.request_endpoint)
        assert (status.requests, status.requests_refused) == (7, 5)


def test_a_peer_that_speaks_no_zeromq_does_no_harm(short_path: Path) -> None:
    with Publisher(tcp_settings(short_path), "loom1") as publisher:
        for endpoint in (publisher.publish_endpoint, publisher.request_endpoint):
            host, port = endpoint.removeprefix("tcp://").split(":")
            with socket.create_connection((host, int(port))) as raw:
                raw.sendall(b"GET / HTTP/1.1\r\n\r\n" * 100)
        publisher.emit(numbered(1))
        reply, documents = request_replay(publisher.request_endpoint, 1)
        assert (reply.head, len(documents)) == (1, 1)


def test_a_subscriber_that_never_reads_holds_nobody_up(short_path: Path, context: zmq.Context[Any]) -> None:
    with Publisher(ipc_settings(short_path, high_water_mark=2), "loom1") as publisher:
        lazy: zmq.Socket[Any] = context.socket(zmq.SUB)
        lazy.setsockopt(zmq.RCVHWM, 1)
        lazy.setsockopt(zmq.SUBSCRIBE, b"")
        lazy.connect(publisher.publish_endpoint)
        eager = subscriber(context, publisher.publish_endpoint)
        eager.setsockopt(zmq.RCVHWM, 0)
        for _ in range(20):
            publisher.emit_all([numbered(number) for number in range(100)])
        eventually(lambda: request_status(publisher.request_endpoint).published == 2000, "all events published")


def test_closing_sends_what_was_emitted(short_path: Path, context: zmq.Context[Any]) -> None:
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        sock = subscriber(context, publisher.publish_endpoint)
        publisher.emit_all([numbered(number) for number in range(600)])
    assert [next_event(sock)["seq"] for _ in range(600)] == list(range(1, 601))
    topic, body = sock.recv_multipart()
    while json.loads(body)["head"] != 600:
        topic, body = sock.recv_multipart()
    assert topic == b"loom1/beacon"


def test_threads_and_files_are_gone_after_closing(short_path: Path) -> None:
    before = threading.active_count()
    publisher = Publisher(ipc_settings(short_path), "loom1")
    publisher.start()
    assert threading.active_count() > before
    publisher.close()
    publisher.close()
    assert threading.active_count() == before
    assert {child.suffix for child in short_path.iterdir() if child.name != "journal.db"} == {".lock"}
    with pytest.raises(PublisherError, match="not running"):
        publisher.emit(numbered(1))
    with pytest.raises(PublisherError, match="started once"):
        publisher.start()
    with Publisher(ipc_settings(short_path), "loom1") as again:
        assert again.emit(numbered(1)).seq == 1


def test_nothing_can_be_emitted_before_the_start(short_path: Path) -> None:
    publisher = Publisher(ipc_settings(short_path), "loom1")
    with pytest.raises(PublisherError, match="not running"):
        publisher.emit(numbered(1))
    publisher.close()


def test_a_port_in_use_is_named(short_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        endpoint = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        for key in ("publish_endpoint", "request_endpoint"):
            settings = ipc_settings(short_path, **{key: endpoint})
            with pytest.raises(InputError, match=f"{endpoint}: in use by another program; stop it or give another"):
                Publisher(settings, "loom1").start()
    with Publisher(settings, "loom1") as publisher:  # all was let go of
        publisher.emit(numbered(1))


def test_a_socket_file_of_a_live_publisher_is_not_taken_over(short_path: Path, context: zmq.Context[Any]) -> None:
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        sock = subscriber(context, publisher.publish_endpoint)
        other = ipc_settings(short_path, journal=short_path / "other.db")
        with pytest.raises(InputError, match=rf"ipc://{short_path}/pub: process {os.getpid()} publishes here"):
            Publisher(other, "loom1").start()
        publisher.emit(numbered(1))
        assert next_event(sock)["seq"] == 1


def test_a_socket_file_of_another_program_is_not_taken_over(short_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as foreign:
        foreign.bind(str(short_path / "pub"))
        foreign.listen()
        with pytest.raises(InputError, match="another program listens there"):
            Publisher(ipc_settings(short_path), "loom1").start()
    # it died and left its socket file: that one is reclaimed
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        publisher.emit(numbered(1))
        assert request_status(publisher.request_endpoint).head == 1


def test_a_file_in_the_way_is_never_removed(short_path: Path) -> None:
    (short_path / "pub").write_text("precious")
    with pytest.raises(InputError, match="is no socket; move it away"):
        Publisher(ipc_settings(short_path), "loom1").start()
    assert (short_path / "pub").read_text() == "precious"


def test_a_bad_journal_is_raised_where_the_publisher_is_started(short_path: Path) -> None:
    with pytest.raises(InputError, match="cannot make the folder /proc/none"):
        Publisher(ipc_settings(short_path, journal=Path("/proc/none/j")), "loom1").start()
    with Journal(short_path / "journal.db", "loom1"), pytest.raises(InputError, match="is writing this journal"):
        Publisher(ipc_settings(short_path), "loom1").start()


def test_a_failure_of_the_thread_reaches_the_emitter(short_path: Path) -> None:
    publisher = Publisher(ipc_settings(short_path), "loom1")
    publisher.start()
    connection = publisher.journal._connection
    connection.execute("INSERT INTO events VALUES (1, 'status', '', 'no event')")
    publisher._wake()
    eventually(lambda: publisher._failure is not None, "the thread's failure")
    with pytest.raises(PublisherError, match="publishing failed: not a JSON document") as caught:
        publisher.emit(numbered(1))
    assert isinstance(caught.value.__cause__, EventFormatError)
    with pytest.raises(PublisherError, match="publishing failed"):
        publisher.close()


def test_no_answer_is_told_in_time(short_path: Path) -> None:
    with pytest.raises(NoAnswerError, match=r"no answer within 0.2 s; is the station running"):
        request_status(f"ipc://{short_path}/nobody", timeout_s=0.2)
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        with pytest.raises(NoAnswerError, match="the station refused: epoch ffff"):
            request_replay(publisher.request_endpoint, 1, epoch="f" * 32)
        epoch, snapshot = request_snapshot(publisher.request_endpoint)
        assert (epoch, snapshot.seq) == (publisher.epoch, 0)


def test_a_second_process_cannot_publish_the_same_journal(short_path: Path) -> None:
    script = textwrap.dedent(
        """
        import sys
        from pathlib import Path
        from events_support import ipc_settings
        from glass_edge.events.publisher import Publisher
        Publisher(ipc_settings(Path(sys.argv[1])), "loom1").start()
        """
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parent)}
    with Publisher(ipc_settings(short_path), "loom1"):
        result = subprocess.run(
            [sys.executable, "-c", script, str(short_path)],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
    assert result.returncode != 0
    assert f"process {os.getpid()} is writing this journal" in result.stderr
