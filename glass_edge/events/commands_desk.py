"""Where a station takes commands: who may, whether it can be, what the journal keeps of it.

Promises: an accepted command is in the journal before its client hears so, an acknowledgement together with its
stop.ack; a refused one is too, six a minute at most, the others counted; the same command sent again under its id is
answered as before and not done again; whatever a client sends, no error leaves `take`, and no event is written beyond
these limits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from glass_edge.config.events import Role
from glass_edge.errors import GlassEdgeError
from glass_edge.events.asker import Asker
from glass_edge.events.commands import StationCommands
from glass_edge.events.commands_limits import Answer, Caller, Callers, WindowLimit
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
    RecordRequest,
    RollReply,
    RollRequest,
    VerdictRequest,
)
from glass_edge.events.errors import RequestRefusedError
from glass_edge.events.payloads import MAX_TEXT_LENGTH, Payload, StopAck
from glass_edge.events.payloads import Command as CommandPayload
from glass_edge.events.payloads_records import Challenge, Record, Verdict
from glass_edge.events.schema import Draft, Event, Kind
from glass_edge.events.snapshot import StateFold
from glass_edge.events.text import printable

LEAST_ROLE = {
    RollRequest: Role.CONTROLLER,
    RecipeRequest: Role.CONTROLLER,
    AcknowledgeRequest: Role.CONTROLLER,
    BypassRequest: Role.CONTROLLER,
    ChallengeRequest: Role.CONTROLLER,
    VerdictRequest: Role.CONTROLLER,
}
"""Who may give a command."""

_REFUSALS_A_MINUTE = 6
_ASKED = ("roll_id", "style", "version", "request_id", "is_on")
_LOG = logging.getLogger(__name__)

EmitAll = Callable[[Sequence[Draft]], list[Event]]


class CommandDesk:
    """Takes commands in the publisher's thread.

    Args:
        station: who carries them out; None: nobody, all but acknowledgements are refused.
        emit_all: keeps events, all or none.
        order: held while a command is carried out and journaled, so that no event of its effect comes before it.
        present_status: the station's status now, told after the bypass changed; None: it is not told.
        now_s: a clock that never jumps, s.
    """

    def __init__(
        self,
        station: StationCommands | None,
        emit_all: EmitAll,
        order: AbstractContextManager[object],
        present_status: Callable[[], Draft] | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._station = station
        self._emit_all = emit_all
        self._order = order
        self._present_status = present_status
        self._now_s = now_s
        self._callers = Callers()
        self._refusals = WindowLimit(_REFUSALS_A_MINUTE, 60.0)
        self._unlisted = 0
        self._acknowledged = ""
        self.taken = 0
        self.refused = 0

    def take(self, request: Command, asker: Asker, state: StateFold) -> Answer:
        """Carry out a command, or refuse it.

        Args:
            request: the command.
            asker: who gives it.
            state: the station as published.
        """
        caller = self._callers.of(asker)
        if (before := caller.answered(request)) is not None:
            if before[0] == request:
                return before[1]
            return Answer(reason=f"another command came with the id {request.id!r} before; give each its own")
        self.taken += 1
        try:
            self._admit(request, asker, caller)
            answer = self._carry_out(request, asker, state)
        except RequestRefusedError as error:
            answer = self._refuse(request, asker, state, printable(str(error)))
        except Exception as error:  # noqa: BLE001 - told to the client and logged
            # a fault of the station's own; the publication goes on for all others
            _LOG.exception("the command %s of client %s failed", request.request, asker.client)
            self.refused += 1
            kind = "" if isinstance(error, GlassEdgeError) else f"{type(error).__name__}: "
            return Answer(reason=f"it failed: {kind}{error}")  # not remembered: sent again it may succeed
        caller.remember(request, answer)
        return answer

    def _admit(self, request: Command, asker: Asker, caller: Caller) -> None:
        least = LEAST_ROLE[type(request)]
        if not asker.role.includes(least):
            raise RequestRefusedError(
                f"client {asker.client} is {asker.role}, and {request.request} needs the role {least}"
            )
        # an acknowledgement is limited by the requests there are, and must not wait behind another's flood
        if not isinstance(request, AcknowledgeRequest) and not caller.limit.allows(self._now_s()):
            raise RequestRefusedError(f"client {asker.client} gives too many commands; wait a minute")

    def _carry_out(self, request: Command, asker: Asker, state: StateFold) -> Answer:
        if isinstance(request, AcknowledgeRequest):
            return self._acknowledge(request, asker, state)
        if isinstance(request, ChallengeRequest | VerdictRequest):
            return self._keep(request, asker, state)
        station = self._station
        if station is None:
            raise RequestRefusedError("this station takes no commands")
        if isinstance(request, RecipeRequest):
            # what it leads to comes seconds later, and may be told by a thread that this one would have to wait for
            version = station.change_recipe(request.style, request.version)
            self._journal(request, asker, state, version=version)
            return Answer(RecipeReply, {"style": request.style, "version": version})
        with self._order:
            if isinstance(request, RollRequest):
                first_line = station.change_roll(request.roll_id)
                self._journal(request, asker, state)
                return Answer(RollReply, {"roll_id": request.roll_id, "first_line": first_line})
            return self._bypass(request, asker, state, station)

    def _bypass(self, request: BypassRequest, asker: Asker, state: StateFold, station: StationCommands) -> Answer:
        station.set_bypass(request.is_on, request.reason)
        try:
            told = () if self._present_status is None else (self._present_status(),)
            self._journal(request, asker, state, *told, reason=request.reason)
        except BaseException:
            station.set_bypass(state.is_bypassed, "it could not be journaled")
            raise
        return Answer(BypassReply, {"is_on": request.is_on})

    def _acknowledge(self, request: AcknowledgeRequest, asker: Asker, state: StateFold) -> Answer:
        pending = state.stop_request
        if pending is None or pending.request_id == self._acknowledged:  # what is acknowledged is published in a moment
            raise RequestRefusedError(f"stop request {request.request_id} does not wait for an answer; none does")
        if request.request_id != pending.request_id:
            raise RequestRefusedError(
                f"stop request {request.request_id} does not wait for an answer; {pending.request_id} does"
            )
        ack = StopAck(
            request_id=request.request_id, accepted=request.accepted, source=asker.client, detail=request.detail
        )
        self._journal(request, asker, state, _draft(Kind.STOP_ACK, ack, state), reason=request.detail)
        self._acknowledged = request.request_id
        return Answer(AcknowledgeReply, {"request_id": request.request_id, "accepted": request.accepted})

    def _keep(self, request: RecordRequest, asker: Asker, state: StateFold) -> Answer:
        """Keep records; they are events of their own kinds, with no command event beside them."""
        who = {"client": asker.client, "operator": request.operator}
        if isinstance(request, ChallengeRequest):
            drafts = [_draft(Kind.CHALLENGE, Challenge(**request.figures.model_dump() | who), state)]
        else:
            for one in request.verdicts:
                if one.defect_seq > state.seq:
                    raise RequestRefusedError(f"event {one.defect_seq} did not happen yet; give that of a defect")
            verdicts = [Verdict(**one.model_dump() | who) for one in request.verdicts]
            drafts = [_draft(Kind.DEFECT_VERDICT, verdict, state) for verdict in verdicts]
        first = self._emit_all(drafts)[0]
        if isinstance(request, ChallengeRequest) and self._station is not None:
            self._station.take_challenge(request.figures.is_passed)
        return Answer(RecordReply, {"seq": first.seq})

    def _refuse(self, request: Command, asker: Asker, state: StateFold, reason: str) -> Answer:
        self.refused += 1
        if not self._refusals.allows(self._now_s()):
            self._unlisted += 1
        else:
            try:
                self._journal(request, asker, state, accepted=False, reason=reason)
            except GlassEdgeError as error:  # the refusal stands; the station notices at its own next event
                _LOG.error("a refused command of client %s is not in the journal: %s", asker.client, error)
        return Answer(reason=reason)

    def _journal(
        self,
        request: Command,
        asker: Asker,
        state: StateFold,
        *with_it: Draft,
        accepted: bool = True,
        reason: str = "",
        version: str | None = None,
    ) -> None:
        asked: dict[str, Any] = {name: getattr(request, name, None) for name in _ASKED}
        payload = CommandPayload(
            command=request.request,
            client=asker.client,
            role=asker.role,
            uid=asker.uid,
            operator=request.operator,
            accepted=accepted,
            reason=reason[:MAX_TEXT_LENGTH],
            refused_unlisted=self._unlisted,
            **(asked | ({} if version is None else {"version": version})),
        )
        self._emit_all([_draft(Kind.COMMAND, payload, state), *with_it])
        self._unlisted = 0


def _draft(kind: Kind, payload: Payload | Record, state: StateFold) -> Draft:
    roll = state.roll
    return Draft(
        kind=kind,
        is_simulated=state.is_simulated,
        is_partial=roll is not None,
        roll_id=None if roll is None else roll.roll_id,
        style=None if roll is None else roll.style,
        payload=payload,
    )
