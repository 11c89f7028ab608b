"""Who may write to PostgreSQL, by what encryption and rights, and into which tables."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from https_server import make_certificates
from postgres_server import PASSWORD, PostgresServer, needs_postgres
from sql_support import document, received, seqs, sink_of, states

from glass_edge.adapters.sink import RetryableError
from glass_edge.adapters.sql_schema import ddl
from glass_edge.config.adapter_sql import SqlSettings, server_place
from glass_edge.errors import InputError

pytestmark = needs_postgres
PAGE = Path(__file__).parents[2] / "docs/reference/sql.md"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with PostgresServer() as one:
        yield one


@pytest.fixture
def url(server: PostgresServer) -> str:
    """A database of the test's own."""
    return server.make_database()


def refused(match: str, url: object, **settings: object) -> None:
    """A first event is held back, for the reason that is told."""
    with sink_of(str(url), **settings) as sink, pytest.raises(RetryableError, match=match):
        sink.handle_many(states(1))


@pytest.fixture
def secure(server: PostgresServer, url: str, tmp_path: Path) -> dict[str, object]:
    """Settings that log in by TCP, TLS and password."""
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text(PASSWORD + "\n")
    tcp = server.url(server_place(url).database, host="127.0.0.1")
    return {"url": tcp, "password_file": str(password), "ca_file": str(server.folder / "ca.pem")}


def test_tls_and_password_are_used(server: PostgresServer, secure: dict[str, object]) -> None:
    assert SqlSettings.model_validate(secure).tls == "verify-full"
    with sink_of(**secure) as sink:
        sink.handle_many(states(1))
        with server.connect(str(secure["url"])) as other:
            query = "SELECT ssl, usename FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = %s"
            assert other.execute(query, ("glass-edge test",)).fetchall() == [(True, "mill")]
    assert seqs(**secure) == [1]


def test_a_wrong_password_is_told_and_is_in_no_message(secure: dict[str, object]) -> None:
    Path(str(secure["password_file"])).write_text("an old one")
    with sink_of(**secure) as sink:
        with pytest.raises(RetryableError, match=r"password authentication failed.*correct.* password_file") as caught:
            sink.handle_many(states(1))
        assert "an old one" not in str(caught.value)
    Path(str(secure["password_file"])).write_text(PASSWORD)
    with sink_of(**secure) as sink:
        sink.handle_many(states(1))
    assert seqs(**secure) == [1]


def test_a_server_of_another_authority_is_not_talked_to(secure: dict[str, object], tmp_path: Path) -> None:
    make_certificates(tmp_path)
    refused(r"certificate verify failed.*ca_file", **(secure | {"ca_file": str(tmp_path / "ca.pem")}))


def test_a_certificate_of_another_host_is_refused_unless_the_authority_is_enough(
    server: PostgresServer, secure: dict[str, object]
) -> None:
    other = server.url(server_place(str(secure["url"])).database, host="127.0.0.2")
    refused(r'does not match host name "127.0.0.2"', **(secure | {"url": other}))
    with sink_of(**(secure | {"url": other, "sslmode": "verify-ca"})) as sink:
        sink.handle_many(states(1))


def test_a_ca_file_that_is_not_there_is_named(secure: dict[str, object]) -> None:
    refused(r"/nowhere/ca.pem.*does not exist", **(secure | {"ca_file": "/nowhere/ca.pem"}))


def test_what_the_page_grants_is_enough_and_an_event_is_never_changed(server: PostgresServer, url: str) -> None:
    (rights,) = re.findall(r"```sql rights\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    settings = SqlSettings(url=url, create_tables=False)
    mine = url.replace("mill@", "glass_edge@")
    make_role, _, grant = rights.partition(";")
    server.psql(make_role)
    with sink_of(mine, create_tables=False) as sink:
        with pytest.raises(RetryableError, match=r"its tables are not there.*--print-ddl"):
            sink.handle_many(states(1))
        server.psql(ddl(settings), server_place(url).database)
        with pytest.raises(RetryableError, match="grant the rights"):
            sink.handle_many(states(1))
        server.psql(grant, server_place(url).database)
        gap = {"first_line": 1, "end_line": 2, "along_mm": 0.5, "length_m": 0.1, "reason": "overrun"}
        start = {"first_line": 0, "mm_per_px": 0.1, "mm_per_line": 0.2}
        roll = [document("roll.start", start, roll="R"), document("coverage.gap", gap, roll="R")]
        batch = received([*(one | {"seq": seq} for seq, one in enumerate(roll, start=3))])
        sink.handle_many(batch[1:])
        sink.handle_many([*states(1, 2), *batch])  # they come late, and are folded anew
    for right, is_given in (("SELECT", True), ("INSERT", True), ("UPDATE", False), ("DELETE", False)):
        query = f"SELECT has_table_privilege('glass_edge', 'glass_edge.events', '{right}')"
        assert server.psql(query, server_place(url).database).strip() == ("t" if is_given else "f")
    assert seqs(mine, create_tables=False) == [1, 2, 3, 4]


def test_without_the_right_to_make_a_schema_it_waits(server: PostgresServer, url: str) -> None:
    server.psql("CREATE ROLE guest LOGIN")
    refused("grant the rights", url.replace("mill@", "guest@"))


def test_a_database_that_is_not_there_is_named(url: str) -> None:
    refused(r'database "nowhere" does not exist.*correct url', re.sub(r"mill\d+", "nowhere", url))


def test_tables_of_a_later_release_are_refused_and_left_alone(server: PostgresServer, url: str) -> None:
    with sink_of(url) as sink:
        sink.handle_many(states(1))
        with server.connect(url) as other:
            other.execute("UPDATE glass_edge.schema_version SET version = 2")
        with pytest.raises(InputError, match="of version 2, this program writes version 1; use the release that made"):
            sink_of(url)
        server.psql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'glass-edge test'")
        with pytest.raises(RetryableError):
            sink.handle_many(states(2))
        with pytest.raises(InputError, match="of version 2"):  # which the runner tries again, while a person is called
            sink.handle_many(states(2))
    with server.connect(url) as other:
        assert other.execute("SELECT count(*) FROM glass_edge.events").fetchone() == (1,)


def test_tables_of_something_else_are_left_alone(server: PostgresServer, url: str) -> None:
    with server.connect(url) as other:
        other.execute("CREATE SCHEMA glass_edge CREATE TABLE rolls (id integer)")
    with pytest.raises(InputError, match="holds a table 'rolls' of something else; give another schema_name"):
        sink_of(url)


def test_a_database_that_lacks_letters_is_refused(server: PostgresServer) -> None:
    url = server.make_database("ENCODING 'LATIN1' TEMPLATE template0")
    with pytest.raises(InputError, match="encoding is LATIN1"):
        sink_of(url)


def test_many_that_start_at_the_same_time_make_the_tables_once(url: str) -> None:
    ready, errors = threading.Barrier(8), []

    def start() -> None:
        try:
            ready.wait()
            with sink_of(url) as sink:
                sink.handle_many(states(1))
        except BaseException as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert seqs(url) == [1]
