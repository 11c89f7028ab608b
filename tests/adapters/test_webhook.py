"""The webhook adapter against a real HTTPS server, good and bad."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import shutil
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest
from adapters_support import Running, eventually, ipc_settings, journaled, offset_seq, roll_drafts
from https_server import Answer, HttpsServer, Taken, make_certificates

from glass_edge.adapters.signature import read_secret, sign
from glass_edge.adapters.sink import PermanentError, RetryableError
from glass_edge.adapters.webhook import WebhookSink, plan
from glass_edge.config.adapter_webhook import WebhookSettings
from glass_edge.errors import InputError
from glass_edge.events.publisher import Publisher

pytest.importorskip("httpx2")

KEY = bytes(range(40))
OK: Answer = (204, {}, b"")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.touch(mode=0o600)
    path.write_text("whsec_" + base64.b64encode(KEY).decode() + "\n")
    return path


def sink_of(url: str, secret: Path, ca_file: Path | None, *, timeout_s: float = 5.0) -> WebhookSink:
    settings = WebhookSettings(url=url, secret_file=secret, ca_file=ca_file, timeout_s=timeout_s, connect_timeout_s=2.0)
    return WebhookSink(settings, "glass-edge/test")


def openssl_signature(taken: Taken) -> str:
    """The signature as another implementation computes it from what came."""
    content = f"{taken.headers['webhook-id']}.{taken.headers['webhook-timestamp']}.".encode() + taken.body
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{KEY.hex()}", "-binary"]
    digest = subprocess.run(command, input=content, capture_output=True, check=True).stdout
    return "v1," + base64.b64encode(digest).decode()


def test_the_vector_of_the_standard() -> None:
    """Standard Webhooks 1.0, the example that its libraries test with."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    signature = sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_a_request_carries_the_document_key_and_signature(
    tmp_path: Path, certificates: tuple[Path, Path], secret: Path
) -> None:
    ca, server_pem = certificates
    taken: list[Taken] = []

    def answer(request: Taken) -> Answer:
        taken.append(request)
        return OK

    received = journaled(tmp_path / "journal", roll_drafts("Röll-1"))
    with HttpsServer(server_pem, answer) as server:
        sink = sink_of(server.url, secret, ca)
        for one in received:
            sink.handle(one)
        sink.close()
    assert [request.body.decode() for request in taken] == [one.document for one in received]
    for request, one in zip(taken, received, strict=True):
        key = f"{one.event.epoch}:{one.event.seq}"
        assert request.headers["Idempotency-Key"] == request.headers["webhook-id"] == key
        assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 60
        assert request.headers["webhook-signature"] == openssl_signature(request)
        assert request.headers["Content-Type"] == "application/json"
        assert key in plan(one)


