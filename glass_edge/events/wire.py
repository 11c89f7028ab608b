"""What travels beside events: topics, the beacon, requests and the headers of replies; commands: `commands_wire`.

Promises: an event message is [station, document], a beacon is [station + "/beacon", document], so neither can be taken
for the other; a request is one JSON document, a reply a JSON header, followed for a replay by the event documents, a
frame each, byte by byte as they were published.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field, TypeAdapter, ValidationError

from glass_edge.events.commands_wire import (
    AcknowledgeReply,
    BypassReply,
    Command,
    RecipeReply,
    RecordReply,
    RollReply,
)
from glass_edge.events.errors import EventFormatError
from glass_edge.events.parsing import first_problem, require_readable
from glass_edge.events.payloads import Count, DefectPayload, Document, EngineActivated, Name, RollStart, Status
from glass_edge.events.payloads import StopRequest as StopRequestPayload
from glass_edge.events.schema import Epoch, Stamp, Station, Version
from glass_edge.events.wire_header import ReplyHeader, RequestId

BEACON_SUFFIX = "/beacon"
MAX_REQUEST_BYTES = 16 * 1024
MAX_REPLAY_BYTES = 1 << 20
MAX_REPLY_FRAME_BYTES = 4 << 20  # a document or a snapshot; far above what a station makes


class Beacon(Document):
    """Sent at a steady beat: tells a subscriber what it may have missed, and that the station lives."""

    schema_version: Version
    station: Station
    epoch: Epoch
    oldest: int = Field(ge=1)
    """Oldest event kept."""
    head: int = Field(ge=0)
    """Newest event published; 0 before the first."""
    stamp_utc: Stamp
    beacon_s: float = Field(gt=0)
    """Time to the next beacon, s; a station silent for several times as long is down."""


class ReplayRequest(Document):
    """Send events again from `from_seq` on."""

    request: Literal["replay"]
    id: RequestId = ""
    """Comes back in the reply."""
    epoch: Epoch | None = None
    """Epoch the sequence number belongs to; without it, the station's present one."""
    from_seq: int = Field(ge=1, lt=2**63)
    limit: int = Field(default=1000, ge=0)
    """Most events; the station may send fewer. 0 asks for the header alone."""


class SnapshotRequest(Document):
    """Tell the open roll, its open defects, state and engine."""

    request: Literal["snapshot"]
    id: RequestId = ""


class StatusRequest(Document):
    """Tell how the publication itself is doing."""

    request: Literal["status"]
    id: RequestId = ""


Request: TypeAlias = ReplayRequest | SnapshotRequest | StatusRequest | Command
_REQUEST: TypeAdapter[Request] = TypeAdapter(Annotated[Request, Field(discriminator="request")])


class ErrorCode(StrEnum):
    """Why a request was not answered."""

    BAD_REQUEST = "bad_request"
    WRONG_EPOCH = "wrong_epoch"
    REFUSED = "refused"


class ReplayReply(ReplyHeader):
    """`count` frames follow, an event document each, ascending."""

    reply: Literal["replay"] = "replay"
    count: int = Field(ge=0)


class OpenRoll(Document):
    """The roll being woven."""

    roll_id: Name
    style: Name
    is_simulated: bool
    started_utc: Stamp
    start: RollStart
    """As roll.start told it."""


class Snapshot(Document):
    """The station after event `seq`: replay from `seq` + 1 to go on."""

    seq: int = Field(ge=0)
    status: Status | None
    """Last status event; null when there was none."""
    roll: OpenRoll | None
    open_defects: tuple[DefectPayload, ...]
    """Defects of the open roll that have begun and not ended, in order of id."""
    engine: EngineActivated | None
    """Last engine.activated event; null when there was none."""
    stop_request: StopRequestPayload | None
    """Stop request that waits for its acknowledgement; null when none does."""
    is_bypassed: bool = False
    """True while the stop rules are bypassed: no stop is asked for."""


class SnapshotReply(ReplyHeader):
    """The snapshot."""

    reply: Literal["snapshot"] = "snapshot"
    snapshot: Snapshot


class StatusReply(ReplyHeader):
    """How the publication is doing."""

    reply: Literal["status"] = "status"
    program_version: str
    up_s: float = Field(ge=0)
    """Since this publisher started, s."""
    beacon_s: float = Field(gt=0)
    published: Count
    """Events published since it started."""
    requests: Count
    """Requests since it started, the refused ones included."""
    requests_refused: Count
    clients_refused: Count = 0
    """tcp connections refused since it started, for a key that is not allowed."""
    requests_malformed: Count = 0
    """Of the refused requests, those that were none."""
    commands: Count = 0
    """Commands since it started, those sent again not counted."""
    commands_refused: Count = 0
    """Of these, the refused ones."""


class ErrorReply(ReplyHeader):
    """The request was refused."""

    reply: Literal["error"] = "error"
    code: ErrorCode
    message: str


Reply: TypeAlias = (
    ReplayReply
    | SnapshotReply
    | StatusReply
    | RollReply
    | RecipeReply
    | AcknowledgeReply
    | BypassReply
    | RecordReply
    | ErrorReply
)
_REPLY: TypeAdapter[Reply] = TypeAdapter(Annotated[Reply, Field(discriminator="reply")])


def beacon_topic(station: str) -> str:
    """Topic of a station's beacons."""
    return station + BEACON_SUFFIX


def parse_request(body: bytes) -> Request:
    """The request in `body`. Unknown keys are refused: an option passed over would answer another question.

    Raises:
        EventFormatError: no such request; the message says what is wrong.
    """
    if len(body) > MAX_REQUEST_BYTES:
        raise EventFormatError(f"a request has at most {MAX_REQUEST_BYTES} bytes, this one has {len(body)}")
    document = _json_object(body)
    try:
        return _REQUEST.validate_python(document)
    except ValidationError as error:
        raise EventFormatError(first_problem(error)) from error


def parse_reply(header: bytes) -> Reply:
    """The header of a reply, keys of a later minor version ignored.

    Raises:
        EventFormatError: no reply of this major version.
    """
    document = _json_object(header)
    require_readable(document.get("schema_version"))
    try:
        return _REPLY.validate_python(document, extra="ignore")
    except ValidationError as error:
        raise EventFormatError(f"not a reply: {first_problem(error)}") from error


def parse_beacon(body: bytes) -> Beacon:
    """The beacon in `body`, keys of a later minor version ignored.

    Raises:
        EventFormatError: no beacon of this major version.
    """
    document = _json_object(body)
    require_readable(document.get("schema_version"))
    try:
        return Beacon.model_validate(document, extra="ignore")
    except ValidationError as error:
        raise EventFormatError(f"not a beacon: {first_problem(error)}") from error


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise EventFormatError(f"not a JSON document: {error}") from error
    if not isinstance(document, dict):
        raise EventFormatError(f"a JSON object is needed, not {type(document).__name__}")
    return document
