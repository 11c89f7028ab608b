"""Keys and who may connect, over real tcp sockets."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zmq
from events_support import eventually, ipc_settings, numbered
from typer.testing import CliRunner

from glass_edge.cli.main import app, run
from glass_edge.config.base import load_toml
from glass_edge.config.events import CurveSettings, EventSettings
from glass_edge.errors import InputError
from glass_edge.events.client import EventClient, Received
from glass_edge.events.curve import AllowList
from glass_edge.events.curve_keys import ClientKeys, allow, allowed, make_key_pair, read_pair, read_public, revoke
from glass_edge.events.errors import NoAnswerError
from glass_edge.events.publisher import Publisher
from glass_edge.events.requester import request_replay, request_status

REFUSED_S = 1.5
"""How long a refused client is left to try; an allowed one is answered in milliseconds."""


class Mill:
    """A folder with the keys of a station and of clients."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clients = folder / "clients"
        self.clients.mkdir()
        self.server_secret, self.server_public = make_key_pair(folder / "keys", "station")

    def client(self, name: str, *, is_allowed: bool = True) -> ClientKeys:
        secret, public = make_key_pair(self.folder / "keys", name)
        if is_allowed:
            allow(public, self.clients)
        return ClientKeys(read_public(self.server_public), read_pair(str(secret)))

    def settings(self, **changes: object) -> EventSettings:
        return ipc_settings(
            self.folder,
            publish_endpoint="tcp://127.0.0.1:*",
            request_endpoint="tcp://127.0.0.1:*",
            curve={"server_key": str(self.server_secret), "allowed_clients": self.clients},
            **changes,
        )


@pytest.fixture
def mill(short_path: Path) -> Mill:
    return Mill(short_path)


@contextmanager
def follower(publisher: Publisher, keys: ClientKeys | None) -> Iterator[EventClient]:
    with EventClient(
        publisher.publish_endpoint, publisher.request_endpoint, request_timeout_s=0.5, keys=keys
    ) as client:
        yield client


def refused(publisher: Publisher, keys: ClientKeys) -> int:
    """Connections refused, -1 while the station cuts connections: a request on its way is lost then."""
    try:
        return request_status(publisher.request_endpoint, timeout_s=2.0, keys=keys).clients_refused
    except NoAnswerError:
        return -1


def next_seq(client: EventClient) -> int:
    item = client.receive(30.0)
    assert isinstance(item, Received)
    return item.event.seq


def test_an_allowed_client_is_served_and_others_are_not(mill: Mill) -> None:
    mes, stranger = mill.client("mes"), mill.client("stranger", is_allowed=False)
    wrong_station = ClientKeys(stranger.own.public, mes.own)
    with Publisher(mill.settings(), "loom1") as publisher:
        publisher.emit(numbered(1))
        with follower(publisher, mes) as client:
            assert next_seq(client) == 1
            publisher.emit(numbered(2))
            assert next_seq(client) == 2
        for keys in (stranger, wrong_station, None):
            with pytest.raises(NoAnswerError):
                request_replay(publisher.request_endpoint, 1, timeout_s=REFUSED_S, keys=keys)
            with follower(publisher, keys) as client:
                assert client.receive(REFUSED_S) is None
                assert client.silent_s == float("inf")
        status = request_status(publisher.request_endpoint, keys=mes)
        assert status.clients_refused > 0
        assert status.published == 2


def test_nothing_can_be_read_on_the_wire(mill: Mill) -> None:
    """A proxy between client and station sees neither the station's name nor a document."""
    mes = mill.client("mes")
    seen = bytearray()
    with Publisher(mill.settings(), "loom1") as publisher, socket.create_server(("127.0.0.1", 0)) as server:
        publisher.emit(numbered(4711))
        port = int(publisher.request_endpoint.rsplit(":", 1)[1])

        def forward(source: socket.socket, sink: socket.socket) -> None:
            while data := source.recv(4096):
                seen.extend(data)
                sink.sendall(data)

        def proxy() -> None:
            near, _ = server.accept()
            with near, socket.create_connection(("127.0.0.1", port)) as far:
                back = threading.Thread(target=forward, args=(far, near), daemon=True)
                back.start()
                forward(near, far)

        threading.Thread(target=proxy, daemon=True).start()
        endpoint = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        reply, documents = request_replay(endpoint, 1, keys=mes)
        assert b"4711" in documents[0]
        assert reply.station == "loom1"
    assert b"CURVE" in seen
    for secret in (b"loom1", b"4711", b"replay", b"status"):
        assert secret not in seen


