"""What the Modbus adapter must not forget: which commands it took, under which number a stop request waits.

Promises: a command is on disk before it is given, so that one is never given twice, whatever the controller goes on
writing; after a restart one whose fate is open says so.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from glass_edge.adapters.modbus_codes import Reason, Result
from glass_edge.adapters.stop_handshake import MOST_NUMBER, Answer, Fate, Held, StopHandshake
from glass_edge.errors import InputError
from glass_edge.events.parsing import first_problem
from glass_edge.events.payloads import Document
from glass_edge.events.schema import Epoch
from glass_edge.files import write_json


class Done(Document):
    """The last command of a kind, or the last answer."""

    number: int = Field(default=0, ge=0, le=0xFFFF)
    """Trigger of the command, number of the stop request; 0: there was none."""
    result: Result = Result.NONE
    reason: Reason = Reason.NONE
    message: str = ""


class StoredAnswer(Document):
    """An answer to a stop request."""

    accepted: bool
    detail: str
    is_by_controller: bool
    fate: Literal["WAITING", "TAKEN", "REFUSED"]


class StoredRequest(Document):
    """A stop request that waits."""

    epoch: Epoch
    request_id: str
    answer: StoredAnswer | None = None


class ModbusState(Document):
    """The document of the file."""

    format_version: Literal[1] = 1
    epoch: Epoch | None = None
    """Journal that was followed last."""
    journal_changes: int = Field(default=0, ge=0)
    stop_enable: bool = False
    last_stop_number: int = Field(ge=0, le=MOST_NUMBER)
    stop: StoredRequest | None = None
    """The request that waits, under the number given last."""
    ack: Done = Done()
    bypass: Done = Done()
    roll: Done = Done()
    recipe: Done = Done()

    def handshake(self, now_s: float) -> StopHandshake:
        """The handshake as it stood; an answer whose fate is open is due again."""
        held = None
        if self.stop is not None:
            held = Held(
                self.last_stop_number, self.stop.epoch, self.stop.request_id, now_s, _restored(self.stop, now_s)
            )
        return StopHandshake(self.last_stop_number, held)

    def with_handshake(self, handshake: StopHandshake) -> ModbusState:
        """This state with another handshake."""
        held, stop = handshake.held, None
        if held is not None:
            stop = StoredRequest(epoch=held.epoch, request_id=held.request_id, answer=_stored(held.answer))
        return self.model_copy(update={"last_stop_number": handshake.last_number, "stop": stop})

    def after_restart(self) -> ModbusState:
        """This state with what was under way marked as such: it was done, or not."""
        changes = {}
        for name in ("bypass", "roll", "recipe"):
            done: Done = getattr(self, name)
            if done.result is Result.PENDING:
                changes[name] = done.model_copy(update={"result": Result.UNKNOWN, "reason": Reason.INTERRUPTED})
        return self.model_copy(update=changes)


def first_state() -> ModbusState:
    """The state of a new adapter. Numbers of stop requests begin anywhere: a controller may still hold an old one."""
    return ModbusState(last_stop_number=secrets.randbelow(MOST_NUMBER))


def _stored(answer: Answer | None) -> StoredAnswer | None:
    if answer is None:
        return None
    fate = Fate.WAITING if answer.fate is Fate.UNDER_WAY else answer.fate
    return StoredAnswer.model_validate(
        {
            "accepted": answer.accepted,
            "detail": answer.detail,
            "is_by_controller": answer.is_by_controller,
            "fate": fate.name,
        }
    )


def _restored(stop: StoredRequest, now_s: float) -> Answer | None:
    told = stop.answer
    if told is None:
        return None
    return Answer(told.accepted, told.detail, told.is_by_controller, now_s, Fate[told.fate])


class StateFile:
    """The state on disk, in the state folder of the adapter.

    Args:
        path: the file; made by the first `write`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self) -> ModbusState:
        """The state written last, or that of a new adapter.

        Raises:
            InputError: the file is something else.
        """
        try:
            return ModbusState.model_validate(json.loads(self._path.read_text(encoding="utf-8")), extra="ignore")
        except FileNotFoundError:
            return first_state()
        except ValidationError as error:
            problem = first_problem(error)
        except (OSError, ValueError, RecursionError) as error:
            problem = str(error)
        raise InputError(
            f"{self._path}: is no state of a Modbus adapter ({problem}); remove it; the controller must then begin with"
            " numbers of commands that it has not written before"
        )

    def write(self, state: ModbusState) -> None:
        """Keep `state`; durable when this returns.

        Raises:
            InputError: the file cannot be written. OSError: the disk is full.
        """
        write_json(self._path, state.model_dump(mode="json"))
