"""What the MQTT adapter says of itself and of its station, beside the events.

Promises: a session has a number that no other session of the station's adapter has, greater than all before; it is on
disk before the broker hears of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from glass_edge.adapters.station_view import StationView
from glass_edge.errors import InputError
from glass_edge.events.parsing import first_problem
from glass_edge.events.payloads import Document
from glass_edge.events.schema import Epoch, Stamp, Station, Version
from glass_edge.files import write_json


class Birth(Document):
    """A session of the adapter began."""

    format_version: Literal[1] = 1
    station: Station
    session: int = Field(ge=1)
    """Number of the session: a death of another one does not concern it."""
    born_utc: Stamp
    adapter: str
    """Name of the adapter."""
    program_version: str
    schema_version: Version
    """Schema of events that the adapter knows; each event tells its own."""
    epoch: Epoch | None
    """Epoch of the last event known; null before the first."""
    topics: dict[str, str]
    """Filters of its topics, by what they bring."""


class DeathReason(StrEnum):
    """Why a session ended."""

    CONNECTION_LOST = "connection_lost"
    """The broker tells it: the adapter, its machine or the network is gone."""
    ENDED = "ended"
    """The adapter tells it: it was ended in good order."""


class Death(Document):
    """A session of the adapter ended."""

    format_version: Literal[1] = 1
    station: Station
    session: int = Field(ge=1)
    """The session that its birth told."""
    reason: DeathReason


class StateMessage(Document):
    """The station as it is."""

    format_version: Literal[1] = 1
    session: int = Field(ge=1)
    """The session that tells it."""
    sent_utc: Stamp
    is_heard: bool
    """The station lives and the adapter hears it; false: the view is what was known last."""
    is_behind: bool
    """Events are known to be missing here, or where the station stands is not known: the view is of the past."""
    view: StationView | None
    """Null before the first event."""


class _Stored(Document):
    format_version: Literal[1] = 1
    session: int = Field(ge=1)


class SessionFile:
    """Numbers of sessions, in the state folder of an adapter.

    The first is the time in milliseconds since 1970: they grow also when the folder was removed, and are not those
    of another adapter.

    Args:
        path: the file.
        unix_s: wall clock, s since 1970.
    """

    def __init__(self, path: Path, unix_s: Callable[[], float] = time.time) -> None:
        self._path = path
        self._unix_s = unix_s

    def next(self) -> int:
        """A new number; durable when this returns.

        Raises:
            InputError: the file is something else, or cannot be written. OSError: the disk is full.
        """
        number = (self._read() or int(self._unix_s() * 1000)) + 1
        write_json(self._path, _Stored(session=number).model_dump(mode="json"))
        return number

    def _read(self) -> int | None:
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
            return _Stored.model_validate(document, extra="ignore").session
        except FileNotFoundError:
            return None
        except ValidationError as error:
            problem = first_problem(error)
        except (OSError, ValueError, RecursionError) as error:
            problem = str(error)
        raise InputError(f"{self._path}: is no number of a session ({problem}); remove it, it is made anew")
