"""Events in an SQL database, with tables that people query.

Promises: when `handle` or `handle_many` returns, the events are durable in the database, and so is what they change in
the other tables; both or neither; an event that comes again changes nothing; no event is refused for what ails the
database.
"""

from __future__ import annotations

from collections.abc import Sequence

from glass_edge.adapters.sink import RetryableError
from glass_edge.adapters.sql_database import Database
from glass_edge.adapters.sql_store import write_events
from glass_edge.config.adapter_sql import SqlSettings
from glass_edge.events.client import Received
from glass_edge.events.sequencer import EpochChanged, Lost


class SqlSink:
    """Writes events to a database; one that is away at first is waited for.

    Args:
        settings: which, and how.
        adapter: name of the adapter.

    Raises:
        InputError: the password cannot be read, or the database is of a later version or of something else.
    """

    def __init__(self, settings: SqlSettings, adapter: str) -> None:
        self.most_events = settings.most_events
        self._database = Database(settings, adapter)
        try:
            with self._database.transaction():
                pass
        except RetryableError:
            pass  # told with the first event

    def close(self) -> None:
        """Close the connection."""
        self._database.close()

    def handle(self, received: Received) -> None:
        """Write one event. Raises as `handle_many`."""
        self.handle_many([received])

    def handle_many(self, batch: Sequence[Received]) -> None:
        """Write events that follow each other, in one transaction.

        Raises:
            RetryableError: the database is away, full, locked, or not as it should be.
            PermanentError: one of them is of numbers that no database can keep.
            InputError: the database was changed to a later version meanwhile.
        """
        with self._database.transaction() as connection:
            write_events(connection, batch)

    def told(self, notice: Lost | EpochChanged) -> None:
        """Nothing to write: the numbers of the events tell it."""
