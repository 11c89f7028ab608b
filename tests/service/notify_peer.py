"""What systemd's side of sd_notify sees: a datagram socket of the test."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self


class NotifyPeer:
    """Receives what a service tells; `address` is what NOTIFY_SOCKET holds."""

    def __init__(self, folder: Path, *, is_abstract: bool = False) -> None:
        self.address = f"@glass-edge-test-{os.getpid()}-{id(self)}" if is_abstract else str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind("\0" + self.address[1:] if is_abstract else self.address)
        self.messages: list[tuple[float, dict[str, str]]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def listen(self, for_s: float) -> list[dict[str, str]]:
        """What arrives meanwhile."""
        return self.listen_until(lambda _: False, for_s)

    def listen_until(self, is_enough: Callable[[dict[str, str]], bool], within_s: float) -> list[dict[str, str]]:
        """What arrives until a message is the one looked for, which is then the last, or until the time is over."""
        heard, until = [], time.monotonic() + within_s
        while (left_s := until - time.monotonic()) > 0:
            self._socket.settimeout(left_s)
            try:
                data = self._socket.recv(65536)
            except TimeoutError:
                break
            message = dict(line.split("=", 1) for line in data.decode().split("\n"))
            self.messages.append((time.monotonic(), message))
            heard.append(message)
            if is_enough(message):
                break
        return heard
