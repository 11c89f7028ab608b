"""The camera thread: reads blocks, checks them and hands them on.

Promises: after the engine is ready, every line the camera counted is in exactly one `Arrival`, as
part of a block or as missed lines with a reason; a camera that cannot wait is never kept waiting (blocks that find the
queue full are counted as overrun), one that can is; the last arrival always comes. Faults of a camera that
gives no lines are told at once.
"""

from __future__ import annotations

import contextlib
import queue

import numpy as np

from glass_edge.acquisition.camera import (
    Camera,
    EndOfLinesError,
    LineBlock,
    MeasuresItself,
    TellsAlarms,
    TellsFaults,
)
from glass_edge.errors import InputError
from glass_edge.inspection.coverage import GapReason
from glass_edge.inspection.messages import Arrival, MissedLines
from glass_edge.inspection.run_state import RunState
from glass_edge.inspection.sink import Fault
from glass_edge.inspection.turns import StageTurns

_POLL_S = 0.05
_MAX_FAULTS = 100


class CameraStage:
    """Body of the camera thread.

    Args:
        camera: opened and closed in this thread.
        engine_channels: 1 or 3; an RGB camera before a grey engine is refused.
        outbox: bounded queue to the inference thread.
        state: flags of the run.
        turns: counts the turns of the loop.
        live: the camera cannot wait; False for replays.
        read_timeout_s: longest wait for a block before a stop request is looked for.
    """

    def __init__(
        self,
        camera: Camera,
        engine_channels: int,
        outbox: queue.Queue[Arrival],
        state: RunState,
        turns: StageTurns,
        *,
        live: bool,
        read_timeout_s: float,
    ) -> None:
        self._camera = camera
        self._engine_channels = engine_channels
        self._outbox = outbox
        self._state = state
        self._turns = turns
        self._live = live
        self._read_timeout_s = read_timeout_s
        self._next_line: int | None = None
        self._missed: list[MissedLines] = []
        self._faults: list[Fault] = []
        self._overrunning = False

    def run(self) -> None:
        """Read until the lines end, a stop is asked for, or something fails; failures go to the run's state."""
        try:
            self._state.engine_ready.wait()
            if not self._state.stop.is_set():
                with self._camera as camera:
                    self._check_channels(camera)
                    self._next_line = camera.first_line
                    self._read_all(camera)
        except BaseException as error:  # noqa: BLE001 - raised again by InspectionPipeline.wait
            # What the camera delivered before it failed is sound and is still inspected.
            self._state.fail(error, drain=True)
            self._faults.append(Fault("fatal", f"the camera thread ended: {error}", is_fatal=True))
        self._outbox.put(Arrival(None, tuple(self._missed), tuple(self._faults), is_end=True))

    def _check_channels(self, camera: Camera) -> None:
        if camera.channels not in (1, self._engine_channels):
            raise InputError(
                f"the camera gives {camera.channels} channels and the engine takes {self._engine_channels}: "
                "use an engine trained on RGB, or set the camera to grey"
            )

    def _read_all(self, camera: Camera) -> None:
        while not self._state.stop.is_set():
            self._turns.camera += 1
            try:
                block = camera.read(self._read_timeout_s)
            except EndOfLinesError as end:
                self._take_end(end)
                return
            if block is not None:
                self._take(block, camera)
            elif isinstance(camera, TellsFaults):
                for message in camera.take_faults():
                    self._fault("camera", message)
            if isinstance(camera, MeasuresItself):
                self._state.camera = camera.figures()
            if isinstance(camera, TellsAlarms):
                for alarm in camera.take_alarms():
                    self._fault(alarm.kind, alarm.message)
            if block is None:
                self._tell()

    def _tell(self) -> None:
        """What is wrong while no lines come; where the queue is full it waits for the next block."""
        if not self._faults or self._missed:
            return
        with contextlib.suppress(queue.Full):
            self._outbox.put_nowait(Arrival(None, faults=tuple(self._faults)))
            self._faults = []

    def _take(self, block: LineBlock, camera: Camera) -> None:
        for message in block.health.faults:
            self._fault("camera", message)
        if self._next_line is None:
            # Lines lost since the camera was opened are cloth that nobody saw, also those before the first block.
            self._next_line = max(0, block.first_line - block.health.missed_lines)
        why = block.health.missed_why or _why_missed(block.health.faults)
        self._miss(block.first_line, GapReason.CAMERA_GAP, why)
        if problem := self._problem(block, camera):
            self._fault("bad_block", problem)
            self._miss(block.end_line, GapReason.BAD_BLOCK, problem)
            return
        self._next_line = self._state.web_line = block.end_line
        self._offer(block)

    def _take_end(self, end: EndOfLinesError) -> None:
        """What the camera could not hand over after the last block."""
        for message in end.faults:
            self._fault("camera", message)
        if end.end_line is not None and self._next_line is not None:
            self._miss(end.end_line, GapReason.CAMERA_GAP, _why_missed(end.faults))

    def _problem(self, block: LineBlock, camera: Camera) -> str:
        """What is wrong with a block, in a sentence; empty when nothing is."""
        lines = block.lines
        shape = (camera.width_px,) if camera.channels == 1 else (camera.width_px, camera.channels)
        if lines.dtype != np.uint8 or lines.ndim < 2 or lines.shape[1:] != shape or lines.shape[0] == 0:
            return (
                f"block at line {block.first_line} is {lines.dtype} {lines.shape}; "
                f"uint8 (lines, {', '.join(map(str, shape))}) was agreed with the camera"
            )
        assert self._next_line is not None
        if block.first_line < self._next_line:
            return f"block at line {block.first_line} runs backwards; line {self._next_line} was next"
        return ""

    def _fault(self, kind: str, message: str) -> None:
        if len(self._faults) < _MAX_FAULTS:  # they wait here while the queue is full
            self._faults.append(Fault(kind, message))

    def _miss(self, end_line: int, reason: GapReason, detail: str) -> None:
        """Lines up to `end_line` are missed; nothing when they were counted before."""
        assert self._next_line is not None
        if end_line <= self._next_line:
            return
        if self._overrunning:  # one stretch, however often the camera stumbles meanwhile
            last = self._missed[-1]
            self._missed[-1] = MissedLines(last.first_line, end_line, last.reason, last.detail)
        else:
            self._missed.append(MissedLines(self._next_line, end_line, reason, detail))
        self._next_line = end_line

    def _offer(self, block: LineBlock) -> None:
        arrival = Arrival(block, tuple(self._missed), tuple(self._faults))
        while True:
            self._turns.camera += 1
            try:
                self._outbox.put(arrival, block=not self._live, timeout=_POLL_S)
            except queue.Full:
                if self._live:
                    self._drop(block, GapReason.OVERRUN, "the inspection could not keep up with the camera")
                    return
                if self._state.stop.is_set():
                    self._drop(block, GapReason.SHUTDOWN, "the inspection ended before these lines could be scored")
                    return
                continue
            self._missed, self._faults, self._overrunning = [], [], False
            self._state.block_queue_max = max(self._state.block_queue_max, self._outbox.qsize())
            return

    def _drop(self, block: LineBlock, reason: GapReason, detail: str) -> None:
        self._next_line = block.first_line
        if reason is GapReason.OVERRUN and not self._overrunning:
            self._fault("overrun", f"{detail}; lines from {block.first_line} on are not inspected")
        self._miss(block.end_line, reason, detail)
        self._overrunning = reason is GapReason.OVERRUN


def _why_missed(faults: tuple[str, ...]) -> str:
    return "; ".join(faults) or "the camera's line numbers jumped"
