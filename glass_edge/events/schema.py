"""The event: an envelope around a payload, one JSON document.

Promises: a document written here has exactly the keys of this schema version, in one order; journal, publication and
replay carry the same bytes. Reading documents of other versions is `parsing`'s part.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Any, TypeAlias

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from glass_edge.events.payloads import (
    Command,
    CoverageGap,
    DefectPayload,
    Document,
    EngineActivated,
    Name,
    OtherPayload,
    Payload,
    RollEnd,
    RollStart,
    Status,
    StopAck,
    StopRequest,
)
from glass_edge.events.payloads_records import Challenge, Record, RollFigures, Verdict

MAJOR_VERSION = 1
MINOR_VERSION = 2
SCHEMA_VERSION = f"{MAJOR_VERSION}.{MINOR_VERSION}"
STATION_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
EPOCH_PATTERN = r"^[0-9a-f]{32}$"
VERSION_PATTERN = r"^[0-9]{1,4}\.[0-9]{1,4}$"
STAMP_PATTERN = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}Z$"
LENIENT = "lenient"
"""Key of the validation context that lets a reader meet kinds and keys it does not know."""


class Kind(StrEnum):
    """Kinds of events this version writes."""

    ROLL_START = "roll.start"
    ROLL_END = "roll.end"
    DEFECT_NEW = "defect.new"
    DEFECT_UPDATE = "defect.update"
    DEFECT_END = "defect.end"
    COVERAGE_GAP = "coverage.gap"
    STOP_REQUEST = "stop.request"
    STOP_ACK = "stop.ack"
    ENGINE_ACTIVATED = "engine.activated"
    STATUS = "status"
    COMMAND = "command"
    CHALLENGE = "challenge"
    DEFECT_VERDICT = "defect.verdict"
    ROLL_FIGURES = "roll.figures"


DEFECT_KINDS = frozenset({Kind.DEFECT_NEW, Kind.DEFECT_UPDATE, Kind.DEFECT_END})
ROLL_KINDS = DEFECT_KINDS | {Kind.ROLL_START, Kind.ROLL_END, Kind.ROLL_FIGURES}
"""Kinds that make no sense without a roll."""

PAYLOAD_TYPES: Mapping[Kind, type[Document]] = {
    Kind.ROLL_START: RollStart,
    Kind.ROLL_END: RollEnd,
    Kind.DEFECT_NEW: DefectPayload,
    Kind.DEFECT_UPDATE: DefectPayload,
    Kind.DEFECT_END: DefectPayload,
    Kind.COVERAGE_GAP: CoverageGap,
    Kind.STOP_REQUEST: StopRequest,
    Kind.STOP_ACK: StopAck,
    Kind.ENGINE_ACTIVATED: EngineActivated,
    Kind.STATUS: Status,
    Kind.COMMAND: Command,
    Kind.CHALLENGE: Challenge,
    Kind.DEFECT_VERDICT: Verdict,
    Kind.ROLL_FIGURES: RollFigures,
}


def format_stamp(stamp: datetime) -> str:
    """ISO 8601 in UTC with six decimals and a Z, whatever the zone of `stamp` (aware)."""
    return stamp.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _to_utc(stamp: datetime) -> datetime:
    return stamp.astimezone(UTC)


Stamp: TypeAlias = Annotated[
    AwareDatetime,
    AfterValidator(_to_utc),
    PlainSerializer(format_stamp, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time", "pattern": STAMP_PATTERN}),
]
Version: TypeAlias = Annotated[str, Field(pattern=VERSION_PATTERN)]
Station: TypeAlias = Annotated[str, Field(pattern=STATION_PATTERN)]
Epoch: TypeAlias = Annotated[str, Field(pattern=EPOCH_PATTERN)]


class Draft(Document):
    """An event before the journal gives it its place: no station, epoch, seq or stamp yet."""

    kind: Annotated[str, Field(pattern=r"^[a-z]+(\.[a-z_]+)*$")]
    """One of `Kind`; a reader may meet kinds of a later minor version."""
    is_simulated: bool
    """True for replays and simulated cameras."""
    is_partial: bool
    """True while the roll it belongs to is open: its figures are not final."""
    roll_id: Name | None
    """Roll being woven; null when none is open."""
    style: Name | None
    """Fabric style of that roll; null when none is open."""
    payload: Payload | Record
    """The fields of this kind."""

    @field_validator("payload", mode="before")
    @classmethod
    def _of_kind(cls, value: Any, info: ValidationInfo) -> Any:  # noqa: ANN401 - raw input
        name = info.data.get("kind")
        lenient = isinstance(info.context, dict) and bool(info.context.get(LENIENT))
        if not isinstance(name, str) or name not in PAYLOAD_TYPES:
            if lenient and isinstance(value, dict):
                return OtherPayload.model_validate(value)
            raise ValueError(f"unknown kind '{name}'; kinds are {', '.join(Kind)}")
        wanted = PAYLOAD_TYPES[Kind(name)]
        if isinstance(value, Document):
            if type(value) is not wanted:
                raise ValueError(f"kind {name} carries {wanted.__name__}, not {type(value).__name__}")
            return value
        return wanted.model_validate(value, extra="ignore" if lenient else "forbid")

    @model_validator(mode="after")
    def _has_roll(self) -> Draft:
        if self.kind in ROLL_KINDS and (self.roll_id is None or self.style is None):
            raise ValueError(f"kind {self.kind} needs roll_id and style")
        return self


class Event(Draft):
    """One event of a station; `(epoch, seq)` names it for ever."""

    schema_version: Version
    """Major.minor of the schema the document was written with."""
    station: Station
    """Name of the station, the topic it is published under."""
    epoch: Epoch
    """Identity of the journal: changes only when the journal is new."""
    seq: int = Field(ge=1)
    """Counts from 1 without gaps within the epoch."""
    stamp_utc: Stamp
    """When the journal took it, UTC."""

    def to_json(self) -> str:
        """The document: compact JSON, keys in the order of the reference."""
        fields = self.model_dump(mode="json", include=set(ENVELOPE_ORDER))
        ordered = {name: fields[name] for name in ENVELOPE_ORDER}
        return json.dumps(ordered, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


ENVELOPE_ORDER = (
    "schema_version",
    "station",
    "epoch",
    "seq",
    "kind",
    "stamp_utc",
    "is_simulated",
    "is_partial",
    "roll_id",
    "style",
    "payload",
)
