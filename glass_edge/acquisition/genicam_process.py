"""The camera process as its parent sees it.

Promises: starting, waiting and stopping never take longer than they are told; what a process left in its ring is
handed over before the next one starts; a process that dies, is killed, hangs or reports a lost camera is followed by
another after a pause that doubles up to `FeedLimits.longest_pause_s`; nothing of a stopped process is left
(descriptors, memory, zombies).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
from dataclasses import replace
from typing import Any

import numpy as np
import structlog
from numpy.typing import NDArray

from glass_edge.acquisition.camera import CameraLostError
from glass_edge.acquisition.genicam_ring import BlockRing, BlockShape, new_memory
from glass_edge.acquisition.genicam_spec import CameraFacts, FeedLimits, GenicamSpec, error_from_json
from glass_edge.acquisition.line_counter import BlockTags
from glass_edge.errors import GlassEdgeError

_log = structlog.get_logger(__name__)
_FIRST_PAUSE_S = 0.25
_STEADY_S = 10.0  # a stream that held this long starts the pauses anew
_CLOSE_S = 3.0
_HANG_S = 10.0


class Worker:
    """One camera process.

    Args:
        task: as `genicam_worker` reads it.
        with_ring: give it memory for a ring.
    """

    def __init__(self, task: dict[str, Any], *, with_ring: bool = False) -> None:
        self.ring_fd = new_memory() if with_ring else None
        passed = () if self.ring_fd is None else (self.ring_fd,)
        command = [sys.executable, "-m", "glass_edge.acquisition.genicam_worker"]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=passed,
                bufsize=0,
                start_new_session=True,  # Ctrl-C is this process's to answer
            )
        except BaseException:
            self._close_ring_fd()
            raise
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in, self._out = self._process.stdin, self._process.stdout
        os.set_blocking(self._out.fileno(), False)
        self._pending = b""
        with contextlib.suppress(OSError):  # it died; `receive` says so
            self._in.write(json.dumps({"hang_s": _HANG_S, "ring_fd": self.ring_fd, **task}).encode() + b"\n")

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def receive(self, timeout_s: float) -> list[dict[str, Any]] | None:
        """Answers that came, after at most `timeout_s`; None when the process has ended and all was read.

        An empty list can mean that a block is in the ring.
        """
        ready, _, _ = select.select([self._out], [], [], max(0.0, timeout_s))
        if not ready:
            return []
        try:
            data = os.read(self._out.fileno(), 1 << 16)
        except BlockingIOError:
            return []
        if not data:
            return None
        *whole, self._pending = (self._pending + data).split(b"\n")
        return [json.loads(one) for one in whole if one]

    def how_it_ended(self) -> str:
        """In words, once `receive` returned None."""
        try:
            code = self._process.wait(_CLOSE_S)
        except subprocess.TimeoutExpired:
            return "the camera process closed its pipe"
        return f"the camera process was killed by signal {-code}" if code < 0 else f"the camera process ended ({code})"

    def close(self, timeout_s: float = _CLOSE_S) -> None:
        """End the process, in order if it does so in time."""
        with contextlib.suppress(OSError):
            self._in.close()
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._out.close()
        self._close_ring_fd()

    def _close_ring_fd(self) -> None:
        if self.ring_fd is not None:
            os.close(self.ring_fd)
            self.ring_fd = None


def ask(task: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Have a process do a task and return its answer.

    Raises:
        GlassEdgeError: the error it answered with; CameraLostError: it died, or did not answer in time.
    """
    worker = Worker({**task, "hang_s": timeout_s + _HANG_S})
    deadline_s = time.monotonic() + timeout_s
    try:
        while (left_s := deadline_s - time.monotonic()) > 0:
            answers = worker.receive(left_s)
            if answers is None:
                raise CameraLostError(f"{worker.how_it_ended()} before it answered: a GenTL producer crashed")
            for answer in answers:
                if answer["event"] == "error":
                    raise error_from_json(answer)
                return answer
        raise CameraLostError(f"the GenTL producer did not answer within {timeout_s:g} s")
    finally:
        worker.close()