@pytest.mark.parametrize(
    ("code", "headers", "after_s"),
    [
        (408, {}, None),
        (429, {"Retry-After": "7"}, 7.0),
        (500, {}, None),
        (503, {"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        (503, {"Retry-After": "soon"}, None),
        (302, {"Location": "https://127.0.0.1:1/"}, None),
    ],
)
def test_answers_worth_another_try(  # noqa: PLR0917 - fixtures and cases
    tmp_path: Path,
    certificates: tuple[Path, Path],
    secret: Path,
    code: int,
    headers: dict[str, str],
    after_s: float | None,
) -> None:
    received = journaled(tmp_path / "journal", roll_drafts("R-1", 0))[0]
    with HttpsServer(certificates[1], lambda _: (code, headers, b"busy\x1b[31m")) as server:
        sink = sink_of(server.url, secret, certificates[0])
        with pytest.raises(RetryableError, match=rf"answered {code} \(busy \[31m\)") as caught:
            sink.handle(received)
        sink.close()
    assert caught.value.after_s == after_s


@pytest.mark.parametrize("code", [400, 401, 404, 409, 422])
def test_answers_that_refuse_for_good(tmp_path: Path, certificates: tuple[Path, Path], secret: Path, code: int) -> None:
    received = journaled(tmp_path / "journal", roll_drafts("R-1", 0))[0]
    with HttpsServer(certificates[1], lambda _: (code, {}, b"x" * 100_000)) as server:
        sink = sink_of(server.url, secret, certificates[0])
        with pytest.raises(PermanentError, match=f"answered {code} ") as caught:
            sink.handle(received)
        sink.close()
    assert len(str(caught.value)) < 500


def test_a_certificate_of_an_unknown_authority_is_refused_before_anything_is_sent(
    tmp_path: Path, certificates: tuple[Path, Path], secret: Path
) -> None:
    taken: list[Taken] = []
    received = journaled(tmp_path / "journal", roll_drafts("R-1", 0))[0]
    (tmp_path / "other").mkdir()
    other_ca, _ = make_certificates(tmp_path / "other")
    with HttpsServer(certificates[1], lambda request: taken.append(request) or OK) as server:
        for ca in (None, other_ca):
            sink = sink_of(server.url, secret, ca)
            with pytest.raises(RetryableError, match=r"certificate verify failed.*ca_file"):
                sink.handle(received)
            sink.close()
    assert taken == []


def test_a_server_that_says_nothing_is_given_up_in_time(
    tmp_path: Path, certificates: tuple[Path, Path], secret: Path
) -> None:
    received = journaled(tmp_path / "journal", roll_drafts("R-1", 0))[0]
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, never answers
        sink = sink_of(f"https://127.0.0.1:{silent.getsockname()[1]}/", secret, certificates[0], timeout_s=0.3)
        begun_s = time.monotonic()
        with pytest.raises(RetryableError, match="cannot be reached"):
            sink.handle(received)
        assert time.monotonic() - begun_s < 10
        sink.close()


def test_an_answer_that_trickles_is_read_no_longer_than_the_time_out(tmp_path: Path, secret: Path) -> None:
    received = journaled(tmp_path / "journal", roll_drafts("R-1", 0))[0]

    def trickle(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection, contextlib.suppress(OSError):  # the adapter hangs up
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n")
            for _ in range(4000):
                connection.sendall(b"x")
                time.sleep(0.05)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=trickle, args=(listener,))
        thread.start()
        sink = sink_of(f"http://127.0.0.1:{listener.getsockname()[1]}/", secret, None, timeout_s=0.5)
        begun_s = time.monotonic()
        sink.handle(received)  # the status line says it was taken
        assert time.monotonic() - begun_s < 20
        sink.close()
        thread.join(30)
        assert not thread.is_alive()


class BadMinutes:
    """Takes events as a receiver should: once by key. Half of the answers are bad in some way, while it is bad."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.is_bad = True
        self.bodies: dict[str, bytes] = {}  # in order of arrival
        self.refused: list[str] = []
        self.kinds: dict[str, int] = {}
        self.lock = threading.Lock()

    def __call__(self, request: Taken) -> Answer | None:
        with self.lock:
            trouble = self.chance.choice(["500", "503", "429", "cut", "slow", "late cut"] + ["none"] * 6)
            if not self.is_bad:
                trouble = "none"
            self.kinds[trouble] = self.kinds.get(trouble, 0) + 1
            key = request.headers["webhook-id"]
            if trouble in ("none", "slow", "late cut"):  # taken, though the answer may not arrive
                self.bodies.setdefault(key, request.body)
        match trouble:
            case "500" | "503":
                return int(trouble), {}, b"bad minute"
            case "429":
                return 429, {"Retry-After": "1"}, b""
            case "cut" | "late cut":
                return None
            case "slow":
                time.sleep(0.6)
        return OK


def test_through_a_bad_minute_every_event_arrives_once_and_in_order(
    short_path: Path, certificates: tuple[Path, Path], secret: Path
) -> None:
    ca, server_pem = certificates
    receiver = BadMinutes(7)
    server = HttpsServer(server_pem, receiver)
    port = server.port
    drafts = [draft for number in range(12) for draft in roll_drafts(f"R-{number}", 1)]
    with Publisher(ipc_settings(short_path), "loom1") as publisher:
        with Running(short_path, sink_of(server.url, secret, ca, timeout_s=0.3)) as running:
            with server:
                for draft in drafts[:40]:
                    publisher.emit(draft)
                eventually(lambda: offset_seq(short_path) >= 20, "half of them", timeout_s=60)
            publisher.emit_all(drafts[40:])  # nobody listens: connections are refused
            eventually(lambda: running.status()["state"] == "retrying", "a server that is away")
            with HttpsServer(server_pem, receiver, port):
                eventually(lambda: offset_seq(short_path) >= 60, "more of them", timeout_s=60)
                receiver.is_bad = False
                eventually(lambda: offset_seq(short_path) == len(drafts), "all of them", timeout_s=60)
        epoch = publisher.epoch
    assert list(receiver.bodies) == [f"{epoch}:{seq}" for seq in range(1, len(drafts) + 1)]
    assert [json.loads(body)["seq"] for body in receiver.bodies.values()] == list(range(1, len(drafts) + 1))
    assert min(receiver.kinds.get(kind, 0) for kind in ("500", "503", "429", "cut", "late cut", "slow", "none")) > 0
    assert running.status()["delivered"] == len(drafts)
    assert not (short_path / "state/dead-letters.jsonl").exists()


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660])
def test_a_secret_that_others_may_read_is_refused(secret: Path, mode: int) -> None:
    secret.chmod(mode)
    with pytest.raises(InputError, match=rf"has mode {mode:04o} .* chmod 600"):
        read_secret(WebhookSettings(url="https://mes/", secret_file=secret))


@pytest.mark.parametrize("text", ["", "secret", "whsec_", "whsec_%%%", "whsec_QUJD", "ü"])
def test_what_is_no_secret_is_refused(secret: Path, text: str) -> None:
    secret.write_text(text)
    with pytest.raises(InputError, match="make one"):
        read_secret(WebhookSettings(url="https://mes/", secret_file=secret))


def test_a_missing_secret_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; make one"):
        read_secret(WebhookSettings(url="https://mes/", secret_file=tmp_path / "none"))


def test_a_credential_of_systemd_is_read(tmp_path: Path, secret: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = WebhookSettings(url="https://mes/", secret_credential="secret")
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(InputError, match="CREDENTIALS_DIRECTORY is not set"):
        read_secret(settings)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    secret.chmod(0o440)  # as systemd grants it: to the service alone, by an access list
    assert read_secret(settings) == KEY


def test_a_ca_file_that_is_none_is_told(tmp_path: Path, secret: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    for name in ("ca.pem", "none.pem"):
        with pytest.raises(InputError, match=rf"{name}: cannot be read as certificates"):
            sink_of("https://mes/", secret, tmp_path / name)
