"""The file of an adapter that writes events to an SQL database.

Promises: those of `adapters`; a URL names one database, PostgreSQL or SQLite, and carries no password; a server beyond
this machine is reached encrypted, and by one whose certificate is checked.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import Field, field_validator, model_validator

from glass_edge.config.adapters import AdapterSettings, is_this_machine, secret_relative_to
from glass_edge.config.base import Settings, load_toml

_FORMS = "give postgresql://USER@HOST/DATABASE or sqlite:///FILE"
SslMode = Literal["verify-full", "verify-ca", "disable"]


@dataclass(frozen=True, slots=True)
class ServerPlace:
    """A database of a PostgreSQL server.

    Attributes:
        host: name or address, or the folder of its Unix socket.
        port: of the server.
        user: role that logs in.
        database: its name.
    """

    host: str
    port: int
    user: str
    database: str

    @property
    def is_local(self) -> bool:
        """True when what is sent does not leave this machine."""
        return self.host.startswith("/") or is_this_machine(self.host)


class SqlSettings(Settings):
    """An SQL database that takes events."""

    url: str
    """The database, without a password: postgresql://USER@HOST:PORT/DATABASE; postgresql://USER@/DATABASE?host=/FOLDER
    by the Unix socket in that folder; or sqlite:///FILE, on a local disk."""
    password_file: str | None = None
    """File with the password (mode 0600), or credential:NAME; left out: the server asks for none."""
    sslmode: SslMode | None = None
    """TLS of PostgreSQL. verify-full: the certificate is of ca_file's authority and of that host; verify-ca: of any
    host; disable: none, on this machine only. Left out: verify-full, or disable on this machine."""
    ca_file: Path | None = None
    """PEM file of the authority of the server's certificate; needed with verify-full and verify-ca."""
    schema_name: str = Field(default="glass_edge", pattern=r"^[a-z_][a-z0-9_]{0,62}$")
    """Schema of the tables in PostgreSQL, of glass_edge alone."""
    create_tables: bool = True
    """Make schema and tables when they are not there. False: wait until somebody made them (--print-ddl)."""
    most_events: int = Field(default=500, ge=1, le=5000)
    """Most events that are written in one transaction; as many as wait, never waited for."""
    connect_timeout_s: int = Field(default=5, ge=2, le=60)
    """Longest wait for a connection, s."""
    timeout_s: float = Field(default=30.0, ge=1, le=600)
    """Longest a statement or a lock may take, and the server may be silent, s."""

    @field_validator("url")
    @classmethod
    def _one_database(cls, url: str) -> str:
        if urlsplit(url).scheme == "sqlite":
            sqlite_file(url)
        else:
            server_place(url)
        return url

    @field_validator("schema_name")
    @classmethod
    def _not_reserved(cls, name: str) -> str:
        if name.startswith("pg_") or name == "information_schema":
            raise ValueError("is PostgreSQL's own; give another name")
        return name

    @model_validator(mode="after")
    def _secure(self) -> Self:
        if self.is_sqlite:
            for name in ("password_file", "sslmode", "ca_file"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} is for a server; leave it out for sqlite")
            return self
        place = server_place(self.url)
        if self.tls == "disable":
            if not place.is_local:
                raise ValueError(f"sslmode = 'disable' would send events unencrypted to {place.host}; leave it out")
            if self.ca_file is not None:
                raise ValueError("ca_file is given and no TLS is used; give sslmode, or leave ca_file out")
        elif place.host.startswith("/"):
            raise ValueError("a Unix socket has no TLS; leave sslmode and ca_file out")
        elif self.ca_file is None:
            raise ValueError(
                f"{place.host} is reached with TLS: give ca_file, the PEM file of its certificate's authority"
            )
        return self

    @property
    def is_sqlite(self) -> bool:
        """True for SQLite, False for PostgreSQL."""
        return urlsplit(self.url).scheme == "sqlite"

    @property
    def tls(self) -> SslMode:
        """The mode in force."""
        if self.sslmode is not None:
            return self.sslmode
        return "disable" if self.ca_file is None and server_place(self.url).is_local else "verify-full"

    def relative_to(self, folder: Path) -> Self:
        """The same settings with relative paths counted from `folder`."""
        changes: dict[str, object] = {
            "password_file": None if self.password_file is None else secret_relative_to(self.password_file, folder),
            "ca_file": None if self.ca_file is None else folder / self.ca_file,
        }
        if self.is_sqlite:
            changes["url"] = f"sqlite:///{folder / sqlite_file(self.url)}"
        return self.model_copy(update=changes)


class SqlAdapterSettings(AdapterSettings):
    """File of an adapter that writes events to an SQL database."""

    sql: SqlSettings
    """Where to."""

    def relative_to(self, folder: Path) -> Self:
        """The same settings with relative paths counted from `folder`."""
        return super().relative_to(folder).model_copy(update={"sql": self.sql.relative_to(folder)})


def load_sql_adapter(path: Path) -> SqlAdapterSettings:
    """Read the file of an SQL adapter; its relative paths come back joined to its folder.

    Raises:
        InputError: the file is missing, is no TOML, or a key or value is wrong; all problems are listed.
    """
    return load_toml(path, SqlAdapterSettings).relative_to(path.parent)


def sqlite_file(url: str) -> Path:
    """The file of an sqlite URL, everything behind `sqlite:///` as it stands.

    Raises:
        ValueError: it names none.
    """
    file = url.removeprefix("sqlite:///")
    if file == url or not file or file == ":memory:":
        raise ValueError("names no file; give sqlite:///FILE, or sqlite:////FOLDER/FILE from the root")
    return Path(file)


def server_place(url: str) -> ServerPlace:
    """The server and database of a PostgreSQL URL.

    Raises:
        ValueError: it is no such URL, carries a password, or leaves something open.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        query = parse_qs(parts.query, strict_parsing=True) if parts.query else {}
    except ValueError as error:
        raise ValueError(f"is no URL ({error}); {_FORMS}") from error
    if parts.scheme != "postgresql":
        raise ValueError(f"is no URL of a database; {_FORMS}")
    if parts.password is not None:
        raise ValueError("carries a password; leave it out and give password_file")
    if "host" in query and host is None and query["host"][0].startswith("/"):
        host = query.pop("host")[0]
    if query or parts.fragment:
        raise ValueError("ends in more than the database; only ?host=/FOLDER may follow, of a Unix socket")
    database = unquote(parts.path.removeprefix("/"))
    if not host or "," in host or not parts.username or not database or "/" in database:
        raise ValueError(f"does not name one user, one host and one database; {_FORMS}")
    return ServerPlace(host, port or 5432, unquote(parts.username), database)
