"""The connection of an SQL adapter.

Promises: there is one, made when it is needed and made anew after any error; what a transaction wrote is on the
server's disk when it ends well, and not there when it does not; nothing waits longer than the settings say. The
password is in no message. A certificate is checked as the settings ask.
"""

from __future__ import annotations

import logging
import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from glass_edge.adapters.secret import read_secret_text
from glass_edge.adapters.sink import RetryableError
from glass_edge.adapters.sql_errors import failure
from glass_edge.adapters.sql_schema import prepare
from glass_edge.adapters.sql_watchdog import Watchdog
from glass_edge.config.adapter_sql import SqlSettings, server_place, sqlite_file

# synchronous_commit = off would call a transaction done that a power cut takes back
_SESSION = text(
    "SELECT set_config('search_path', :search_path, false), set_config('statement_timeout', :timeout, false),"
    " set_config('idle_in_transaction_session_timeout', :timeout, false),"
    " set_config('synchronous_commit',"
    " CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on'"
    " ELSE current_setting('synchronous_commit') END, false)"
)


class Database:
    """The database of an adapter; used by one thread.

    Args:
        settings: where it is.
        adapter: name that the server shows of the connection.

    Raises:
        InputError: the password cannot be read.
    """

    def __init__(self, settings: SqlSettings, adapter: str) -> None:
        self._settings = settings
        self._limit_s = 2 * settings.timeout_s  # the server's own time-out comes first, and says more
        self._engine = _sqlite_engine(settings) if settings.is_sqlite else _server_engine(settings, adapter)
        self._connection: Connection | None = None
        self._watchdog: Watchdog | None = None
        for name in ("before_cursor_execute", "commit", "rollback"):
            event.listen(self._engine, name, self._asks)

    def close(self) -> None:
        """Close the connection."""
        if self._watchdog is not None:
            self._watchdog.close()
            self._watchdog = None
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """A connection in a transaction, which ends with the block: done, or undone when that raises.

        Raises:
            RetryableError: the database is away or fails; the next call connects anew.
            InputError: the database is of a later version, or of something else.
        """
        try:
            if self._connection is None:
                self._connection = self._open()
            with self._connection.begin():
                yield self._connection
        except (DBAPIError, sqlite3.Error) as error:
            is_hung = self._watchdog is not None and self._watchdog.has_bitten
            self._drop()
            if is_hung:
                raise RetryableError(
                    f"{self._settings.url}: took a statement and gave no answer for {self._limit_s:g} s; see whether"
                    " the server or what lies before it hangs"
                ) from error
            raise failure(self._settings.url, error) from error
        finally:
            if self._connection is None:
                self.close()  # the watchdog of one that could not be used
            elif self._watchdog is not None:
                self._watchdog.rest()

    def _open(self) -> Connection:
        connection = self._engine.connect()
        try:
            if not self._settings.is_sqlite:
                self._watchdog = Watchdog(connection.connection.fileno(), self._limit_s)
                session = {
                    "search_path": f'"{self._settings.schema_name}"',
                    "timeout": f"{math.ceil(self._settings.timeout_s * 1000)}ms",
                }
                with connection.begin():
                    connection.execute(_SESSION, session)
            with connection.begin():
                prepare(connection, self._settings)
            if self._settings.is_sqlite:  # not before the file is known to be ours: the file keeps it
                connection.connection.cursor().execute("PRAGMA journal_mode=WAL")
        except BaseException:
            connection.invalidate()
            connection.close()
            raise
        return connection

    def _asks(self, *_: object) -> None:
        if self._watchdog is not None:
            self._watchdog.feed()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
        self.close()


def _server_engine(settings: SqlSettings, adapter: str) -> Engine:
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # what it warns of while it ends is raised as well
    place = server_place(settings.url)
    silent_s = max(2, math.ceil(settings.timeout_s))
    options: dict[str, Any] = {
        "sslmode": settings.tls,
        "gssencmode": "disable",  # the certificate decides, not a ticket that happens to be there
        "connect_timeout": settings.connect_timeout_s,
        "application_name": f"glass-edge {adapter}",
        "client_encoding": "utf8",
        # a server that vanished is noticed while an answer is waited for, and while something is sent
        "keepalives_idle": max(1, silent_s // 2),
        "keepalives_interval": max(1, silent_s // 6),
        "keepalives_count": 3,
        "tcp_user_timeout": silent_s * 1000,
    }
    if settings.ca_file is not None:
        options["sslrootcert"] = str(settings.ca_file)
    if settings.password_file is not None:
        remedy = "write the password of the URL's user into it: (umask 077; cat > FILE)"
        options["password"] = read_secret_text(settings.password_file, remedy)
    url = URL.create(
        "postgresql+psycopg", username=place.user, host=place.host, port=place.port, database=place.database
    )
    return create_engine(url, connect_args=options, poolclass=NullPool)


def _sqlite_engine(settings: SqlSettings) -> Engine:
    url = URL.create("sqlite", database=str(sqlite_file(settings.url)))
    # without an isolation level the driver begins no transaction by itself; it is begun below
    options = {"timeout": settings.timeout_s, "isolation_level": None}
    engine = create_engine(url, connect_args=options, poolclass=NullPool)

    @event.listens_for(engine, "connect")
    def _set_up(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA synchronous=FULL")

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine
