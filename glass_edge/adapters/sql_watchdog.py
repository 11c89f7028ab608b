"""The end of waiting for a server that took a statement and never answers.

Promises: a connection whose server says nothing for the given time is cut, so that who waits on it gets an error; one
that is at rest is left alone. The server's own time-outs come first; this is for a server that hangs with all it has,
or a host that swallows what is sent.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time


class Watchdog:
    """Watches one connection from a thread of its own.

    Args:
        file_number: of the connection's socket, which this duplicates.
        limit_s: longest time between two calls of `feed`, unless `rest` is called.
    """

    def __init__(self, file_number: int, limit_s: float) -> None:
        self.has_bitten = False
        self._socket = socket.fromfd(file_number, socket.AF_UNSPEC, socket.SOCK_STREAM)
        self._limit_s = limit_s
        self._deadline_s: float | None = None
        self._is_closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._watch, name="sql watchdog", daemon=True)
        self._thread.start()

    def feed(self) -> None:
        """The server is asked something."""
        with self._changed:
            was_at_rest = self._deadline_s is None
            self._deadline_s = time.monotonic() + self._limit_s
            if was_at_rest:
                self._changed.notify()

    def rest(self) -> None:
        """Nothing is asked any more."""
        with self._changed:
            self._deadline_s = None

    def close(self) -> None:
        """End the watch."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join()
        self._socket.close()

    def _watch(self) -> None:
        with self._changed:
            while not self._is_closed and not self.has_bitten:
                left_s = None if self._deadline_s is None else self._deadline_s - time.monotonic()
                if left_s is None or left_s > 0:
                    self._changed.wait(left_s)
                    continue
                self.has_bitten = True
                with contextlib.suppress(OSError):  # it was cut already
                    self._socket.shutdown(socket.SHUT_RDWR)
