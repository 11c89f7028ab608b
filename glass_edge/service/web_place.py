"""How far the web was inspected and told, kept beside the journal: where the next start goes on.

Promises: the file says of a web line where the encoder stood there, and that everything before the line is told in the
journal as inspected or as not inspected; it is written before the first event of a run tells of cloth, so that each
line number in the journal since `run_seq` lies on the same web; it outlives a process that is killed at any moment.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import AwareDatetime, Field, ValidationError

from glass_edge.config.base import Settings, describe
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.events.journal_reader import JournalReader
from glass_edge.events.parsing import parse_event
from glass_edge.events.payloads import CoverageGap, RollEnd, RollStart
from glass_edge.events.schema import Kind

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class WebPlace(Settings):
    """The file."""

    format: Literal[1] = 1
    """Version of this file."""
    epoch: str
    """Of the journal that tells of this web."""
    run_seq: int = Field(ge=0)
    """Its newest event when the run began to take lines: what came since has this web's line numbers."""
    head: int = Field(ge=0)
    """Its newest event when this was written."""
    camera: str
    """Serial number of the camera; several are joined by `+`."""
    line: int = Field(ge=0)
    """Web line: everything before it is told."""
    encoder_count: int | None
    """Of the encoder at that line; null where the camera has none."""
    counts_per_line: float = 1.0
    """Encoder counts from line to line."""
    line_rate_hz: float | None = None
    """Lines a second when the web ran last; null where that was not known."""
    written_utc: AwareDatetime
    """When this was written, by the wall clock."""
    boot_id: str
    """Of the system that was running."""
    boot_s: float
    """Seconds since that system was started; no wall clock moves them."""

    def at(self, line: int) -> WebPlace:
        """The same web told up to `line`."""
        count = self.encoder_count
        if count is not None:
            count += round((line - self.line) * self.counts_per_line)
        return self.model_copy(update={"line": line, "encoder_count": count})

    def seconds_since(self) -> float | None:
        """Seconds since this was written, None where no clock can tell."""
        if self.boot_id == boot_id():
            return max(0.0, boot_s() - self.boot_s)
        seconds = (datetime.now(UTC) - self.written_utc).total_seconds()
        return seconds if seconds > 0 else None


def boot_id() -> str:
    """Name of the running system, empty where it has none."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""


def boot_s() -> float:
    """Seconds since the system was started, sleep included."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def place_path(journal: Path) -> Path:
    """Where a station with this journal keeps its place."""
    return journal.with_name(f"{journal.name}.place.json")


def load_place(path: Path) -> WebPlace | None:
    """Read the file; None where there is none.

    Raises:
        InputError: it is damaged.
    """
    try:
        return WebPlace.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
    except ValidationError as error:
        raise InputError(describe(path, "", WebPlace, error)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read ({error})") from error


def save_place(path: Path, place: WebPlace) -> None:
    """Replace the file. A killed process leaves the old one or the new one whole; a power cut may leave neither.

    It is not synced: it is written every second, and the next start can tell a damaged file from a whole one.

    Raises:
        GlassEdgeError: it cannot be written.
    """
    beside = path.with_name(f"{path.name}.new")
    try:
        beside.write_text(json.dumps(place.model_dump(mode="json")) + "\n", encoding="utf-8")
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise GlassEdgeError(f"{path}: cannot be written ({error.strerror}); make room or mend its folder") from error


def caught_up(place: WebPlace, reader: JournalReader) -> WebPlace:
    """`place` with what the journal has told since it was written; itself where that is another journal.

    Raises:
        JournalError: the journal cannot be read. EventFormatError: it holds a document that is no event.
    """
    if reader.epoch != place.epoch:
        return place
    line = place.line
    for kind in (Kind.ROLL_START, Kind.COVERAGE_GAP, Kind.ROLL_END):
        for stored in reader.of_kind_after(kind, place.run_seq):
            payload = parse_event(stored.document).payload
            if isinstance(payload, RollStart):
                line = max(line, payload.first_line)
            elif isinstance(payload, CoverageGap | RollEnd):
                line = max(line, payload.end_line)
    return place.at(line)
