"""A camera in a thread of the inspection's own process, for boxes too small for a process of its own.

Promises: the same as `genicam_process` as far as a thread can: blocks come the same way and a lost camera is opened
again after growing pauses. A driver that crashes takes the process with it, and one that hangs cannot be ended.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import replace

import numpy as np
import structlog
from numpy.typing import NDArray

from glass_edge.acquisition.camera import CameraLostError
from glass_edge.acquisition.genicam_source import HarvesterSource
from glass_edge.acquisition.genicam_spec import CameraFacts, FeedLimits, GenicamSpec
from glass_edge.acquisition.line_counter import BlockTags
from glass_edge.errors import GlassEdgeError

_log = structlog.get_logger(__name__)
_FIRST_PAUSE_S = 0.25
_CLOSE_S = 3.0


class ThreadFeed:
    """Blocks of a camera in a thread; the arguments are those of `ProcessFeed`."""

    def __init__(self, spec: GenicamSpec, limits: FeedLimits) -> None:
        self._spec, self._limits = spec, limits
        self._blocks: deque[tuple[BlockTags, NDArray[np.uint8]]] = deque()
        self._changed = threading.Condition()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failure: GlassEdgeError | None = None
        self._away = True
        self.facts: CameraFacts | None = None
        self.faults: list[str] = []

    @property
    def is_away(self) -> bool:
        """No block will follow those that wait, until the camera is back."""
        return self._away

    def open(self) -> CameraFacts:
        """Start the thread and wait until the camera streams.

        Raises:
            GlassEdgeError: it cannot be opened.
        """
        self._thread = threading.Thread(target=self._run, name="genicam", daemon=True)
        self._thread.start()
        with self._changed:
            if not self._changed.wait_for(lambda: self.facts is not None or self._failure, self._limits.open_timeout_s):
                self._stop.set()
                raise CameraLostError(f"{self._spec.name}: did not open within {self._limits.open_timeout_s:g} s")
            if self._failure is not None:
                raise self._failure
            assert self.facts is not None
            return self.facts

    def _run(self) -> None:
        pause_s, session, lost_since_s = _FIRST_PAUSE_S, 0, 0.0
        while not self._stop.is_set():
            try:
                self._stream(session)
            except GlassEdgeError as error:
                now = time.monotonic()
                if not self._away:
                    lost_since_s, pause_s = now, _FIRST_PAUSE_S
                    self._tell(str(error))
                    _log.warning("camera lost", camera=self._spec.name, reason=str(error))
                with self._changed:
                    if self.facts is None or now - lost_since_s > self._limits.give_up_s:
                        self._failure = error
                        self._changed.notify_all()
                        return
                    self._away = True
                    self._changed.notify_all()
                session += 1
                self._stop.wait(pause_s)
                pause_s = min(2 * pause_s, self._limits.longest_pause_s)

    def _stream(self, session: int) -> None:
        with HarvesterSource(self._spec, stall_s=self._limits.stall_s, busy_wait=True) as source:
            facts = source.facts
            assert facts is not None
            with self._changed:
                known = self.facts
                if known is not None and (facts.width_px, facts.channels) != (known.width_px, known.channels):
                    raise CameraLostError(f"{self._spec.name}: came back with another line: {facts.width_px} px")
                self.facts, self._away = facts, False
                self._changed.notify_all()
            if session:
                self._tell(f"{self._spec.name}: is back")

            def take(tags: BlockTags, lines: NDArray[np.uint8]) -> bool:
                with self._changed:
                    if len(self._blocks) >= self._limits.slots:
                        return False
                    self._blocks.append((replace(tags, session=session), lines.copy()))
                    self._changed.notify_all()
                return True

            while not self._stop.is_set():
                source.poll(self._spec.fetch_timeout_s, take)

    def _tell(self, fault: str) -> None:
        with self._changed:
            self.faults.append(fault)

    def peek(self, timeout_s: float, ahead: int = 0) -> tuple[BlockTags, NDArray[np.uint8]] | None:
        """The oldest block, or one `ahead` of it; None when none came in time.

        Raises:
            CameraLostError: the camera was given up.
        """
        with self._changed:
            self._changed.wait_for(lambda: len(self._blocks) > ahead or self._failure, max(0.0, timeout_s))
            if len(self._blocks) > ahead:
                return self._blocks[ahead]
            if self._failure is not None and not self._blocks:
                raise CameraLostError(f"{self._failure}; given up") from self._failure
            return None

    def release(self) -> None:
        """The oldest block is done with."""
        with self._changed:
            if self._blocks:
                self._blocks.popleft()

    def close(self) -> None:
        """End the thread; one whose driver hangs is left behind."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_CLOSE_S)
        self._blocks.clear()
