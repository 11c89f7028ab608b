"""Errors of the whole program and the exit codes they map to.

Promises: every error that a person can mend is an `InputError` whose message names the file, key or value and what
would be right; the command line turns it into exit code 2. Everything else from `GlassEdgeError` is exit code 1.
"""

from __future__ import annotations


class GlassEdgeError(Exception):
    """The program failed at something it was asked to do (exit code 1)."""

    exit_code = 1


class InputError(GlassEdgeError):
    """The input or the configuration is wrong (exit code 2); the message says what would be right."""

    exit_code = 2


class MissingExtraError(InputError):
    """An optional library is not installed.

    Args:
        extra: name of the extra of this package that brings the library.
        purpose: what cannot be done without it.
    """

    def __init__(self, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs the extra '{extra}': pip install 'glass-edge[{extra}]'")
        self.extra = extra
