"""Commands as they travel: what a station may be asked to do, and its answers.

Promises: an answer that is no error means that the command is in the station's journal; a command that is sent again
with the `id` it had before is not done twice.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from glass_edge.events.payloads import Document, Name, Operator, Text
from glass_edge.events.payloads_records import ChallengeFigures, VerdictFigures
from glass_edge.events.wire_header import ReplyHeader, RequestId


class CommandRequest(Document):
    """What every command may carry."""

    id: RequestId = ""
    """Comes back in the reply; the same again is the same command, not another one."""
    operator: Operator = ""
    """Who asks, for the journal: a person, or a program acting for one."""


class RollRequest(CommandRequest):
    """Begin a new roll with the cloth that comes from now on."""

    request: Literal["roll"] = "roll"
    roll_id: Name
    """Name of the new roll."""


class RecipeRequest(CommandRequest):
    """Inspect with the engine of another style."""

    request: Literal["recipe"] = "recipe"
    style: Name
    version: Name | None = None
    """Version of its engine; null: the station's choice, which is the newest that it may use."""


class AcknowledgeRequest(CommandRequest):
    """Answer the stop request that waits."""

    request: Literal["acknowledge"] = "acknowledge"
    request_id: Name
    """Of the stop.request."""
    accepted: bool
    """True: the loom is being stopped. False: it is not."""
    detail: Text = ""


class BypassRequest(CommandRequest):
    """Ask for no stops while it is on; defects are found and told all the same."""

    request: Literal["bypass"] = "bypass"
    is_on: bool
    reason: Text = ""
    """Why, for the journal."""


class ChallengeRequest(CommandRequest):
    """Keep what a challenge showed."""

    request: Literal["challenge"] = "challenge"
    figures: ChallengeFigures


class VerdictRequest(CommandRequest):
    """Keep a person's verdicts on defects."""

    request: Literal["verdict"] = "verdict"
    verdicts: tuple[VerdictFigures, ...] = Field(min_length=1, max_length=32)
    """All are kept, or none."""


RecordRequest: TypeAlias = ChallengeRequest | VerdictRequest
"""Commands by which something is kept for the record."""
Command: TypeAlias = RollRequest | RecipeRequest | AcknowledgeRequest | BypassRequest | RecordRequest


class RollReply(ReplyHeader):
    """The roll begins."""

    reply: Literal["roll"] = "roll"
    roll_id: Name
    first_line: int = Field(ge=0)
    """Web line from which on the cloth is the new roll's, a row of scores later at most; its roll.start comes once the
    cloth before it is scored."""


class RecipeReply(ReplyHeader):
    """The station prepares the engine; engine.activated tells when it decides."""

    reply: Literal["recipe"] = "recipe"
    style: Name
    version: Name
    """Version of the engine it prepares."""


class AcknowledgeReply(ReplyHeader):
    """The stop.ack is in the journal."""

    reply: Literal["acknowledge"] = "acknowledge"
    request_id: Name
    accepted: bool


class BypassReply(ReplyHeader):
    """The bypass is as it was asked for."""

    reply: Literal["bypass"] = "bypass"
    is_on: bool


class RecordReply(ReplyHeader):
    """The records are in the journal."""

    reply: Literal["record"] = "record"
    seq: int = Field(ge=1)
    """Event that keeps the first of them."""