class ProcessFeed:
    """Blocks of a camera in a process of its own.

    Args:
        spec: the camera.
        limits: of ring and patience.
    """

    def __init__(self, spec: GenicamSpec, limits: FeedLimits) -> None:
        self._spec, self._limits = spec, limits
        self._worker: Worker | None = None
        self._ring: BlockRing | None = None
        self._pause_s = _FIRST_PAUSE_S
        self._since_s = self._seen_s = self._next_start_s = 0.0
        self._lost_since_s: float | None = None
        self._heartbeat = -1
        self._session = -1
        self.facts: CameraFacts | None = None
        self.faults: list[str] = []

    @property
    def pid(self) -> int | None:
        """Of the camera process, None while there is none."""
        return None if self._worker is None else self._worker.pid

    def open(self) -> CameraFacts:
        """Start the process and wait until the camera streams.

        Raises:
            GlassEdgeError: it cannot be opened.
        """
        self._start()
        deadline_s = time.monotonic() + self._limits.open_timeout_s
        while self._ring is None:
            if error := self._step(min(0.2, deadline_s - time.monotonic())):
                raise error
        assert self.facts is not None
        return self.facts

    def _start(self) -> None:
        self._session += 1
        task = {
            "task": "stream",
            "spec": self._spec.to_json(),
            "slots": self._limits.slots,
            "stall_s": self._limits.stall_s,
        }
        self._worker = Worker({**task, "hang_s": self._limits.open_timeout_s + _HANG_S}, with_ring=True)
        self._since_s = self._seen_s = time.monotonic()
        self._heartbeat = -1

    def _step(self, timeout_s: float) -> GlassEdgeError | None:
        """Listen to the process for at most `timeout_s`; the error when it is over with it."""
        assert self._worker is not None
        answers = self._worker.receive(timeout_s)
        if answers is None:
            return CameraLostError(self._worker.how_it_ended())
        for answer in answers:
            if answer["event"] == "error":
                return error_from_json(answer)
            if answer["event"] == "ready":
                facts, known = CameraFacts.from_json(answer["facts"]), self.facts
                if known is not None and (facts.width_px, facts.channels) != (known.width_px, known.channels):
                    return CameraLostError(
                        f"{self._spec.name}: came back with {facts.width_px} px and {facts.channels} channels instead "
                        f"of {known.width_px} and {known.channels}"
                    )
                self.facts = facts
                assert self._worker.ring_fd is not None
                shape = BlockShape(facts.n_lines, facts.width_px, facts.channels)
                self._ring = BlockRing(self._worker.ring_fd, shape, self._limits.slots, create=False)
                self._since_s = time.monotonic()
                if self._lost_since_s is not None:
                    away_s = time.monotonic() - self._lost_since_s
                    self.faults.append(f"{self._spec.name}: is back after {away_s:.1f} s")
                    _log.info("camera is back", camera=self._spec.name, away_s=round(away_s, 1))
                self._lost_since_s = None
        return self._watch()

    def _watch(self) -> GlassEdgeError | None:
        """The error when the process hangs."""
        now = time.monotonic()
        if self._ring is None:
            if now - self._since_s > self._limits.open_timeout_s:
                return CameraLostError(f"{self._spec.name}: did not open within {self._limits.open_timeout_s:g} s")
            return None
        if self._ring.heartbeat != self._heartbeat:
            self._heartbeat, self._seen_s = self._ring.heartbeat, now
        elif now - self._seen_s > max(2.0, 10 * self._spec.fetch_timeout_s):
            return CameraLostError(f"{self._spec.name}: its driver hangs since {now - self._seen_s:.1f} s")
        return None

    @property
    def is_away(self) -> bool:
        """No block will follow those that wait, until the camera is back."""
        return self._worker is None

    def peek(self, timeout_s: float, ahead: int = 0) -> tuple[BlockTags, NDArray[np.uint8]] | None:
        """The oldest block (or one `ahead` of it) as a view that is valid until `release`; None when none came in time.

        Raises:
            CameraLostError: the camera is away for longer than `give_up_s`.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            if self._ring is not None and (found := self._ring.peek(ahead)) is not None:
                tags, lines = found
                return replace(tags, session=self._session), lines
            left_s = deadline_s - time.monotonic()
            if self._worker is None:
                if not self._wait_for_start(left_s):
                    return None
            elif error := self._step(left_s):
                self._lose(error)
            elif left_s <= 0:
                return None

    def release(self) -> None:
        """The oldest block is done with."""
        if self._ring is not None:
            self._ring.release()
            if self._worker is None and self._ring.waiting == 0:
                self._close_ring()

    def _wait_for_start(self, left_s: float) -> bool:
        """True when a new process was started, after waiting no longer than `left_s`."""
        if self._ring is not None:
            return False  # its blocks come first
        pause_s = self._next_start_s - time.monotonic()
        if pause_s > max(0.0, left_s):
            time.sleep(max(0.0, left_s))
            return False
        time.sleep(max(0.0, pause_s))
        self._start()
        return True

    def _lose(self, error: GlassEdgeError) -> None:
        now = time.monotonic()
        if self._ring is not None and now - self._since_s > _STEADY_S:
            self._pause_s = _FIRST_PAUSE_S
        self._end_worker(timeout_s=0.2)
        if self._ring is not None and self._ring.waiting == 0:  # what it wrote before its end is sound
            self._close_ring()
        if self._lost_since_s is None:
            self._lost_since_s = now
            self.faults.append(str(error))
        _log.warning("camera lost", camera=self._spec.name, reason=str(error), next_try_s=self._pause_s)
        if now - self._lost_since_s > self._limits.give_up_s:
            raise CameraLostError(f"{error}; given up after {now - self._lost_since_s:.0f} s") from error
        self._next_start_s = now + self._pause_s
        self._pause_s = min(2 * self._pause_s, self._limits.longest_pause_s)

    def _end_worker(self, timeout_s: float) -> None:
        if self._worker is not None:
            self._worker.close(timeout_s)
            self._worker = None

    def _close_ring(self) -> None:
        if self._ring is not None:
            self._ring.close()
            self._ring = None

    def close(self) -> None:
        """End the process; never raises."""
        self._end_worker(_CLOSE_S)
        self._close_ring()
