"""From what the controller wrote to commands for the station.

Promises: a command is taken once for each new number of its trigger, with the values that stood there at that moment;
one of a kind is under way at a time, and a trigger that changes meanwhile is looked at when it is done.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

from glass_edge.adapters.modbus_bank import Written
from glass_edge.adapters.modbus_codec import NoTextError
from glass_edge.adapters.modbus_codes import Reason, Result
from glass_edge.adapters.modbus_state import Done


class CommandKind(StrEnum):
    """What the controller can give; the values are the names in the map."""

    BYPASS = "bypass"
    ROLL = "roll"
    RECIPE = "recipe"


@dataclass(frozen=True, slots=True)
class BypassOrder:
    """Ask for no stops, or for stops again."""

    is_on: bool


@dataclass(frozen=True, slots=True)
class RollOrder:
    """Begin a roll."""

    roll_id: str


@dataclass(frozen=True, slots=True)
class RecipeOrder:
    """Inspect another style; without a version, the station's choice."""

    style: str
    version: str | None


@dataclass(frozen=True, slots=True)
class AnswerOrder:
    """Answer a stop request."""

    request_id: str
    accepted: bool
    detail: str


Order: TypeAlias = BypassOrder | RollOrder | RecipeOrder | AnswerOrder


@dataclass(frozen=True, slots=True)
class Call:
    """An order on its way to the station.

    Attributes:
        kind: of the command; None: the answer to a stop request.
        number: trigger of the command, or number of the request.
        order: what is asked.
        writer: address of the controller that wrote it; empty: the adapter itself.
    """

    kind: CommandKind | None
    number: int
    order: Order
    writer: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call."""

    result: Result
    reason: Reason = Reason.NONE
    message: str = ""

    def done(self, number: int) -> Done:
        """The same for the registers of a command or answer."""
        return Done(number=number, result=self.result, reason=self.reason, message=self.message)


def take(kind: CommandKind, last: Done, written: Written) -> tuple[Done, Call | None]:
    """The command of a kind that is due: what its registers say from now on, and the call; None: nothing to do.

    Args:
        kind: which.
        last: the one taken last.
        written: what the controller wrote.
    """
    trigger = written.number(f"{kind}_trigger")
    if last.result is Result.PENDING or trigger in (0, last.number):
        return last, None
    try:
        order = _order(kind, written)
    except NoTextError as error:
        return Done(number=trigger, result=Result.REFUSED, reason=Reason.TEXT, message=str(error)), None
    call = Call(kind, trigger, order, written.writer(f"{kind}_trigger"))
    return Done(number=trigger, result=Result.PENDING), call


def _order(kind: CommandKind, written: Written) -> Order:
    match kind:
        case CommandKind.BYPASS:
            return BypassOrder(written.number("bypass_on") == 1)
        case CommandKind.ROLL:
            return RollOrder(_name(written, "new_roll_id"))
        case CommandKind.RECIPE:
            return RecipeOrder(_name(written, "new_style"), written.text("new_version").strip() or None)


def _name(written: Written, register: str) -> str:
    """A name without space around it: controllers pad texts with it."""
    try:
        name = written.text(register).strip()
    except NoTextError as error:
        raise NoTextError(f"{register} {error}") from error
    if not name:
        raise NoTextError(f"{register} is empty")
    return name
