"""Whether the libraries of the SQL adapter are installed.

Promises: what is missing is said with what to install.
"""

from __future__ import annotations

import importlib

from glass_edge.config.adapter_sql import SqlSettings
from glass_edge.errors import MissingExtraError


def require_extra(settings: SqlSettings) -> None:
    """Raise `MissingExtraError` unless what `settings` need is installed."""
    try:
        importlib.import_module("sqlalchemy")
        if not settings.is_sqlite:
            importlib.import_module("psycopg")
    except ImportError as error:
        raise MissingExtraError("sql", "the SQL adapter") from error
