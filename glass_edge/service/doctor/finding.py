"""What an examination found.

Promises: an examination that fails by itself is a finding too; it stops no other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from glass_edge.errors import GlassEdgeError


class Verdict(StrEnum):
    """How a part does."""

    GOOD = "good"
    CARE = "care"
    """It works, and may not for long or not well."""
    BAD = "bad"
    """The station cannot work with it."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        part: what was looked at.
        verdict: how it does.
        text: what was seen.
        remedy: what to do; empty where it is good.
    """

    part: str
    verdict: Verdict
    text: str
    remedy: str = ""


Examination = Callable[[], Iterator[Finding]]


def good(part: str, text: str) -> Finding:
    """A part that is well."""
    return Finding(part, Verdict.GOOD, text)


def care(part: str, text: str, remedy: str) -> Finding:
    """A part that works, and needs a person."""
    return Finding(part, Verdict.CARE, text, remedy)


def bad(part: str, text: str, remedy: str) -> Finding:
    """A part the station cannot work with."""
    return Finding(part, Verdict.BAD, text, remedy)


def of_error(part: str, error: Exception) -> Finding:
    """A part that answered with an error: our messages end with what to do, behind the last semicolon."""
    text, _, remedy = str(error).rpartition("; ")
    return bad(part, text or remedy, remedy if text else "see the message")


def examine(part: str, look: Examination) -> list[Finding]:
    """What `look` finds, up to and with its own failure."""
    found: list[Finding] = []
    try:
        found.extend(look())
    except (GlassEdgeError, OSError) as error:
        found.append(of_error(part, error))
    return found
