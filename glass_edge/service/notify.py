"""Telling systemd how the service does.

Promises: outside of systemd nothing happens; telling never raises, and never waits for longer than it says; one message
is one datagram, so that systemd takes all of it or nothing. The protocol is sd_notify(3)'s, which says that it may be
implemented anew: it is a datagram on a Unix socket, and the libraries for it are abandoned or need libsystemd.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import structlog

_log = structlog.get_logger(__name__)
_PATIENCE_S = 5.0  # for what must not get lost: systemd is slow while it loads units
_US = 1_000_000


class Notifier:
    """The service's line to systemd.

    Args:
        address: path of its socket, or '@' and a name of the abstract namespace; None: nobody listens.
        watchdog_s: within this time after a `watchdog` another one must come, s; None: nobody waits for any.
    """

    def __init__(self, address: str | None = None, watchdog_s: float | None = None) -> None:
        self.watchdog_s = watchdog_s
        self._socket: socket.socket | None = None
        self._has_complained = False
        if address is None:
            return
        if not address.startswith(("/", "@")):
            self._complain(f"NOTIFY_SOCKET={address} is neither a path nor an abstract socket")
            return
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """What systemd asks of this process by NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID."""
        watchdog_s = None
        text, pid = environment.get("WATCHDOG_USEC", ""), environment.get("WATCHDOG_PID", "")
        if text.isdecimal() and int(text) > 0 and pid in ("", str(os.getpid())):
            watchdog_s = int(text) / _US
        return cls(environment.get("NOTIFY_SOCKET") or None, watchdog_s)

    @property
    def is_heard(self) -> bool:
        """False outside of systemd."""
        return self._socket is not None

    def ready(self, status: str) -> None:
        """The service does what it is for."""
        self._send(_PATIENCE_S, "READY=1", _status(status))

    def status(self, text: str) -> None:
        """What the service does, in a line."""
        self._send(0.0, _status(text))

    def watchdog(self) -> None:
        """The service gets on."""
        self._send(0.0, "WATCHDOG=1")

    def stopping(self, status: str, within_s: float) -> None:
        """The service ends, which takes `within_s` at most."""
        self._send(_PATIENCE_S, "STOPPING=1", _status(status), f"EXTEND_TIMEOUT_USEC={round(within_s * _US)}")

    def close(self) -> None:
        """Let the socket go; nothing is told any more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _send(self, patience_s: float, *assignments: str) -> None:
        if self._socket is None:
            return
        try:
            self._socket.settimeout(patience_s)
            self._socket.sendto("\n".join(assignments).encode(), self._address)
        except OSError as error:  # systemd does not read: it will start us anew, or is starting anew itself
            self._complain(f"{error}; {assignments[0]} was not told")

    def _complain(self, problem: str) -> None:
        if not self._has_complained:
            self._has_complained = True
            _log.warning("service.systemd_not_told", problem=problem)


def _status(text: str) -> str:
    return "STATUS=" + " ".join(text.split())  # one line, whatever an error message holds