def test_clients_are_allowed_and_revoked_while_the_station_runs(mill: Mill) -> None:
    mes, plc = mill.client("mes"), mill.client("plc", is_allowed=False)
    with Publisher(mill.settings(), "loom1") as publisher:
        with pytest.raises(NoAnswerError):
            request_status(publisher.request_endpoint, timeout_s=REFUSED_S, keys=plc)
        allow(mill.folder / "keys" / "plc.key", mill.clients)
        assert request_status(publisher.request_endpoint, timeout_s=30.0, keys=plc).head == 0
        with follower(publisher, mes) as first, follower(publisher, plc) as second:
            publisher.emit(numbered(1))
            assert [next_seq(first), next_seq(second)] == [1, 1]
            before = request_status(publisher.request_endpoint, keys=mes).clients_refused
            revoke("plc", mill.clients)
            # the open connection is cut too: it comes back, and is refused
            eventually(lambda: refused(publisher, mes) > before, "the revoked client is refused")
            for number in range(2, 5):
                publisher.emit(numbered(number))
            assert [next_seq(first) for _ in range(3)] == [2, 3, 4]
            assert second.receive(REFUSED_S) is None
            with pytest.raises(NoAnswerError):
                request_status(publisher.request_endpoint, timeout_s=REFUSED_S, keys=plc)


def test_ipc_sockets_need_no_keys(mill: Mill) -> None:
    mes = mill.client("mes")
    settings = mill.settings().model_copy(update={"request_endpoint": f"ipc://{mill.folder}/r"})
    with Publisher(settings, "loom1") as publisher:
        publisher.emit(numbered(1))
        assert request_status(publisher.request_endpoint).head == 1
        with follower(publisher, mes) as client:
            assert next_seq(client) == 1


def test_threads_end_and_a_bad_key_lets_nothing_start(mill: Mill) -> None:
    before = threading.active_count()
    with Publisher(mill.settings(), "loom1") as publisher:
        publisher.emit(numbered(1))
    eventually(lambda: threading.active_count() == before, "threads ended")
    mill.server_secret.chmod(0o640)
    with pytest.raises(InputError, match=r"station.key_secret: others may read this secret key \(mode 0640\)"):
        Publisher(mill.settings(), "loom1").start()
    mill.server_secret.chmod(0o600)
    (mill.clients / "odd.key").write_text("nothing")
    with pytest.raises(InputError, match=r"odd\.key: is no key"):
        Publisher(mill.settings(), "loom1").start()
    assert threading.active_count() == before


def test_what_cannot_be_read_lets_nobody_in_and_refusals_are_told_once(
    mill: Mill, caplog: pytest.LogCaptureFixture
) -> None:
    mes = mill.client("mes")
    clients = AllowList(mill.clients)
    assert clients.callback("", mes.own.public)
    assert not clients.take_removal()
    (mill.clients / "odd.key").write_text("nothing")
    with caplog.at_level(logging.WARNING):
        assert not clients.callback("", mes.own.public)
        assert not clients.callback("", mes.own.public)
    assert clients.take_removal()
    assert not clients.take_removal()
    assert clients.refused == 2
    assert [record.getMessage().split(":")[0].split(" of ")[0] for record in caplog.records] == [
        "nobody may connect",
        "1 connections",
    ]
    (mill.clients / "odd.key").unlink()
    assert clients.callback("", mes.own.public)


