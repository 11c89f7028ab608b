"""While the loom runs: does the camera still see what was calibrated?

Promises: the camera's blocks pass through unchanged and are never kept waiting: a thread of its own, of the lowest
priority, looks at a sample of lines, and while it is busy no other sample is taken. A misfit that lasts is an alarm
(`misfit_<name>`, the names of `calibration.fit_check.Alarm`), told once when it begins and once when it is over
(`misfit_<name>_over`); one that cannot be looked for is told too (`fit_check_late`, `fit_check_failed`). None of them
ends the inspection.
"""

from __future__ import annotations

import contextlib
import os
import queue
import threading
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from glass_edge.acquisition.camera import (
    Alarm,
    Camera,
    EndOfLinesError,
    LineBlock,
)
from glass_edge.acquisition.wrapped_camera import WrappedCamera
from glass_edge.calibration.cloth_look import ClothLook, load_look, look_at
from glass_edge.calibration.fit_check import Finding, check_fit, no_cloth
from glass_edge.calibration.lasting_misfit import LastingMisfit, Turn
from glass_edge.config.fit_check import FitCheckSettings
from glass_edge.errors import InputError

_LOWEST_PRIORITY = 19
_LATE_CHECKS = 10  # so many checks that did not happen are told
_LAST_CHECK_S, _LEAVE_S = 10.0, 2.0  # how long the check of the last lines is waited for: at their end, when stopped


@dataclass(frozen=True, slots=True)
class _Sample:
    """Consecutive lines: their first web line, parts of blocks, and what they should look like."""

    first_line: int
    parts: tuple[NDArray[np.uint8], ...]
    look: ClothLook


