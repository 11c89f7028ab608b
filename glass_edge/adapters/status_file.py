"""What an adapter says of itself: a small JSON file.

Promises: the file is the last whole state; it is written at most once a second and at the end; while the adapter runs
it is never older than its longest step; a file that cannot be written stops no delivery.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from glass_edge.errors import InputError
from glass_edge.events.parsing import first_problem
from glass_edge.events.payloads import Document
from glass_edge.events.schema import Event, Stamp
from glass_edge.files import write_json

_EVERY_S = 1.0


class AdapterState(StrEnum):
    """What an adapter is doing."""

    WAITING = "waiting"
    """The station was not heard, or not for some seconds."""
    FOLLOWING = "following"
    RETRYING = "retrying"
    """A delivery failed and is tried again."""
    STOPPED = "stopped"
    FAILED = "failed"
    """It ended with an error."""


class LastError(Document):
    """What went wrong last."""

    stamp_utc: Stamp
    text: str
    """What failed and what to do."""


class AdapterStatus(Document):
    """The document of the file."""

    format_version: Literal[1] = 1
    adapter: str
    pid: int
    state: AdapterState
    written_utc: Stamp
    station: str | None = None
    epoch: str | None = None
    """Epoch of the last event delivered; null before the first of this run, as are the fields below."""
    seq: int | None = None
    lag_s: float | None = Field(default=None, ge=0)
    """Age of that event when it was delivered, s."""
    is_behind: bool = True
    """Events are known to be missing here, or where the station stands is not known."""
    delivered: int = 0
    """Events of this run."""
    refused: int = 0
    """Events of this run in the file of refused ones."""
    retries: int = 0
    """Tries of this run that failed."""
    lost: int = 0
    """Events that the station no longer kept."""
    new_journals: int = 0
    """Times the station started a new journal."""
    last_error: LastError | None = None


class StatusFile:
    """The state of a running adapter; fields change by `set`, the file follows.

    Args:
        path: the file.
        adapter: name of the adapter.
        complain: told why the file could not be written.
        told: given each state that was to be written.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        path: Path,
        adapter: str,
        complain: Callable[[str], object],
        told: Callable[[AdapterStatus], object] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._complain = complain
        self._told = told
        self._clock = clock
        self._next_s = clock()
        self.now = AdapterStatus(
            adapter=adapter, pid=os.getpid(), state=AdapterState.WAITING, written_utc=datetime.now(UTC)
        )

    def set(self, **changes: object) -> None:
        """Change fields, and write when the last writing is a second ago."""
        self.now = self.now.model_copy(update=changes)
        if self._clock() >= self._next_s:
            self.write()

    def delivered(self, event: Event) -> None:
        """`event` is done."""
        lag_s = max(0.0, (datetime.now(UTC) - event.stamp_utc).total_seconds())
        self.set(
            station=event.station,
            epoch=event.epoch,
            seq=event.seq,
            lag_s=round(lag_s, 3),
            state=AdapterState.FOLLOWING,
        )

    def failed(self, state: AdapterState, text: str, **changes: object) -> None:
        """Something went wrong; with other fields that change."""
        self.set(state=state, last_error=LastError(stamp_utc=datetime.now(UTC), text=text), **changes)

    def write(self) -> None:
        """Write the file now."""
        self._next_s = self._clock() + _EVERY_S
        self.now = self.now.model_copy(update={"written_utc": datetime.now(UTC)})
        try:
            write_json(self._path, self.now.model_dump(mode="json"))
        except InputError as error:
            self._complain(str(error))
        except OSError as error:
            self._complain(f"cannot write {self._path}: {error.strerror}; make room or mend its folder")
        self._told(self.now)


def read_status(path: Path) -> AdapterStatus:
    """The state in a file of an adapter.

    Raises:
        InputError: there is none, or it is something else.
    """
    try:
        return AdapterStatus.model_validate(json.loads(path.read_text(encoding="utf-8")), extra="ignore")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give status.json in the state folder of an adapter") from None
    except ValidationError as error:
        problem = first_problem(error)
    except (OSError, ValueError, RecursionError) as error:
        problem = str(error)
    raise InputError(f"{path}: is no state of an adapter ({problem}); give status.json in its state folder")
