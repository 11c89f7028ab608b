"""What a client of the OPC UA server may ask of the station.

Promises: the station's journal names the user; a call comes back with the station's answer within its time-out, and
never raises for what the station or the client did.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from glass_edge.config.adapters import SourceSettings
from glass_edge.errors import GlassEdgeError, InputError
from glass_edge.events import commands
from glass_edge.events.curve_keys import ClientKeys
from glass_edge.events.errors import CommandRefusedError

DONE, REFUSED, NO_ANSWER, WRONG_ARGUMENT = 0, -1, -2, -3
"""Values of the output `Error`: below 0 are those of the application (OPC 40100-1)."""


class Outcome(NamedTuple):
    """What came of a command.

    Attributes:
        error: `DONE` or why not.
        message: the reason, for a person.
        version: version of the engine that is prepared; empty for other commands.
    """

    error: int
    message: str = ""
    version: str = ""


class Commander:
    """Commands to one station; each call opens its own socket, so any thread may make it.

    Args:
        source: of the station.
        keys: CURVE keys; None without.
        timeout_s: longest wait for an answer, s.
    """

    def __init__(self, source: SourceSettings, keys: ClientKeys | None, timeout_s: float) -> None:
        self._endpoint = source.request_endpoint
        self._keys = keys
        self._timeout_s = timeout_s

    def change_roll(self, operator: str, roll_id: str) -> Outcome:
        """Begin a roll."""

        def ask() -> Outcome:
            commands.change_roll(self._endpoint, roll_id, operator=operator, timeout_s=self._timeout_s, keys=self._keys)
            return Outcome(DONE)

        return _outcome(ask)

    def select_recipe(self, operator: str, style: str, version: str) -> Outcome:
        """Prepare the engine of a style; an empty version leaves it to the station."""

        def ask() -> Outcome:
            reply = commands.change_recipe(
                self._endpoint,
                style,
                version=version or None,
                operator=operator,
                timeout_s=self._timeout_s,
                keys=self._keys,
            )
            return Outcome(DONE, version=reply.version)

        return _outcome(ask)

    def acknowledge_stop(self, operator: str, request_id: str, accepted: bool, detail: str) -> Outcome:
        """Answer a stop request."""

        def ask() -> Outcome:
            commands.acknowledge(
                self._endpoint,
                request_id,
                accepted=accepted,
                detail=detail,
                operator=operator,
                timeout_s=self._timeout_s,
                keys=self._keys,
            )
            return Outcome(DONE)

        return _outcome(ask)

    def set_bypass(self, operator: str, is_on: bool, reason: str) -> Outcome:
        """Ask for no stops, or for stops again."""

        def ask() -> Outcome:
            commands.set_bypass(
                self._endpoint, is_on, reason=reason, operator=operator, timeout_s=self._timeout_s, keys=self._keys
            )
            return Outcome(DONE)

        return _outcome(ask)


def _outcome(ask: Callable[[], Outcome]) -> Outcome:
    try:
        return ask()
    except CommandRefusedError as error:
        return Outcome(REFUSED, error.reason)
    except InputError as error:
        return Outcome(WRONG_ARGUMENT, str(error))
    except GlassEdgeError as error:
        return Outcome(NO_ANSWER, str(error))