class FitWatchCamera(WrappedCamera):
    """A camera whose picture is watched.

    Args:
        camera: not yet opened.
        look: what it should see; None: nobody knows, and nothing is checked.
        settings: how often, and what fits.
        mm_per_line: advance of the cloth between two lines, mm.
    """

    def __init__(
        self, camera: Camera, look: ClothLook | None, settings: FitCheckSettings, *, mm_per_line: float
    ) -> None:
        super().__init__(camera)
        self._look, self._settings = look, settings
        self._mm_per_line = mm_per_line
        self._every_lines = round(settings.every_m * 1000 / mm_per_line)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._reset()

    def _reset(self) -> None:
        self._samples: queue.Queue[_Sample | None] = queue.Queue()  # one sample at most, because of _busy
        self._busy = threading.Event()
        self._alarms: list[Alarm] = []
        self._parts: list[NDArray[np.uint8]] = []
        self._parts_look = self._look
        self._n_lines = self._next_line = self._due_line = self._unchecked_lines = 0
        self._is_late = False
        self._lasting = LastingMisfit(self._settings.checks, self._settings.misfits)
        self._end: EndOfLinesError | None = None
        self.n_checks = 0
        """Samples looked at."""

    def use(self, look: ClothLook | None) -> None:
        """Another style is woven from now on: what does not fit the one before is over. From any thread."""
        with self._lock:
            self._look = look
            for alarm in sorted(self._lasting.lasting):
                self._alarms.append(Alarm(f"misfit_{alarm}_over", f"{alarm}: another style is woven"))
            self._lasting = LastingMisfit(self._settings.checks, self._settings.misfits)

    def __enter__(self) -> Self:
        """Open the camera; raises CameraLostError."""
        self._reset()
        self._camera.__enter__()
        self._thread = threading.Thread(target=self._watch, name="fit-check", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the camera, then end the check."""
        self._camera.__exit__(kind, error, trace)
        self._finish(_LEAVE_S)

    def _finish(self, wait_s: float) -> None:
        if self._thread is not None:
            self._samples.put(None)
            self._thread.join(wait_s)
            self._thread = None

    def read(self, timeout_s: float) -> LineBlock | None:
        """See `Camera.read`."""
        if self._end is not None:
            raise self._end
        try:
            block = self._camera.read(timeout_s)
        except EndOfLinesError as end:
            self._finish(_LAST_CHECK_S)
            with self._lock:
                if not self._alarms:
                    raise
            self._end = end  # after what the last lines showed
            return None
        if block is not None:
            self._gather(block)
        return block

    def take_alarms(self) -> tuple[Alarm, ...]:
        """See `camera.TellsAlarms`: the camera's, and what does not fit."""
        with self._lock:
            told, self._alarms = tuple(self._alarms), []
        return (*super().take_alarms(), *told)

    def _gather(self, block: LineBlock) -> None:
        """Keep a block's lines where a sample is due; a sample has no hole."""
        look = self._look
        if block.starts_segment or block.first_line != self._next_line or look is not self._parts_look:
            self._parts, self._n_lines, self._parts_look = [], 0, look
        self._next_line = block.end_line
        if look is None:
            self._unchecked_lines = 0
            return
        self._unchecked_lines += block.n_lines
        patience = _LATE_CHECKS * max(self._every_lines, self._settings.lines)
        if self._every_lines and self._unchecked_lines > patience and not self._is_late:
            self._is_late = True
            self._tell(
                "fit_check_late",
                f"the picture was not checked for {self._metres(self._unchecked_lines):.1f} m: the machine has no time "
                f"for it, or {self._settings.lines} lines never come without a hole",
            )
        if self._busy.is_set() or block.end_line <= self._due_line:
            return
        part = block.lines[: self._settings.lines - self._n_lines]
        self._parts.append(part)
        self._n_lines += len(part)
        if self._n_lines == self._settings.lines:
            first_line = block.first_line + len(part) - self._n_lines
            self._busy.set()
            self._samples.put(_Sample(first_line, tuple(self._parts), look))
            self._due_line = first_line + self._every_lines
            self._unchecked_lines, self._is_late = 0, False
            self._parts, self._n_lines = [], 0

    def _watch(self) -> None:
        """Body of the watching thread."""
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _LOWEST_PRIORITY)  # of this thread alone (Linux)
        try:
            while (sample := self._samples.get()) is not None:
                findings = self._check(np.concatenate(sample.parts), sample.look)
                with self._lock:
                    turns = self._lasting.add(findings) if sample.look is self._look else ()
                for turn in turns:
                    self._tell(*self._in_words(turn, sample.first_line))
                self.n_checks += 1
                del sample  # its lines, before the wait for the next
                self._busy.clear()
        except BaseException as error:  # noqa: BLE001 - told, and the inspection goes on
            self._tell("fit_check_failed", f"the picture is not checked any more: {type(error).__name__}: {error}")

    def _check(self, lines: NDArray[np.uint8], look: ClothLook) -> tuple[Finding, ...]:
        try:
            return check_fit(look_at(lines), look, self._settings.limits)
        except InputError as error:
            return (no_cloth(str(error)),)

    def _in_words(self, turn: Turn, line: int) -> tuple[str, str]:
        where = f"at {self._metres(line):.2f} m"
        if turn.finding is None:
            return (
                f"misfit_{turn.alarm}_over",
                f"{turn.alarm} fits again: {turn.n_checks} checks in a row, the last {where}",
            )
        share = f"{turn.n_misfits} of the last {turn.n_checks} checks, the last {where}"
        return f"misfit_{turn.alarm}", f"{turn.finding.message} ({share})"

    def _metres(self, lines: int) -> float:
        return lines * self._mm_per_line / 1000

    def _tell(self, kind: str, message: str) -> None:
        with self._lock:
            self._alarms.append(Alarm(kind, message))


def watch_fit(
    camera: Camera, settings: FitCheckSettings, *, mm_per_line: float, flat_field_sha256: str | None
) -> Camera:
    """`camera`, watched where `settings` name a look.

    Args:
        camera: not yet opened.
        settings: table `[fit_check]`, its path joined to the file's folder.
        mm_per_line: advance of the cloth between two lines, mm.
        flat_field_sha256: the flat field that corrects the lines, empty for none; None: not to be compared.

    Raises:
        InputError: the look is missing, or of another camera or flat field.
    """
    if settings.look is None:
        return camera
    look = look_of_camera(settings.look, camera.width_px, flat_field_sha256)
    return FitWatchCamera(camera, look, settings, mm_per_line=mm_per_line)


def look_of_camera(path: Path, width_px: int, flat_field_sha256: str | None) -> ClothLook:
    """The look in a file, for a camera of `width_px`; `flat_field_sha256` as in `watch_fit`.

    Raises:
        InputError: it is missing, or of another camera or flat field.
    """
    look = load_look(path)
    if look.width_px != width_px:
        raise InputError(
            f"{path}: made of lines of {look.width_px} px and the camera's have {width_px}; make it "
            "anew with `glass-edge calibrate learn` from pictures of this camera"
        )
    if flat_field_sha256 is not None and flat_field_sha256 != look.flat_field_sha256:
        how = "without a" if not look.flat_field_sha256 else "with another" if flat_field_sha256 else "with a"
        raise InputError(
            f"{path}: learnt {how} flat field; learn it again with --flat-field as in [camera] of the station file"
        )
    return look
