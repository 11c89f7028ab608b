"""A real mosquitto in a folder of its own, that can be killed and started again, and its clients as other readers."""

from __future__ import annotations

import json
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_CLIENTS_FORMAT = "%j"  # a JSON object a message: topic, retain flag, properties, payload

needs_mosquitto = pytest.mark.skipif(
    shutil.which("mosquitto") is None or shutil.which("mosquitto_sub") is None,
    reason="needs the Debian packages mosquitto and mosquitto-clients",
)


def free_port() -> int:
    """A port that no outgoing connection is given meanwhile, so that a killed broker finds it free again."""
    lowest = int(_EPHEMERAL.read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(10_000, lowest)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Mosquitto:
    """A broker; a context manager that ends it.

    Args:
        folder: where it keeps everything.
        lines: further lines of its configuration; without a password file anybody may connect.
    """

    def __init__(self, folder: Path, *lines: str) -> None:
        self.folder = folder
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        fixed = [
            "user root",
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {folder}/",
            "autosave_on_changes true",
            "autosave_interval 1",
        ]
        if not any(line.startswith("password_file") for line in lines):
            fixed.append("allow_anonymous true")
        (folder / "mosquitto.conf").write_text("\n".join([*fixed, *lines]) + "\n")

    @property
    def url(self) -> str:
        return f"mqtt://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(signal.SIGTERM)

    def start(self) -> None:
        """Begin to listen, on the same port as before."""
        with (self.folder / "mosquitto.log").open("ab") as log:
            command = ["mosquitto", "-v", "-c", str(self.folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline_s = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline_s, self.log()
                assert self._process.poll() is None, self.log()
                time.sleep(0.02)

    def end(self, number: signal.Signals) -> None:
        """SIGTERM: it writes what it holds; SIGKILL: it does not."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.wait(20)
            self._process = None

    def reload(self) -> None:
        """Read passwords and access lists anew."""
        assert self._process is not None
        self._process.send_signal(signal.SIGHUP)

    def log(self) -> str:
        return (self.folder / "mosquitto.log").read_text(errors="replace")


def password_file(path: Path, **users: str) -> Path:
    path.write_text("")
    path.chmod(0o700)
    for user, password in users.items():
        subprocess.run(["mosquitto_passwd", "-b", str(path), user, password], check=True, capture_output=True)
    return path


class Subscriber:
    """`mosquitto_sub` of Debian, writing what it gets into a file; a context manager.

    Args:
        port: of the broker.
        path: the file.
        options: of mosquitto_sub, such as topics.
    """

    def __init__(self, port: int, path: Path, *options: str) -> None:
        self._command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-V", "mqttv5", "-q", "1"]
        self._command += ["-F", _CLIENTS_FORMAT, *options]
        self._path = path

    def __enter__(self) -> Self:
        with self._path.open("ab") as file:
            self._process = subprocess.Popen(self._command, stdout=file, stderr=subprocess.DEVNULL)
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(20)

    def messages(self, topic: str = "") -> list[dict[str, Any]]:
        """Whole messages so far whose topic begins with `topic`; `payload` as the document it is."""
        lines = self._path.read_bytes().splitlines(keepends=True)
        found = [json.loads(line) for line in lines if line.endswith(b"\n")]
        for message in found:
            if isinstance(message.get("payload"), str) and message["payload"].startswith("{"):
                message["payload"] = json.loads(message["payload"])
        return [message for message in found if message["topic"].startswith(topic)]


def retained(port: int, topic: str, *options: str) -> list[dict[str, Any]]:
    """What the broker keeps under a topic filter, as a late subscriber gets it."""
    command = ["mosquitto_sub", "-h", "127.0.0.1", "-p", str(port), "-V", "mqttv5", "-F", _CLIENTS_FORMAT]
    command += ["--retained-only", "-W", "1", "-t", topic, *options]
    lines = subprocess.run(command, capture_output=True, check=False, text=True).stdout.splitlines()
    return [json.loads(line) | {"payload": json.loads(json.loads(line)["payload"])} for line in lines]


def publish(port: int, topic: str, payload: str = "", *options: str) -> None:
    command = ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(port), "-V", "mqttv5", "-q", "1", "-t", topic]
    subprocess.run([*command, "-m", payload, *options], check=True, capture_output=True)


def user_property(message: dict[str, Any], name: str) -> str:
    """A user property of a message."""
    properties: dict[str, str] = message["properties"]["user-properties"]
    return properties[name]


def eventually_last(read: Callable[[], list[dict[str, Any]]], what: str, timeout_s: float = 30.0) -> dict[str, Any]:
    """The newest message, waited for."""
    deadline_s = time.monotonic() + timeout_s
    while not (messages := read()):
        assert time.monotonic() < deadline_s, f"never came: {what}"
        time.sleep(0.02)
    return messages[-1]
