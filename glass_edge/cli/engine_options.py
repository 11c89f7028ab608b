"""Options that several commands share.

Promises: a value the settings refuse is an InputError that names the option.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from glass_edge.errors import InputError

if TYPE_CHECKING:
    from glass_edge.config.engine import EngineSettings


def engine_settings(**values: Any) -> EngineSettings:  # noqa: ANN401 - validated below
    """`EngineSettings` from command line options of the same names."""
    from glass_edge.config.engine import EngineSettings

    try:
        return EngineSettings(**values)
    except ValidationError as error:
        lines = [_complaint(problem["loc"], problem["input"], problem["msg"]) for problem in error.errors()]
        raise InputError("\n".join(lines)) from error


def _complaint(location: tuple[int | str, ...], value: object, message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"--{str(location[0]).replace('_', '-')} {value}: {message}" if location else message
