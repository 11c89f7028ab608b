"""Keeping what a camera hands over, in a ring of files within a size budget.

Promises: the camera's blocks pass through unchanged and are never kept waiting: a disk that is too slow or full costs
blocks of the recording (told as a fault with the next block, once a stretch), never of the inspection. The oldest files
make room for new ones, of earlier recordings in the folder too; files of anything else are never touched.
"""

from __future__ import annotations

import queue
import threading
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from glass_edge.acquisition.camera import Camera, EndOfLinesError, LineBlock
from glass_edge.acquisition.raw_lines import SUFFIX, RawHeader, RawWriter, record_size
from glass_edge.acquisition.wrapped_camera import WrappedCamera
from glass_edge.errors import InputError
from glass_edge.files import make_folder

_WAITING_BYTES = 128 << 20
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class RingSettings:
    """Where and how much.

    Attributes:
        folder: of the files.
        budget_bytes: of all files of raw lines in it together.
        file_bytes: a new file begins beyond this.
    """

    folder: Path
    budget_bytes: int
    file_bytes: int


class RecordingCamera(WrappedCamera):
    """A camera whose blocks are kept.

    Args:
        camera: not yet opened.
        ring: where its blocks go.
        mm_per_px, mm_per_line: scale, for the files' headers.

    Raises:
        InputError: the folder cannot be made, or the budget holds no two files.
    """

    def __init__(self, camera: Camera, ring: RingSettings, *, mm_per_px: float, mm_per_line: float) -> None:
        if ring.budget_bytes < 2 * ring.file_bytes:
            raise InputError(
                f"recording.budget_mb = {ring.budget_bytes // _MIB}: give at least twice file_mb, "
                f"{2 * ring.file_bytes // _MIB}"
            )
        super().__init__(camera)
        self._ring, self._scale = ring, (mm_per_px, mm_per_line)
        make_folder(ring.folder)
        self._waiting: queue.Queue[LineBlock | None] = queue.Queue()
        self._waiting_bytes = 0
        self._lock = threading.Lock()
        self._problems: list[str] = []
        self._lost_lines = 0
        self._writer: threading.Thread | None = None

    def __enter__(self) -> Self:
        """Open the camera and begin a recording; raises CameraLostError."""
        self._camera.__enter__()
        self._writer = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._writer.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the camera, then the recording."""
        self._camera.__exit__(kind, error, trace)
        self._finish()

    def _finish(self) -> None:
        if self._writer is not None:
            self._waiting.put(None)
            self._writer.join()
            self._writer = None

    def read(self, timeout_s: float) -> LineBlock | None:
        """See `Camera.read`."""
        try:
            block = self._camera.read(timeout_s)
        except EndOfLinesError as end:
            self._finish()  # what went wrong with the last blocks is told too
            raise EndOfLinesError(end_line=end.end_line, faults=(*end.faults, *self._take_problems())) from end
        if block is None:
            return None
        self._keep(block)
        told = self._take_problems()
        if not told:
            return block
        return replace(block, health=replace(block.health, faults=(*block.health.faults, *told)))

    def take_faults(self) -> tuple[str, ...]:
        """See `camera.TellsFaults`: the camera's, and the recording's."""
        return (*super().take_faults(), *self._take_problems())

    def _keep(self, block: LineBlock) -> None:
        size = record_size(block)
        with self._lock:
            if self._waiting_bytes + size > _WAITING_BYTES:
                if not self._lost_lines:
                    self._problems.append(
                        f"recording: the disk of {self._ring.folder} is too slow, lines from {block.first_line} on are "
                        "not kept; they are inspected all the same"
                    )
                self._lost_lines += block.n_lines
                return
            self._lost_lines = 0
            self._waiting_bytes += size
        self._waiting.put(block)

    def _take_problems(self) -> tuple[str, ...]:
        with self._lock:
            told, self._problems = tuple(self._problems), []
        return told

    def _write(self) -> None:
        """Body of the writing thread."""
        ring = _Ring(self._ring, self._header())
        has_failed = False
        while (block := self._waiting.get()) is not None:
            try:
                ring.add(block)
                has_failed = False
            except OSError as error:
                if not has_failed:
                    with self._lock:
                        self._problems.append(
                            f"recording: {self._ring.folder}: {error.strerror or error}; lines from {block.first_line} "
                            "on are not kept; they are inspected all the same"
                        )
                has_failed = True
            finally:
                with self._lock:
                    self._waiting_bytes -= record_size(block)
        ring.close()

    def _header(self) -> RawHeader:
        name = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        mm_per_px, mm_per_line = self._scale
        return RawHeader(self.width_px, self.channels, name, 1, self.is_simulated, mm_per_px, mm_per_line)


class _Ring:
    """Files of one recording; used by the writing thread alone."""

    def __init__(self, settings: RingSettings, header: RawHeader) -> None:
        self._settings, self._header = settings, header
        self._number = 0
        self._file: RawWriter | None = None

    def add(self, block: LineBlock) -> None:
        """Raises OSError; the file is then given up and the next block begins another."""
        try:
            if self._file is None or self._file.size + record_size(block) > self._settings.file_bytes:
                self._next_file()
            assert self._file is not None
            self._file.add(block)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError:  # what is on the disk is read up to its last whole block
                return

    def _next_file(self) -> None:
        self.close()
        self._make_room()
        self._number += 1
        name = f"{self._header.recording}-{self._number:06d}{SUFFIX}"
        self._file = RawWriter(self._settings.folder / name, replace(self._header, number=self._number))

    def _make_room(self) -> None:
        """Remove the oldest files until one more fits."""
        files = sorted(self._settings.folder.glob(f"*{SUFFIX}"))  # names begin with the time
        sizes = [file.stat().st_size for file in files]
        total = sum(sizes)
        for file, size in zip(files, sizes, strict=True):
            if total + self._settings.file_bytes <= self._settings.budget_bytes:
                return
            file.unlink(missing_ok=True)
            total -= size
