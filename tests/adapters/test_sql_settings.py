from __future__ import annotations

import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from glass_edge.adapters.sql_extra import require_extra
from glass_edge.config.adapter_sql import ServerPlace, SqlSettings, load_sql_adapter, server_place
from glass_edge.config.station import load_station
from glass_edge.errors import InputError, MissingExtraError

DEPLOY = Path(__file__).resolve().parents[2] / "deploy"
FILE = 'adapter = "a"\nstate = { folder = "s" }\n[sql]\n'


def test_the_sample_follows_the_sample_station() -> None:
    station, settings = load_station(DEPLOY / "replay-station.toml"), load_sql_adapter(DEPLOY / "adapter-sql.toml")
    assert settings.source.station == station.station
    assert settings.source.publish_endpoint == station.events.publish_endpoint
    assert settings.source.request_endpoint == station.events.request_endpoint
    assert settings.state.folder.parent.resolve() == station.output.folder.resolve()


def test_the_lines_of_the_sample_that_are_for_a_server_load(tmp_path: Path) -> None:
    lines = (DEPLOY / "adapter-sql.toml").read_text().splitlines()
    server = [
        line.removeprefix("# ") if line.startswith(("# url =", "# password", "# ca_file")) else line for line in lines
    ]
    file = tmp_path / "a.toml"
    file.write_text("\n".join(line for line in server if not line.startswith('url = "sqlite')))
    settings = load_sql_adapter(file).sql
    assert settings.tls == "verify-full"
    assert settings.password_file == str(tmp_path / "sql-password")
    assert settings.ca_file == tmp_path / "mill-ca.pem"


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(FILE + 'url = "sqlite:///looms.sqlite"\n')
    assert load_sql_adapter(file).sql.url == f"sqlite:///{tmp_path}/looms.sqlite"
    file.write_text(FILE + 'url = "sqlite:////var/looms.sqlite"\n')
    assert load_sql_adapter(file).sql.url == "sqlite:////var/looms.sqlite"
    file.write_text(FILE + 'url = "postgresql://g@h/d"\npassword_file = "credential:sql"\nca_file = "/ca.pem"\n')
    settings = load_sql_adapter(file).sql
    assert (settings.password_file, settings.ca_file) == ("credential:sql", Path("/ca.pem"))


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://g@db.mill/looms", ServerPlace("db.mill", 5432, "g", "looms")),
        ("postgresql://a%40b@[::1]:6000/my%20looms", ServerPlace("::1", 6000, "a@b", "my looms")),
        ("postgresql://g@/d?host=/run/postgresql", ServerPlace("/run/postgresql", 5432, "g", "d")),
        ("postgresql://g@:5433/d?host=/run/postgresql", ServerPlace("/run/postgresql", 5433, "g", "d")),
    ],
)
def test_urls_of_servers(url: str, place: ServerPlace) -> None:
    assert server_place(url) == place


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("postgresql://g:secret@h/d", "carries a password; leave it out and give password_file"),
        ("postgresql://h/d", "does not name one user"),
        ("postgresql://g@/d", "does not name one user"),
        ("postgresql://g@h", "does not name one user"),
        ("postgresql://g@h/d/e", "does not name one user"),
        ("postgresql://g@h1,h2/d", "does not name one user"),
        ("postgresql://g@h/d?sslmode=disable", "ends in more than the database"),
        ("postgresql://g@h/d?host=/run", "ends in more than the database"),
        ("postgresql://g@/d?host=elsewhere", "ends in more than the database"),
        ("postgresql://g@h/d#x", "ends in more than the database"),
        ("postgresql://g@h:99999/d", "is no URL"),
        ("postgresql+psycopg2://g@h/d", "is no URL of a database"),
        ("mysql://g@h/d", "is no URL of a database"),
        ("looms.sqlite", "is no URL of a database"),
        ("sqlite://", "names no file"),
        ("sqlite:///", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ],
)
def test_urls_that_are_refused(url: str, complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        SqlSettings(url=url)


@pytest.mark.parametrize(
    ("keys", "mode"),
    [
        ({"url": "postgresql://g@db.mill/d", "ca_file": "ca.pem"}, "verify-full"),
        ({"url": "postgresql://g@db.mill/d", "ca_file": "ca.pem", "sslmode": "verify-ca"}, "verify-ca"),
        ({"url": "postgresql://g@localhost/d"}, "disable"),
        ({"url": "postgresql://g@127.0.0.1/d", "ca_file": "ca.pem"}, "verify-full"),
        ({"url": "postgresql://g@/d?host=/run"}, "disable"),
    ],
)
def test_what_is_encrypted(keys: dict[str, str], mode: str) -> None:
    assert SqlSettings.model_validate(keys).tls == mode


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ({"url": "postgresql://g@db.mill/d"}, "db.mill is reached with TLS: give ca_file"),
        ({"url": "postgresql://g@db.mill/d", "sslmode": "disable"}, "would send events unencrypted to db.mill"),
        ({"url": "postgresql://g@db.mill/d", "sslmode": "prefer"}, "sslmode"),
        ({"url": "postgresql://g@localhost.mill/d", "sslmode": "disable"}, "unencrypted to localhost.mill"),
        ({"url": "postgresql://g@localhost/d", "sslmode": "disable", "ca_file": "c"}, "no TLS is used"),
        ({"url": "postgresql://g@/d?host=/run", "ca_file": "c"}, "a Unix socket has no TLS"),
        ({"url": "sqlite:///f", "password_file": "p"}, "password_file is for a server"),
        ({"url": "sqlite:///f", "ca_file": "p"}, "ca_file is for a server"),
        ({"url": "sqlite:///f", "schema_name": "Mill"}, "schema_name"),
        ({"url": "sqlite:///f", "schema_name": "pg_mill"}, "PostgreSQL's own"),
        ({"url": "sqlite:///f", "most_events": 0}, "most_events"),
    ],
)
def test_settings_that_are_refused(keys: dict[str, object], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        SqlSettings.model_validate(keys)


def test_an_unknown_key_is_named(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text(FILE + 'url = "sqlite:///f"\npassword = "secret"\n')
    with pytest.raises(InputError, match=r"a\.toml:5: unknown key 'sql\.password'; did you mean 'password_file'"):
        load_sql_adapter(file)


@pytest.mark.parametrize("name", ["sqlalchemy", "psycopg"])
def test_what_must_be_installed_is_said(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'glass-edge\[sql\]'"):
        require_extra(SqlSettings(url="postgresql://g@localhost/d"))
    if name == "psycopg":
        require_extra(SqlSettings(url="sqlite:///f"))
