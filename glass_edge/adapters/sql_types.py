"""Types of columns that PostgreSQL and SQLite keep each in its own way.

Promises: a stamp keeps its microseconds and sorts by time; a document keeps every byte.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Dialect, Text
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeDecorator, TypeEngine, UserDefinedType

from glass_edge.events.schema import format_stamp


class Stamp(TypeDecorator[datetime]):
    """A moment: `timestamptz` in PostgreSQL, text in the form of the events in SQLite, where that sorts by time."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type of the database."""
        is_server = dialect.name == "postgresql"
        return dialect.type_descriptor(postgresql.TIMESTAMP(timezone=True) if is_server else Text())

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> object:
        """To the database."""
        return value if value is None or dialect.name == "postgresql" else format_stamp(value)

    def process_result_value(self, value: object | None, dialect: Dialect) -> datetime | None:
        """From the database, in UTC."""
        del dialect
        if value is None:
            return None
        return (value if isinstance(value, datetime) else datetime.fromisoformat(str(value))).astimezone(UTC)


class _ServerJson(UserDefinedType[str]):
    """`json`, which keeps the text byte for byte and takes every document; `jsonb` refuses `\\u0000`."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        return "JSON"


class DocumentText(TypeDecorator[str]):
    """A JSON document as text: `json` in PostgreSQL, text in SQLite."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """The type of the database."""
        return dialect.type_descriptor(_ServerJson() if dialect.name == "postgresql" else Text())
