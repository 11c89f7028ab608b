"""A subscriber of the station's own events, in a thread of its own.

Promises: writes every event document it receives, a line each, as `glass-edge events tail --json` would; ends when the
station says that it halts or failed, or a while after it was told to; a failure reaches the caller of `finish`.
"""

from __future__ import annotations

import threading
import time
from pathlib import Path

from glass_edge.errors import GlassEdgeError
from glass_edge.events.client import EventClient, Received
from glass_edge.events.payloads import StationState, Status

_TURN_S = 0.1


class Follower:
    """Follows one station from its oldest event.

    Args:
        publish_endpoint, request_endpoint: of the station.
        path: file that takes the documents.
    """

    def __init__(self, publish_endpoint: str, request_endpoint: str, path: Path) -> None:
        self._endpoints = (publish_endpoint, request_endpoint)
        self.path = path
        self.received = 0
        self.last_seq = 0
        self._end_by_s: float | None = None
        self._heard = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="follower", daemon=True)

    def start(self, timeout_s: float = 10.0) -> None:
        """Start, and wait until the first event came.

        Raises:
            GlassEdgeError: none came in time.
        """
        self._thread.start()
        if not self._heard.wait(timeout_s):
            self.finish(0.0)
            raise GlassEdgeError(f"no event came over {self._endpoints[0]} within {timeout_s:g} s")

    def finish(self, timeout_s: float) -> None:
        """Wait for the station's last event, at most `timeout_s`; raises what failed in the thread."""
        if self._thread.ident is None:  # never started
            return
        self._end_by_s = time.monotonic() + timeout_s
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with self.path.open("w", encoding="utf-8") as stream, EventClient(*self._endpoints) as client:
                while self._end_by_s is None or time.monotonic() < self._end_by_s:
                    item = client.receive(_TURN_S)
                    if not isinstance(item, Received):
                        continue
                    stream.write(item.document + "\n")
                    client.commit(item.event)
                    self.received += 1
                    self.last_seq = item.event.seq
                    self._heard.set()
                    payload = item.event.payload
                    if isinstance(payload, Status) and payload.state in (StationState.HALTED, StationState.ERROR):
                        return
        except BaseException as error:  # noqa: BLE001 - raised again by finish
            self._failure = error
            self._heard.set()
