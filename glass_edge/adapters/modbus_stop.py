"""A stop request between the station and the registers.

Promises: those of `stop_handshake`; the registers of the answer say what became of it, also when the request was over
before; a controller that does not answer in time is told of, and the request stays held.
"""

from __future__ import annotations

from datetime import datetime

from glass_edge.adapters.modbus_bank import Written
from glass_edge.adapters.modbus_codes import Reason, Result
from glass_edge.adapters.modbus_orders import AnswerOrder, Call, Outcome
from glass_edge.adapters.modbus_state import Done, ModbusState
from glass_edge.adapters.station_view import StationView
from glass_edge.adapters.stop_handshake import Fate, Held, Wanted

_AGAIN_S = 2.0


class StopDesk:
    """Keeps up one handshake.

    Args:
        state: where it stood.
        ack_timeout_s: how long the controller may take, s.
        now_s: monotonic seconds.
    """

    def __init__(self, state: ModbusState, ack_timeout_s: float, now_s: float) -> None:
        self._handshake = state.handshake(now_s)
        self._timeout_s = ack_timeout_s
        self._age_s = 0.0  # when it was seen first
        self._age_of = 0
        self._unheard = ""
        self.ack = state.ack

    @property
    def held(self) -> Held | None:
        """The request that waits."""
        return self._handshake.held

    def kept_in(self, state: ModbusState) -> ModbusState:
        """`state` with what must not be forgotten of this."""
        return state.with_handshake(self._handshake).model_copy(update={"ack": self.ack})

    def see(self, view: StationView | None, now_s: float, now_utc: datetime, *, is_live: bool) -> None:
        """What the station's view says; while it is the past, a request that is held stays so."""
        if not is_live and self.held is not None:
            return  # killed before the view was kept, the adapter knows of the request and the view does not
        stop = None if view is None else view.stop
        pending = None if view is None or stop is None else (view.epoch, stop.request.request_id)
        self._handshake = self._handshake.see(pending, now_s)
        held = self.held
        if held is not None and stop is not None and held.number != self._age_of:
            self._age_of = held.number
            self._age_s = max(0.0, (now_utc - stop.stamp_utc).total_seconds())
        if self.ack.result is Result.PENDING and (held is None or held.number != self.ack.number):
            text = "the request was over before the station told whether it took the answer"
            self.ack = Outcome(Result.UNKNOWN, Reason.NO_ANSWER, text).done(self.ack.number)
            self._unheard = ""

    def hear(self, wanted: Wanted, now_s: float) -> None:
        """What the controller and the adapter want."""
        self._handshake = self._handshake.hear(wanted, now_s)

    def due(self, written: Written, now_s: float) -> Call | None:
        """The answer that is to be sent now."""
        held = self.held
        if held is None or held.answer is None or not self._handshake.is_due(now_s):
            return None
        self._handshake = self._handshake.sent()
        self.ack = Done(number=held.number, result=Result.PENDING)
        answer = held.answer
        writer = written.writer("accept_stop" if answer.accepted else "refuse_stop") if answer.is_by_controller else ""
        return Call(None, held.number, AnswerOrder(held.request_id, answer.accepted, answer.detail), writer)

    def over(self, call: Call, outcome: Outcome, now_s: float) -> None:
        """The call of an answer is over."""
        if outcome.result is Result.UNKNOWN:
            self._handshake = self._handshake.unheard(call.number, now_s + _AGAIN_S)
            self._unheard = outcome.message
            return
        self._unheard = ""
        self._handshake = self._handshake.replied(call.number, is_taken=outcome.result is Result.DONE)
        if call.number == self.ack.number:
            self.ack = outcome.done(call.number)

    def age_s(self, now_s: float) -> float:
        """How long the request has waited, s; 0 when none waits. The wall clock is asked only once for each."""
        return 0.0 if self.held is None else self._age_s + now_s - self.held.since_s

    def is_overdue(self, now_s: float) -> bool:
        """The controller takes longer than it may."""
        return self._handshake.is_overdue(now_s, self._timeout_s)

    def trouble(self, now_s: float) -> str | None:
        """What a person must see to."""
        held = self.held
        if held is None:
            return None
        if self.is_overdue(now_s):
            return (
                f"stop request {held.number} has waited for the controller for more than {self._timeout_s:g} s; have it"
                f" write {held.number} to accept_stop or refuse_stop"
            )
        if held.answer is not None and held.answer.fate is Fate.REFUSED:
            return f"the station refused the answer to stop request {held.number}: {self.ack.message}"
        if self._unheard:
            return f"the answer to stop request {held.number} is sent again and again: {self._unheard}"
        return None
