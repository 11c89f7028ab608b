"""The tables in a database: made, or found to be ours and of this version.

Promises: they are made in one transaction, whole or not at all, by one of many that start at the same time; tables of
something else and those of a later version are refused, and nothing of them is changed.
"""

from __future__ import annotations

from sqlalchemy import Connection, create_mock_engine, inspect, select, text
from sqlalchemy.schema import ExecutableDDLElement

from glass_edge import __version__
from glass_edge.adapters.sink import RetryableError
from glass_edge.adapters.sql_tables import SCHEMA_VERSION, metadata, schema_version
from glass_edge.config.adapter_sql import SqlSettings
from glass_edge.errors import InputError

_LOCK = 0x474C4153  # "GLAS": who makes tables holds this advisory lock


def prepare(connection: Connection, settings: SqlSettings) -> None:
    """Make the tables where they are not there, and see that they are of this version.

    Raises:
        RetryableError: they are not there and may not be made.
        InputError: they are of a later version, or of something else.
    """
    if not settings.is_sqlite:
        encoding = connection.scalar(text("SHOW server_encoding"))
        if encoding != "UTF8":
            raise InputError(
                f"{settings.url}: the database's encoding is {encoding}, which lacks letters that events may carry;"
                " make one by CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
            )
    if not _is_made(connection, settings):
        if not settings.create_tables:
            raise RetryableError(
                f"{settings.url}: its tables are not there; make them by what --print-ddl prints, or set"
                " create_tables = true"
            )
        _make(connection, settings)
    version = connection.scalar(select(schema_version.c.version))
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{settings.url}: its tables are of version {version}, this program writes version {SCHEMA_VERSION};"
            " use the release that made them or a later one, or another schema_name or file"
        )


def ddl(settings: SqlSettings) -> str:
    """The statements that make the tables, for a person to run."""
    statements: list[str] = []

    def take(statement: ExecutableDDLElement, *_: object, **__: object) -> None:
        lines = str(statement.compile(dialect=engine.dialect)).strip().splitlines()
        statements.append("\n".join(line.rstrip() for line in lines))

    engine = create_mock_engine("sqlite://" if settings.is_sqlite else "postgresql+psycopg://", take)
    metadata.create_all(engine, checkfirst=False)
    if not settings.is_sqlite:
        statements[:0] = [
            f'CREATE SCHEMA IF NOT EXISTS "{settings.schema_name}"',
            f'SET LOCAL search_path TO "{settings.schema_name}"',
        ]
    mark = f"INSERT INTO schema_version (version, program_version) VALUES ({SCHEMA_VERSION}, '{__version__}')"
    return ";\n\n".join(["BEGIN", *statements, mark, "COMMIT"]) + ";\n"


def _is_made(connection: Connection, settings: SqlSettings) -> bool:
    schema = None if settings.is_sqlite else settings.schema_name
    there = metadata.tables.keys() & inspect(connection).get_table_names(schema=schema)
    if there and schema_version.name not in there:
        raise InputError(
            f"{settings.url}: holds a table '{min(there)}' of something else; give another schema_name or file"
        )
    return schema_version.name in there


def _make(connection: Connection, settings: SqlSettings) -> None:
    if not settings.is_sqlite:  # SQLite's transaction keeps others out by itself
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
        if _is_made(connection, settings):
            return
        if not inspect(connection).has_schema(settings.schema_name):
            connection.execute(text(f'CREATE SCHEMA "{settings.schema_name}"'))
    metadata.create_all(connection, checkfirst=False)
    mark = {"version": SCHEMA_VERSION, "program_version": __version__}
    connection.execute(schema_version.insert(), mark)
