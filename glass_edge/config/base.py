"""Reading a TOML file into a settings model.

Promises: every complaint names the file, the line where it can be found, the key, and what would be right; unknown keys
are refused and the nearest known one is offered; nothing is read from the environment behind the user's back.
"""

from __future__ import annotations

import difflib
import re
import tomllib
import types
import typing
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from glass_edge.errors import InputError


class Settings(BaseModel):
    """Base of every settings model: immutable, unknown keys forbidden, fields described."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


SettingsT = TypeVar("SettingsT", bound=Settings)


def load_toml(path: Path, model: type[SettingsT]) -> SettingsT:
    """Read `path` and validate it as `model`.

    Raises:
        InputError: the file is missing, is no TOML, or a key or value is wrong; all problems are listed.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such file; give the path of a TOML file") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as UTF-8 text ({error})") from error
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: not valid TOML: {error}") from error
    try:
        return model.model_validate(document)
    except ValidationError as error:
        raise InputError(describe(path, text, model, error)) from error


def describe(path: Path, text: str, model: type[Settings], error: ValidationError) -> str:
    """All problems of a validation, a line each: file, line, key, what is wrong, what would be right."""
    lines = []
    for problem in error.errors(include_url=False):
        location = tuple(problem["loc"])
        key = ".".join(str(part) for part in location) or "(whole file)"
        number = _line_of(text, location)
        where = f"{path}:{number}" if number else str(path)
        if problem["type"] == "extra_forbidden":
            message = f"{where}: unknown key '{key}'{_nearest(model, location)}"
        elif problem["type"] == "missing":
            message = f"{where}: key '{key}' is missing"
        else:
            given = re.sub(r"(://[^/@:]*:)[^/]*@", r"\1...@", repr(problem["input"]))  # the password of a URL stays out
            message = f"{where}: {key} = {given}: {problem['msg'].removeprefix('Value error, ')}"
        lines.append(message)
    return "\n".join(lines)


def _nearest(model: type[Settings], location: tuple[Any, ...]) -> str:
    known = sorted(_fields_at(model, location[:-1]))
    close = difflib.get_close_matches(str(location[-1]), known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean '{close[0]}'?"
    return f"; known keys here: {', '.join(known)}" if known else ""


def _fields_at(model: type[BaseModel], location: tuple[Any, ...]) -> set[str]:
    current: type[BaseModel] | None = model
    for part in location:
        if current is None or not isinstance(part, str) or part not in current.model_fields:
            continue  # list indices and union tags do not name a field
        current = _model_in(current.model_fields[part].annotation)
    return set(current.model_fields) if current is not None else set()


def _model_in(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401 - any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is not None:
        for argument in typing.get_args(annotation):
            if (found := _model_in(argument)) is not None:
                return found
    return None


def _line_of(text: str, location: tuple[Any, ...]) -> int | None:
    """Line of the key at `location`, or of its table, 1-based; TOML's own parser keeps no positions."""
    names = [part for part in location if isinstance(part, str)]
    if not names:
        return None
    table: list[str] = []
    table_line = None
    key_pattern = re.compile(rf'\s*"?{re.escape(names[-1])}"?\s*=')
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([^\]]+?)\s*\]+", line)
        if header:
            table = [part.strip().strip("\"'") for part in header.group(1).split(".")]
            if table == names or table == names[:-1]:
                table_line = table_line or number
            if table == names:
                return number
        elif table == names[:-1] and key_pattern.match(line):
            return number
    return table_line
