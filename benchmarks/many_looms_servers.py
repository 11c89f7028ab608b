"""The servers of `many_looms.py`: one mosquitto and one PostgreSQL, as a mill would run them, and what they cost.

Programs refuse to run as root: PostgreSQL then runs as the user postgres, or nobody. Needs the Debian packages
mosquitto, mosquitto-clients and postgresql.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import pwd
import random
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_PG_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def free_port() -> int:
    """A free port of 127.0.0.1 below those of outgoing connections, so that it stays free while a server is down."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    while True:
        time.sleep(0.02)
        if process.poll() is not None:
            raise SystemExit("a server does not start; see its log")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
            return
        except OSError:
            continue


def _ticks(pid: int) -> int:
    """Processor time of a process and of its children that ended, in ticks."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15])


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


class Broker:
    """A mosquitto that saves its state as Debian's does, with a second log line for each connection."""

    def __init__(self, folder: Path, *, with_tls: bool) -> None:
        self._folder = folder
        self.port = free_port()
        self.ca = make_certificates(folder) if with_tls else None
        lines = [
            "user root",
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "persistence true",
            f"persistence_location {folder}/",
            "max_queued_messages 1000000",  # of the one reader, while 300 stations tell what waited
            "log_timestamp_format %s",
            f"log_dest file {folder}/mosquitto.log",
        ]
        if with_tls:
            lines[2:2] = [f"cafile {self.ca}", f"certfile {folder}/server.pem", f"keyfile {folder}/server.pem"]
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None
        self._spent_s = 0.0

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"{'mqtt' if self.ca is None else 'mqtts'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Begin to serve, on the same port as before."""
        self._process = subprocess.Popen(["mosquitto", "-c", str(self._folder / "mosquitto.conf")])
        _wait_for(self.port, self._process)

    def stop(self, number: signal.Signals) -> None:
        """SIGTERM: it saves what it holds; SIGKILL: it does not."""
        if self._process is not None:
            self._spent_s = self.cpu_s()
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def cpu_s(self) -> float:
        """Processor time since the first start, s."""
        now = 0.0 if self._process is None else _ticks(self._process.pid) / _TICKS_PER_S
        return self._spent_s + now

    def memory_mb(self) -> float:
        """What it holds, MB."""
        assert self._process is not None
        text = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(next(line.split()[1] for line in text.splitlines() if line.startswith("VmRSS"))) / 1000

    def connections(self) -> list[int]:
        """Seconds since 1970 of each client that was let in."""
        lines = (self._folder / "mosquitto.log").read_text(errors="replace").splitlines()
        return [int(line.split(":")[0]) for line in lines if "New client connected" in line and "glass-edge" in line]


class Postgres:
    """A PostgreSQL with its defaults but for the number of connections, and with the time of each commit kept."""

    def __init__(self, folder: Path, connections: int) -> None:
        if not _PG_FOLDERS:
            raise SystemExit("needs the Debian package postgresql")
        self._bin = _PG_FOLDERS[-1]
        self._folder = folder
        self._data = folder / "data"
        self.port = free_port()
        self._user = self._run_as()
        self._spent_s = 0.0
        self._process: subprocess.Popen[bytes] | None = None
        self._data.mkdir()
        if self._user is not None:
            for path in (folder, self._data):
                shutil.chown(path, self._user)
        self._run("initdb", "-D", str(self._data), "-U", "mill", "-A", "trust", "-E", "UTF8", "--locale=C")
        settings = {
            "port": self.port,
            "listen_addresses": "'127.0.0.1'",
            "unix_socket_directories": f"'{folder}'",
            "max_connections": connections,
            "track_commit_timestamp": "on",
            "log_connections": "on",
            "log_line_prefix": "'%n '",
        }
        with (self._data / "postgresql.conf").open("a") as file:
            file.write("".join(f"{name} = {value}\n" for name, value in settings.items()))

    @staticmethod
    def _run_as() -> str | None:
        if os.geteuid() != 0:
            return None
        try:
            return pwd.getpwnam("postgres").pw_name
        except KeyError:
            return "nobody"

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"postgresql://mill@127.0.0.1:{self.port}/postgres"

    def _as_user(self, *command: str) -> list[str]:
        words = [str(self._bin / command[0]), *command[1:]]
        return words if self._user is None else ["setpriv", f"--reuid={self._user}", "--clear-groups", *words]

    def _run(self, *command: str) -> None:
        subprocess.run(self._as_user(*command), check=True, stdout=subprocess.DEVNULL, cwd="/")

    def start(self) -> None:
        """Begin to serve, on the same port as before."""
        with (self._folder / "postgres.log").open("ab") as log:
            command = self._as_user("postgres", "-D", str(self._data))
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        _wait_for(self.port, self._process)

    def stop(self, number: signal.Signals) -> None:
        """SIGTERM: when all clients left; SIGINT: with their transactions undone; SIGQUIT: at once."""
        if self._process is not None:
            self._spent_s = self.cpu_s()
            self._process.send_signal(number)
            self._process.wait()
            self._process = None

    def cpu_s(self) -> float:
        """Processor time of all its processes since the first start, s."""
        if self._process is None:
            return self._spent_s
        ticks = _ticks(self._process.pid)
        for child in _children(self._process.pid):
            try:
                ticks += _ticks(child)
            except FileNotFoundError:
                continue  # it ended, and is counted next time as one that did
        return self._spent_s + ticks / _TICKS_PER_S

    def connections(self) -> list[float]:
        """Seconds since 1970 of each client that logged in, and of each that was refused meanwhile."""
        lines = (self._folder / "postgres.log").read_text(errors="replace").splitlines()
        return [float(line.split()[0]) for line in lines if "connection authorized" in line]


def make_certificates(folder: Path) -> Path:
    """`ca.pem`, and `server.pem` with key and certificate for 127.0.0.1; returns the first."""
    now = datetime.datetime.now(datetime.UTC)

    def signed(subject: str, key: ec.EllipticCurvePrivateKey, *, is_ca: bool) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mill")]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        names = x509.SubjectAlternativeName([address])
        builder = builder if is_ca else builder.add_extension(names, critical=False)
        return builder.sign(ca_key, hashes.SHA256())

    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    ca = folder / "ca.pem"
    ca.write_bytes(signed("mill", ca_key, is_ca=True).public_bytes(pem))
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    server = folder / "server.pem"
    server.touch(mode=0o600)
    server.write_bytes(private + signed("server", key, is_ca=False).public_bytes(pem))
    return ca
