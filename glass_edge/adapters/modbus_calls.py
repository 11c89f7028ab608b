"""Commands and answers, given to the station.

Promises: a call ends within its time-out; its outcome says whether the station did it, refused it, or was not heard.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypedDict

from glass_edge.adapters.modbus_codes import Reason, Result
from glass_edge.adapters.modbus_orders import AnswerOrder, BypassOrder, Call, Outcome, RecipeOrder, RollOrder
from glass_edge.errors import InputError
from glass_edge.events.commands import acknowledge, change_recipe, change_roll, set_bypass
from glass_edge.events.curve_keys import ClientKeys
from glass_edge.events.errors import CommandRefusedError, EventFormatError, NoAnswerError

_TIMEOUT_S = 5.0
_MOST_OPERATOR = 128


class _Common(TypedDict):
    operator: str
    timeout_s: float
    keys: ClientKeys | None


class StationCalls:
    """Calls of one station; from any thread.

    Args:
        endpoint: its request endpoint.
        keys: for tcp.
        adapter: name of the adapter, for the station's journal.
    """

    def __init__(self, endpoint: str, keys: ClientKeys | None, adapter: str) -> None:
        self._endpoint = endpoint
        self._keys = keys
        self._adapter = adapter

    def give(self, call: Call) -> Outcome:
        """Have the station do what a call asks."""
        common: _Common = {"operator": self._operator(call.writer), "timeout_s": _TIMEOUT_S, "keys": self._keys}
        at = self._endpoint
        match call.order:
            case BypassOrder(is_on):
                reason = f"by the controller at {call.writer}"
                return _outcome(lambda: set_bypass(at, is_on, reason=reason, **common))
            case RollOrder(roll_id):
                return _outcome(lambda: change_roll(at, roll_id, **common))
            case RecipeOrder(style, version):
                return _outcome(lambda: change_recipe(at, style, version=version, **common))
            case AnswerOrder(request_id, accepted, detail):
                return _outcome(lambda: acknowledge(at, request_id, accepted=accepted, detail=detail, **common))

    def _operator(self, writer: str) -> str:
        return f"{self._adapter} for {writer}"[:_MOST_OPERATOR] if writer else self._adapter


def _outcome(call: Callable[[], object]) -> Outcome:
    try:
        call()
    except CommandRefusedError as error:
        return Outcome(Result.REFUSED, Reason.STATION_REFUSED, error.reason)
    except (NoAnswerError, EventFormatError) as error:
        return Outcome(Result.UNKNOWN, Reason.NO_ANSWER, str(error))
    except InputError as error:
        return Outcome(Result.REFUSED, Reason.TEXT, str(error))
    return Outcome(Result.DONE)
