"""Where log lines go.

Promises: standard output belongs to results (`--json` can be piped); log lines go to standard error.
"""

from __future__ import annotations

import sys

import structlog


def log_to_stderr() -> None:
    """Send the log lines of this process to standard error, looked up anew for each logger."""
    structlog.configure(logger_factory=lambda *_: structlog.PrintLogger(sys.stderr))
