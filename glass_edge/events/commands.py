"""Commands to a station: how a client gives them, and what a station must be able to do.

Promises: a function returns when the command stands in the station's journal, and raises otherwise; a lost answer is
asked for again under the same id, so nothing is done twice; a refusal carries the station's reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from pydantic import ValidationError

from glass_edge.errors import InputError
from glass_edge.events.commands_wire import (
    AcknowledgeReply,
    AcknowledgeRequest,
    BypassReply,
    BypassRequest,
    ChallengeRequest,
    Command,
    RecipeReply,
    RecipeRequest,
    RecordReply,
    RollReply,
    RollRequest,
    VerdictRequest,
)
from glass_edge.events.curve_keys import ClientKeys
from glass_edge.events.errors import EventFormatError
from glass_edge.events.parsing import first_problem
from glass_edge.events.payloads_records import ChallengeFigures, VerdictFigures
from glass_edge.events.requester import ask
from glass_edge.events.wire_header import ReplyHeader

_AGAIN_S = 1.0

AnyReply = TypeVar("AnyReply", bound=ReplyHeader)


class StationCommands(Protocol):
    """What a station can be commanded to do. Called in the publisher's thread, so each returns within milliseconds;
    each may raise `RequestRefusedError` with the reason."""

    def change_roll(self, roll_id: str) -> int:
        """Begin the roll `roll_id`; returns its first web line."""

    def change_recipe(self, style: str, version: str | None) -> str:
        """Prepare the engine of a style, of its newest version for None; returns the version."""

    def set_bypass(self, is_on: bool, reason: str) -> None:
        """Ask for no more stops, or for stops again."""

    def take_challenge(self, is_passed: bool) -> None:
        """A challenge was passed, or not; it is in the journal."""


def change_roll(
    endpoint: str, roll_id: str, *, operator: str = "", timeout_s: float = 5.0, keys: ClientKeys | None = None
) -> RollReply:
    """Begin a new roll with the cloth that comes from now on.

    Args:
        endpoint: request endpoint of the station.
        roll_id: name of the new roll, 1 to 128 characters.
        operator: who asks, for the journal.
        timeout_s: how long to wait for the answer, s.
        keys: see `EventClient`; needed over tcp.

    Raises:
        InputError: not an endpoint, or an argument that no station takes.
        CommandRefusedError: the station refused; `reason` says why.
        NoAnswerError: no answer within `timeout_s`: it may have been done, or not.
        EventFormatError: the answer cannot be read.
    """
    return _command(endpoint, RollReply, RollRequest, timeout_s, keys, roll_id=roll_id, operator=operator)


def change_recipe(
    endpoint: str,
    style: str,
    *,
    version: str | None = None,
    operator: str = "",
    timeout_s: float = 5.0,
    keys: ClientKeys | None = None,
) -> RecipeReply:
    """Have the station prepare the engine of another style; engine.activated tells when it decides.

    Args:
        endpoint: as for `change_roll`, like the arguments not named here.
        style: fabric style.
        version: version of its engine; None: the station's choice.

    Raises: as `change_roll`.
    """
    return _command(
        endpoint, RecipeReply, RecipeRequest, timeout_s, keys, style=style, version=version, operator=operator
    )


def acknowledge(
    endpoint: str,
    request_id: str,
    *,
    accepted: bool,
    detail: str = "",
    operator: str = "",
    timeout_s: float = 5.0,
    keys: ClientKeys | None = None,
) -> AcknowledgeReply:
    """Answer the stop request that waits; the station tells a stop.ack whose source is the client.

    Args:
        endpoint: as for `change_roll`, like the arguments not named here.
        request_id: of the stop.request.
        accepted: True: the loom is being stopped; False: it is not.
        detail: for a person.

    Raises: as `change_roll`.
    """
    return _command(
        endpoint,
        AcknowledgeReply,
        AcknowledgeRequest,
        timeout_s,
        keys,
        request_id=request_id,
        accepted=accepted,
        detail=detail,
        operator=operator,
    )


def set_bypass(
    endpoint: str,
    is_on: bool,
    *,
    reason: str = "",
    operator: str = "",
    timeout_s: float = 5.0,
    keys: ClientKeys | None = None,
) -> BypassReply:
    """Have the station ask for no stops, or for stops again; defects are found, told and graded all the same.

    Args:
        endpoint: as for `change_roll`, like the arguments not named here.
        is_on: True: no stops.
        reason: why, for the journal.

    Raises: as `change_roll`.
    """
    return _command(
        endpoint, BypassReply, BypassRequest, timeout_s, keys, is_on=is_on, reason=reason, operator=operator
    )


def keep_challenge(
    endpoint: str,
    figures: ChallengeFigures,
    *,
    operator: str = "",
    timeout_s: float = 5.0,
    keys: ClientKeys | None = None,
) -> RecordReply:
    """Have the station keep what a challenge showed. Arguments and errors as for `change_roll`."""
    return _command(endpoint, RecordReply, ChallengeRequest, timeout_s, keys, figures=figures, operator=operator)


def keep_verdicts(
    endpoint: str,
    verdicts: Sequence[VerdictFigures],
    *,
    operator: str = "",
    timeout_s: float = 5.0,
    keys: ClientKeys | None = None,
) -> RecordReply:
    """Have the station keep a person's verdicts, 1 to 32. Other arguments and errors as for `change_roll`."""
    return _command(endpoint, RecordReply, VerdictRequest, timeout_s, keys, verdicts=verdicts, operator=operator)


def _command(
    endpoint: str,
    wanted: type[AnyReply],
    kind: type[Command],
    timeout_s: float,
    keys: ClientKeys | None,
    **fields: Any,  # noqa: ANN401 - the fields of the request, judged by its model
) -> AnyReply:
    try:
        request = kind(**fields)
    except ValidationError as error:
        raise InputError(f"the station takes no such command: {first_problem(error)}") from error
    reply, _ = ask(endpoint, request, timeout_s=timeout_s, keys=keys, again_s=_AGAIN_S)
    if not isinstance(reply, wanted):
        raise EventFormatError(f"{endpoint}: answered {reply.reply} to a {request.request} request")
    return reply
