"""Where log lines go, and how they look.

Promises: standard output belongs to results (`--json` can be piped); log lines go to standard error: one JSON object a
line where the system's journal reads them, or where GLASS_EDGE_LOG=json asks for it, plain lines otherwise; lines of
libraries that use `logging` look like ours; under the journal each line carries its priority.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from glass_edge.errors import InputError

VARIABLE = "GLASS_EDGE_LOG"
_PRIORITIES = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}  # of syslog, as sd-daemon(3) takes them
_SHARED: list[structlog.typing.Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="stamp_utc"),
    structlog.processors.format_exc_info,
]


def is_json() -> bool:
    """Whether log lines are JSON objects.

    Raises:
        InputError: GLASS_EDGE_LOG is something else than json or plain.
    """
    asked = os.environ.get(VARIABLE)
    if asked not in (None, "json", "plain"):
        raise InputError(f"{VARIABLE} = '{asked}'; give json or plain, or leave it out")
    return under_journal() if asked is None else asked == "json"


def under_journal() -> bool:
    """Whether standard error is read by the system's journal: systemd names the device and inode of its stream."""
    stream = os.environ.get("JOURNAL_STREAM")
    if not stream:
        return False
    try:
        place = os.fstat(sys.stderr.fileno())
    except (OSError, ValueError):
        return False
    return stream == f"{place.st_dev}:{place.st_ino}"


def log_to_stderr() -> None:
    """Send the log lines of this process to standard error, looked up anew for each logger."""
    last: list[structlog.typing.Processor] = [
        structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), timestamp_key="stamp_utc")
    ]
    if is_json():
        last = [structlog.processors.EventRenamer("message"), _JsonLine(has_priority=under_journal())]
    structlog.configure(
        processors=[*_SHARED, *last],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),
    )
    handler = _Stderr()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_SHARED,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers = [one for one in root.handlers if not isinstance(one, _Stderr)] + [handler]


class _Stderr(logging.Handler):
    """To what standard error is at the moment."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(self.format(record) + "\n")


class _JsonLine:
    """Renders a JSON object, after the priority where one is wanted."""

    def __init__(self, *, has_priority: bool) -> None:
        self._render = structlog.processors.JSONRenderer(ensure_ascii=False)
        self._has_priority = has_priority

    def __call__(self, logger: Any, name: str, entry: MutableMapping[str, Any]) -> str:  # noqa: ANN401 - structlog's
        text = self._render(logger, name, entry)
        line = text if isinstance(text, str) else text.decode()
        return f"<{_PRIORITIES.get(str(entry.get('level')), 6)}>{line}" if self._has_priority else line
