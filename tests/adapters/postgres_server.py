"""A real PostgreSQL server for a test: made in a folder of its own, with certificates, started, killed, set back.

The programs refuse to run as root; then they run as the user postgres, or nobody. Needs the Debian package postgresql.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg
import pytest
from https_server import make_certificates

from glass_edge.config.adapter_sql import server_place

sys.path.append(str(Path(__file__).resolve().parents[1] / "events"))
from tcp_proxy import free_port

PASSWORD = "a word that is in no message"
_FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name))
BIN = _FOLDERS[-1] if _FOLDERS and (_FOLDERS[-1] / "initdb").exists() else None
needs_postgres = pytest.mark.skipif(BIN is None, reason="needs PostgreSQL: install the package postgresql")


def _user() -> str | None:
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError):
        return pwd.getpwnam("postgres").pw_name
    return "nobody"


class PostgresServer:
    """A server with the superuser `admin`, and the role `mill` that logs in by PASSWORD; a context manager.

    Args:
        settings: of the server, in the place of those of the tests.

    Attributes:
        folder: where it lives; its Unix socket is there.
        port: on 127.0.0.1, with TLS by a certificate of `folder / "ca.pem"`.
    """

    def __init__(self, **settings: object) -> None:
        self._settings = settings
        self.folder = Path(tempfile.mkdtemp(prefix="ge-pg-"))
        self.port = free_port()
        self.data = self.folder / "data"
        self._user = _user()
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        make_certificates(self.folder)
        self.data.mkdir()
        if self._user is not None:
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, self._user)
        (self.folder / "server.pem").chmod(0o600)
        self._run("initdb", "-D", self.data, "-U", "admin", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C")
        rules = "local all all trust\nhostssl all all 127.0.0.0/8 scram-sha-256\n"
        (self.data / "pg_hba.conf").write_text(rules)
        settings = {
            "port": self.port,
            "listen_addresses": "'127.0.0.1,127.0.0.2'",
            "unix_socket_directories": f"'{self.folder}'",
            "ssl": "on",
            "ssl_cert_file": f"'{self.folder}/server.pem'",
            "ssl_key_file": f"'{self.folder}/server.pem'",
            "shared_buffers": "'16MB'",
            "max_connections": 30,
            "lc_messages": "'C'",
            "fsync": "off",  # the machine keeps running: what a killed server has handed to it is there
            "synchronous_commit": "off",  # but this loses what was committed last when the server is killed
        } | self._settings
        with (self.data / "postgresql.auto.conf").open("a") as stream:
            stream.writelines(f"{name} = {value}\n" for name, value in settings.items())
        self.start()
        self.psql(f"CREATE ROLE mill LOGIN PASSWORD '{PASSWORD}'")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self.folder)

    def start(self) -> None:
        self._run("pg_ctl", "-D", self.data, "-w", "-t", "60", "-l", self.folder / "log", "start")

    def stop(self) -> None:
        """As a power cut: nothing is written any more, the next start recovers."""
        with contextlib.suppress(subprocess.CalledProcessError):  # it is not running
            self._run("pg_ctl", "-D", self.data, "-w", "-m", "immediate", "stop")

    def psql(self, commands: str, database: str = "postgres") -> str:
        """Run commands as the superuser; their output, a line a row, columns parted by |."""
        arguments = ["-h", self.folder, "-p", self.port, "-U", "admin", "-d", database]
        return self._run("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", *arguments, text=commands)

    def make_database(self, options: str = "") -> str:
        """A new database of `mill`'s own; its URL by the Unix socket."""
        name = f"mill{next(self._numbers)}"
        self.psql(f"CREATE DATABASE {name} OWNER mill {options}")
        return self.url(name)

    def connect(self, url: str) -> psycopg.Connection:
        """As the superuser, to the database of a URL; a context manager that commits."""
        name = server_place(url).database
        return psycopg.connect(host=str(self.folder), port=self.port, user="admin", dbname=name)

    @contextlib.contextmanager
    def small_disk(self, room_mb: int) -> Iterator[str]:
        """A database on a disk of its own; its URL. Skips where no file system can be mounted."""
        folder = self.folder / "small"
        folder.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", f"size={room_mb}m", "tmpfs", folder]
        if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
            pytest.skip("needs to mount a file system of its own")
        try:
            assert self._user is not None
            shutil.chown(folder, self._user)
            self.psql(f"CREATE TABLESPACE small LOCATION '{folder}'")
            url = self.make_database("TABLESPACE small")
            try:
                yield url
            finally:
                self.psql(f"DROP DATABASE {server_place(url).database} WITH (FORCE)")
                self.psql("DROP TABLESPACE small")
        finally:
            subprocess.run(["umount", "-l", folder], check=True)

    def widen_disk(self, room_mb: int) -> None:
        """Make room on the small disk."""
        options = f"remount,size={room_mb}m"
        subprocess.run(["mount", "-o", options, self.folder / "small"], check=True)

    def url(self, database: str, *, user: str = "mill", host: str | None = None) -> str:
        """By the Unix socket, or by TCP to `host`."""
        if host is None:
            return f"postgresql://{user}@:{self.port}/{database}?host={self.folder}"
        return f"postgresql://{user}@{host}:{self.port}/{database}"

    def _run(self, program: str, *arguments: Any, text: str = "") -> str:  # noqa: ANN401 - anything with a str
        assert BIN is not None
        environment = {"LC_ALL": "C", "PATH": os.environ["PATH"]}
        command = [BIN / program, *map(str, arguments)]
        ended = subprocess.run(
            command, input=text, capture_output=True, check=False, text=True, user=self._user, env=environment, cwd="/"
        )
        if ended.returncode:
            raise subprocess.CalledProcessError(ended.returncode, program, ended.stdout, ended.stderr)
        return ended.stdout
