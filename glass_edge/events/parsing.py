"""Reading documents, also those of a later minor version.

Promises: within a major version a minor version only adds optional keys and kinds; a reader ignores keys it does not
know and hands on kinds it does not know, so a station may be updated before its clients. Another major version is
refused, never guessed at.
"""

from __future__ import annotations

import json
import re

from pydantic import ValidationError

from glass_edge.events.errors import EventFormatError
from glass_edge.events.schema import (
    LENIENT,
    MAJOR_VERSION,
    MINOR_VERSION,
    PAYLOAD_TYPES,
    SCHEMA_VERSION,
    VERSION_PATTERN,
    Event,
    Kind,
)


def require_readable(version: object) -> tuple[int, int]:
    """Major and minor of a schema version this program reads.

    Raises:
        EventFormatError: it is no version or another major version.
    """
    if not isinstance(version, str) or not re.fullmatch(VERSION_PATTERN, version):
        raise EventFormatError(f"schema_version is {version!r}; a version like '{SCHEMA_VERSION}' is needed")
    major, minor = (int(part) for part in version.split("."))
    if major != MAJOR_VERSION:
        raise EventFormatError(
            f"schema_version is {version}; this program reads {MAJOR_VERSION}.x: use a release that writes that"
        )
    return major, minor


def parse_event(text: str | bytes) -> Event:
    """The event in a document of this major version, also of a later minor version.

    Unknown keys are ignored; unknown kinds become `OtherPayload` when the document's minor version is later than ours.

    Raises:
        EventFormatError: no JSON object, another major version, or fields missing or wrong.
    """
    try:
        document = json.loads(text)
    except (ValueError, UnicodeDecodeError, RecursionError) as error:
        raise EventFormatError(f"not a JSON document: {error}") from error
    if not isinstance(document, dict):
        raise EventFormatError(f"an event is a JSON object, not {type(document).__name__}")
    _, minor = require_readable(document.get("schema_version"))
    kind = document.get("kind")
    if minor <= MINOR_VERSION and kind not in list(PAYLOAD_TYPES):  # a list: what stands there may not be hashable
        raise EventFormatError(f"unknown kind {kind!r}; kinds are {', '.join(Kind)}")
    try:
        return Event.model_validate(document, extra="ignore", context={LENIENT: True})
    except ValidationError as error:
        raise EventFormatError(f"not an event: {first_problem(error)}") from error


def first_problem(error: ValidationError) -> str:
    """The first thing wrong in a document: where and what."""
    problem = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in problem["loc"]) or "document"
    return f"{where}: {problem['msg'].removeprefix('Value error, ')}"
