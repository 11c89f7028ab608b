"""Pictures of the cloth, measured while it is woven, for the figures of a roll.

Promises: the camera's blocks pass through unchanged and are never kept waiting: a thread of its own, of the lowest
priority, measures a sample of lines, and while it is busy no other sample is taken; each sample is of one stretch of
cloth without a hole. What cannot be measured is no sample; when measuring itself fails, `drift_failed` is told once and
the inspection goes on. Memory is bounded: the last 4096 samples of a roll count.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.camera import Alarm, Camera, EndOfLinesError, LineBlock
from glass_edge.acquisition.wrapped_camera import WrappedCamera
from glass_edge.calibration.picture_figures import PictureFigures, measure_picture
from glass_edge.calibration.selvedge import NoClothError, find_cloth_span
from glass_edge.calibration.weave_spectrum import LEAST_LINES
from glass_edge.config.drift import DriftSettings
from glass_edge.fabric.geometry import ClothSpan

FAILED_FAULT = "drift_failed"
_LOWEST_PRIORITY = 19
_MOST_SAMPLES = 4096
_LAST_SAMPLE_S, _LEAVE_S = 10.0, 2.0  # how long the last sample is waited for: at the end of lines, when stopped


@dataclass(frozen=True, slots=True)
class _Sample:
    """Consecutive lines: their first web line, and parts of blocks."""

    first_line: int
    parts: tuple[NDArray[np.uint8], ...]


class DriftCamera(WrappedCamera):
    """A camera whose picture is measured from time to time.

    Args:
        camera: not yet opened.
        settings: how often.
        mm_per_line: advance of the cloth between two lines, mm.
        span: the cloth's columns; None: they are found.
    """

    def __init__(self, camera: Camera, settings: DriftSettings, *, mm_per_line: float, span: ClothSpan | None) -> None:
        super().__init__(camera)
        self._n_wanted, self._span = settings.lines, span
        self._every_lines = round(settings.every_m * 1000 / mm_per_line)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._reset()

    def _reset(self) -> None:
        self._samples: queue.Queue[_Sample | None] = queue.Queue()  # one sample at most, because of _busy
        self._busy = threading.Event()
        self._alarms: list[Alarm] = []
        self._parts: list[NDArray[np.uint8]] = []
        self._n_lines = self._next_line = self._due_line = self._taken_line = 0
        self._measured: deque[tuple[int, PictureFigures]] = deque(maxlen=_MOST_SAMPLES)

    def __enter__(self) -> Self:
        """Open the camera; raises CameraLostError."""
        self._reset()
        self._camera.__enter__()
        self._thread = threading.Thread(target=self._work, name="drift", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the camera, then end the measuring."""
        self._camera.__exit__(kind, error, trace)
        self._finish(_LEAVE_S)

    def _finish(self, wait_s: float) -> None:
        if self._thread is not None:
            self._samples.put(None)
            self._thread.join(wait_s)
            self._thread = None

    def read(self, timeout_s: float) -> LineBlock | None:
        """See `Camera.read`."""
        try:
            block = self._camera.read(timeout_s)
        except EndOfLinesError:
            self._finish(_LAST_SAMPLE_S)
            raise
        if block is not None:
            self._gather(block)
        return block

    def take_alarms(self) -> tuple[Alarm, ...]:
        """See `camera.TellsAlarms`: the camera's, and that nothing is measured any more."""
        with self._lock:
            told, self._alarms = tuple(self._alarms), []
        return (*super().take_alarms(), *told)

    def take(self, first_line: int, end_line: int) -> list[PictureFigures]:
        """Figures of the samples that begin in web lines [first_line, end_line); these and earlier ones are forgotten.

        From any thread, without waiting: a sample that is being measured is left out.
        """
        with self._lock:
            taken = [figures for line, figures in self._measured if first_line <= line < end_line]
            later = [one for one in self._measured if one[0] >= end_line]
            self._measured = deque(later, maxlen=_MOST_SAMPLES)
            self._taken_line = end_line
        return taken

    def _gather(self, block: LineBlock) -> None:
        """Keep a block's lines where a sample is due; a sample has no hole."""
        is_other = bool(self._parts) and block.lines.shape[1:] != self._parts[0].shape[1:]
        if block.starts_segment or block.first_line != self._next_line or is_other:
            self._parts, self._n_lines = [], 0
        self._next_line = block.end_line
        if self._busy.is_set() or block.end_line <= self._due_line:
            return
        part = block.lines[: self._n_wanted - self._n_lines]
        self._parts.append(part)
        self._n_lines += len(part)
        if self._n_lines == self._n_wanted:
            first_line = block.first_line + len(part) - self._n_lines
            self._busy.set()
            self._samples.put(_Sample(first_line, tuple(self._parts)))
            self._due_line = first_line + self._every_lines
            self._parts, self._n_lines = [], 0

    def _work(self) -> None:
        """Body of the measuring thread."""
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)  # of this thread alone (Linux)
        try:
            while (sample := self._samples.get()) is not None:
                figures = self._measure(np.concatenate(sample.parts))
                with self._lock:
                    if figures is not None and sample.first_line >= self._taken_line:
                        self._measured.append((sample.first_line, figures))
                del sample  # its lines, before the wait for the next
                self._busy.clear()
        except BaseException as error:  # noqa: BLE001 - told, and the inspection goes on
            with self._lock:
                text = f"the picture is not measured for drift any more: {type(error).__name__}: {error}"
                self._alarms.append(Alarm(FAILED_FAULT, text))

    def _measure(self, lines: NDArray[np.uint8]) -> PictureFigures | None:
        """Figures of a sample; None where it shows no cloth."""
        try:
            return measure_picture(lines, self._span or find_cloth_span(lines, least_width_px=LEAST_LINES))
        except (NoClothError, ValueError):
            return None
