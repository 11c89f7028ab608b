"""The files of a roll: `ROLL.json` and `ROLL-defects.csv`.

Promises: both are functions of the roll's events alone; each is the whole file or absent, and never seen under another
name in the folder; the CSV is there before the JSON, so that who waits for the JSON finds both; every event of the roll
stands in the JSON once, in order, as it was published; the CSV has a row for each defect, as it was known last.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glass_edge.events.payloads import DefectPayload
from glass_edge.events.schema import DEFECT_KINDS, Kind
from glass_edge.files import atomic_write, csv_bytes, write_bytes

FORMAT = 1
_FIGURES = tuple(DefectPayload.model_fields)
CSV_HEADER = ("roll_id", "found_utc", "has_ended", *_FIGURES)
_LONGEST_NAME = 80


def file_name(roll_id: str) -> str:
    """`roll_id` as a name that every file system takes: other characters than A-Z a-z 0-9 . _ - become _."""
    name = re.sub(r"[^A-Za-z0-9._-]", "_", roll_id)[:_LONGEST_NAME].strip(".")
    return name or "roll"


class RollSummary:
    """What the events of a roll come to; takes their documents in order."""

    def __init__(self, documents: Iterable[str]) -> None:
        self.first: dict[str, Any] = {}
        self.last: dict[str, Any] = {}
        self.start: dict[str, Any] | None = None
        self.end: dict[str, Any] | None = None
        self.gaps: list[dict[str, Any]] = []
        self.defects: dict[int, dict[str, Any]] = {}
        for text in documents:
            self._take(json.loads(text))

    def _take(self, event: dict[str, Any]) -> None:
        self.first = self.first or event
        self.last = event
        kind, payload = event["kind"], event["payload"]
        if kind == Kind.ROLL_START:
            self.start = payload
        elif kind == Kind.ROLL_END:
            self.end = payload
        elif kind == Kind.COVERAGE_GAP:
            self.gaps.append(payload)
        elif kind in DEFECT_KINDS:
            before = self.defects.get(payload["defect_id"])
            self.defects[payload["defect_id"]] = {
                "found_utc": event["stamp_utc"] if before is None else before["found_utc"],
                "has_ended": kind == Kind.DEFECT_END,
                **payload,
            }

    def document(self, lost: list[tuple[int, int]]) -> dict[str, Any]:
        """The JSON file without its events; `lost`: ranges of seq that never came."""
        return {
            "format": FORMAT,
            "roll_id": self.first["roll_id"],
            "style": self.first["style"],
            "station": self.first["station"],
            "epoch": self.first["epoch"],
            "first_seq": self.first["seq"],
            "last_seq": self.last["seq"],
            "first_event_utc": self.first["stamp_utc"],
            "last_event_utc": self.last["stamp_utc"],
            "is_simulated": self.first["is_simulated"],
            "is_complete": self.start is not None and self.end is not None and not lost,
            "lost_events": [{"first_seq": first, "last_seq": last} for first, last in lost],
            "roll_start": self.start,
            "roll_end": self.end,
            "gaps": self.gaps,
            "defects": list(self.defects.values()),
        }

    def csv_rows(self) -> Iterator[list[str]]:
        """Rows of the CSV file, in the order in which the defects were found."""
        for defect in self.defects.values():
            values = {"roll_id": self.first["roll_id"], **defect}
            yield [_text(values.get(name)) for name in CSV_HEADER]


@dataclass(frozen=True, slots=True)
class RollTarget:
    """Where the files of a roll go.

    Attributes:
        folder: where they appear.
        part_folder: where they are written, on the same file system.
        name: their name without ending.
    """

    folder: Path
    part_folder: Path
    name: str


def write_roll(target: RollTarget, summary: RollSummary, lost: list[tuple[int, int]], events: Iterable[str]) -> None:
    """Write both files.

    Args:
        target: where to.
        summary: of the events.
        lost: ranges of seq that never came.
        events: the documents, in order.

    Raises:
        InputError: a folder cannot be written.
        OSError: writing failed.
    """
    rows = csv_bytes([CSV_HEADER, *summary.csv_rows()])
    write_bytes(target.folder / f"{target.name}-defects.csv", rows, beside=target.part_folder)
    head = json.dumps(summary.document(lost), indent=2, ensure_ascii=False, allow_nan=False)
    with atomic_write(target.folder / f"{target.name}.json", beside=target.part_folder) as stream:
        stream.write(head.removesuffix("\n}").encode() + b',\n  "events": [')
        separator = b"\n    "
        for document in events:  # one by one: a long roll has many
            stream.write(separator + document.encode())
            separator = b",\n    "
        stream.write(b"\n  ]\n}\n")


def holds(path: Path, epoch: str, first_seq: int) -> bool:
    """Whether the JSON file at `path` is of the roll that begins there."""
    try:
        document = json.loads(path.read_bytes())
        return (document["epoch"], document["first_seq"]) == (epoch, first_seq)
    except (ValueError, KeyError, TypeError):
        return False


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.9g}" if isinstance(value, float) else str(value)
