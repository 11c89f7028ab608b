"""How far a client has come, kept across restarts.

Promises: the file holds the last committed place or the one before, never half of one; one client at a time uses it; a
file that is no offset is refused, never taken for a fresh start.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from glass_edge.errors import InputError
from glass_edge.events.filelock import FileLock
from glass_edge.events.parsing import first_problem
from glass_edge.events.payloads import Document
from glass_edge.events.schema import Epoch, Station
from glass_edge.files import make_folder, write_json


class Offset(Document):
    """The last event whose side effect is done."""

    format_version: Literal[1] = 1
    station: Station
    epoch: Epoch
    seq: int = Field(ge=1)


class OffsetFile:
    """Reads and writes an offset; locked from construction to `close`.

    Args:
        path: JSON file; made at the first commit, its folder at once.

    Raises:
        InputError: unreadable, no offset, or used by another client.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        make_folder(path.parent)
        self._lock = FileLock(path.with_name(path.name + ".lock"))
        if not self._lock.acquire():
            raise InputError(f"{path}: {self._lock.holder()} uses this offset file; give each client its own")
        try:
            self.offset = self._read()
        except BaseException:
            self._lock.release()
            raise

    def write(self, offset: Offset) -> None:
        """Replace the offset, durable when this returns.

        Raises:
            InputError: the file cannot be written.
        """
        write_json(self.path, offset.model_dump(mode="json"))
        self.offset = offset

    def close(self) -> None:
        """Let another client use the file."""
        self._lock.release()

    def _read(self) -> Offset | None:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{self.path}: cannot be read as an offset file ({error}); give another path") from error
        try:
            return Offset.model_validate(json.loads(text))
        except ValidationError as error:
            problem = first_problem(error)
        except (ValueError, RecursionError) as error:
            problem = str(error)
        raise InputError(
            f"{self.path}: is not an offset file ({problem}); give another path, or remove it to start afresh"
        )