def test_key_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    previous = os.umask(0)  # whatever the umask is, the secret is private
    secret, public = make_key_pair(tmp_path, "loom1")
    os.umask(previous)
    assert secret.stat().st_mode & 0o777 == 0o600
    pair = read_pair(str(secret))
    assert read_public(public) == pair.public == zmq.curve_public(pair.secret)
    assert pair.secret not in public.read_bytes()
    with pytest.raises(InputError, match="is there already"):
        make_key_pair(tmp_path, "loom1")
    with pytest.raises(InputError, match="is no name"):
        make_key_pair(tmp_path, "../loom1")
    with pytest.raises(InputError, match="holds a secret key"):
        allow(secret, tmp_path / "clients")
    public.chmod(0o600)
    with pytest.raises(InputError, match="holds no secret key"):
        read_pair(str(public))
    with pytest.raises(InputError, match=r"absent: cannot be read"):
        read_pair(str(tmp_path / "absent"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(InputError, match="there are no credentials here"):
        read_pair("credential:loom1.key_secret")
    secret.chmod(0o440)  # as systemd hands it over
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    assert read_pair("credential:loom1.key_secret") == pair
    with pytest.raises(InputError, match="is no name"):
        read_pair("credential:../loom1.key_secret")


def test_settings(tmp_path: Path) -> None:
    path = tmp_path / "events.toml"
    tcp = 'publish_endpoint = "tcp://10.0.0.1:5561"\n'
    path.write_text(tcp)
    with pytest.raises(InputError, match="loopback"):
        load_toml(path, EventSettings)
    path.write_text(tcp + '[curve]\nserver_key = "credential:events"\nallowed_clients = "clients"\n')
    settings = load_toml(path, EventSettings).relative_to(tmp_path)
    assert settings.publish_endpoint == "tcp://10.0.0.1:5561"
    assert settings.curve == CurveSettings(server_key="credential:events", allowed_clients=tmp_path / "clients")
    path.write_text(tcp + '[curve]\nserver_key = "k"\n')
    with pytest.raises(InputError) as caught:
        load_toml(path, EventSettings)
    assert "allowed_clients" in str(caught.value)
    assert "loopback" not in str(caught.value)
    with pytest.raises(InputError, match="loopback"):
        EventClient("tcp://10.0.0.1:5561", "tcp://10.0.0.1:5562")


def test_the_command_line(mill: Mill, capsys: pytest.CaptureFixture[str]) -> None:
    keys = mill.folder / "keys"
    assert run(["keys", "new", "hmi", "--folder", str(keys)]) == 0
    assert run(["keys", "new", "hmi", "--folder", str(keys)]) == 2
    assert run(["keys", "allow", str(keys / "hmi.key"), "--clients", str(mill.clients)]) == 0
    assert run(["keys", "allow", str(keys / "hmi.key_secret"), "--clients", str(mill.clients)]) == 2
    told = CliRunner().invoke(app, ["keys", "list", "--clients", str(mill.clients)]).output
    assert told.split() == ["hmi", read_public(keys / "hmi.key").decode(), "observer"]
    with Publisher(mill.settings(), "loom1") as publisher:
        publisher.emit_all([numbered(1), numbered(2)])
        own = ["--server-key", str(mill.server_public), "--client-key", str(keys / "hmi.key_secret")]
        capsys.readouterr()
        assert run(["events", "replay", "--request", publisher.request_endpoint, *own]) == 0
        assert capsys.readouterr().out.count("loom1 #") == 2
        ends = ["--endpoint", publisher.publish_endpoint, "--request", publisher.request_endpoint]
        assert run(["events", "tail", *ends, *own, "--from-start", "--limit", "2"]) == 0
        assert capsys.readouterr().out.count("loom1 #") == 2
        assert run(["events", "tail", *ends, *own[:2], "--limit", "2"]) == 2
        assert run(["keys", "revoke", "hmi", "--clients", str(mill.clients)]) == 0
        assert run(["keys", "revoke", "hmi", "--clients", str(mill.clients)]) == 2
        started_s = time.monotonic()
        assert run(["events", "replay", "--request", publisher.request_endpoint, *own, "--timeout", "1"]) == 1
        assert time.monotonic() - started_s < 30
    assert allowed(mill.clients) == {}
