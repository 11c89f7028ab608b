"""The part of the reference page that describes the tables, written from their definitions.

Promises: every table and column with its type and meaning; `docs/reference/sql.md` holds this text
(`python -m glass_edge.adapters.sql_reference` prints it, a test compares).
"""

from __future__ import annotations

import sys

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql

from glass_edge.adapters.sql_tables import metadata

_TYPES = {"TIMESTAMP WITH TIME ZONE": "timestamptz", "DOUBLE PRECISION": "double"}


def table_reference() -> str:
    """The section as Markdown."""
    return "\n".join(_table(table) for table in metadata.tables.values())


def _table(table: Table) -> str:
    keys = ", ".join(f"`{column.name}`" for column in table.primary_key)
    lines = [f"### {table.name}", "", f"{table.comment} Primary key: {keys}.", ""]
    lines += ["| column | type | meaning |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(_row(column) for column in table.columns)]) + "\n"


def _row(column: Column[object]) -> str:
    name = column.type.compile(postgresql.dialect())  # type: ignore[no-untyped-call]
    kind = _TYPES.get(name, name.lower()) + (" or null" if column.nullable else "")
    return f"| `{column.name}` | {kind} | {column.comment} |"


if __name__ == "__main__":
    sys.stdout.write(table_reference())
