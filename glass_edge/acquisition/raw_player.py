"""A recording of raw lines played as a camera, byte for byte.

Promises: blocks have the bytes, line numbers, encoder counts, times of capture and faults they were recorded with;
lines that the recording lacks (lost to a slow disk, or damaged) are a jump of the line numbers and so a gap that is
reported; damage is a fault that names the file. What is played is never live cloth: `is_simulated` is true.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from glass_edge.acquisition.camera import EndOfLinesError, LineBlock
from glass_edge.acquisition.pacing import Pacer, check_rate
from glass_edge.acquisition.raw_lines import SUFFIX, Damage, RawHeader, read_blocks, read_raw_header
from glass_edge.errors import InputError


class RawPlayer:
    """A camera whose lines come from a recording."""

    is_simulated = True

    def __init__(self, folder: Path, *, line_rate_hz: float | None = None) -> None:
        """Check the files' headers.

        Args:
            folder: of `run --record`; of several recordings in it the newest is played. Or one of its files.
            line_rate_hz: lines a second; None: as fast as they are read.

        Raises:
            InputError: no recording there, a header is damaged, or the files do not belong together.
        """
        check_rate(line_rate_hz)
        self._rate_hz = line_rate_hz
        files = recorded_files(folder)
        headers = {path: read_raw_header(path) for path in files}
        newest = max(header.recording for header in headers.values())
        own = {path: header for path, header in headers.items() if header.recording == newest}
        self.files = tuple(sorted(own, key=lambda path: own[path].number))
        self.header: RawHeader = own[self.files[0]]
        for path, header in own.items():
            if (header.width_px, header.channels) != (self.header.width_px, self.header.channels):
                raise InputError(
                    f"{path}: lines of {header.width_px} px and {header.channels} channel(s), where "
                    f"{self.files[0].name} has {self.header.width_px} and {self.header.channels}; take one of them out"
                )
        self._blocks: Iterator[LineBlock | Damage] | None = None
        self._next: LineBlock | None = None
        self._faults: list[str] = []
        self._pacer = Pacer(line_rate_hz)
        self._is_first = True

    @property
    def width_px(self) -> int:
        """Pixels of a line."""
        return self.header.width_px

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return self.header.channels

    @property
    def first_line(self) -> int | None:
        """Known from the first block only: the ring may have dropped what was before it."""
        return None

    def __enter__(self) -> Self:
        """Start from the first block."""
        self._blocks = self._all_blocks()
        self._next, self._faults, self._is_first = None, [], True
        self._pacer = Pacer(self._rate_hz)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the file."""
        self._blocks = self._next = None

    def read(self, timeout_s: float) -> LineBlock | None:
        """Next block; see `Camera.read`.

        Raises:
            EndOfLinesError: the recording is over.
        """
        if self._blocks is None:
            raise RuntimeError("read outside of the camera's 'with' block")
        deadline_s = time.monotonic() + timeout_s
        while self._next is None:
            item = next(self._blocks, None)
            if item is None:
                faults, self._faults = tuple(self._faults), []
                raise EndOfLinesError(faults=faults)
            if isinstance(item, Damage):
                self._faults.append(f"{item.message}; its lines were not played")
            else:
                self._next = item
        if not self._pacer.wait(self._next.n_lines, deadline_s):
            return None
        block, self._next = self._next, None
        told, self._faults = (*block.health.faults, *self._faults), []
        # what the camera had lost before the first block that is left is no loss of this replay
        is_first, self._is_first = self._is_first, False
        missed = 0 if is_first else block.health.missed_lines
        health = replace(block.health, missed_lines=missed, faults=told)
        return replace(
            block,
            received_monotonic_s=time.monotonic(),
            starts_segment=block.starts_segment or is_first,
            health=health,
        )

    def _all_blocks(self) -> Iterator[LineBlock | Damage]:
        for path in self.files:
            yield from read_blocks(path)


def recorded_files(place: Path) -> list[Path]:
    """Files of raw lines at a place.

    Raises:
        InputError: there are none.
    """
    if place.is_file() and place.suffix == SUFFIX:
        return [place]
    files = sorted(place.glob(f"*{SUFFIX}")) if place.is_dir() else []
    if not files:
        raise InputError(f"{place}: no recording; give a folder that 'glass-edge run --record' wrote")
    return files


def is_recording(place: Path) -> bool:
    """Whether files of raw lines are there."""
    return place.suffix == SUFFIX if place.is_file() else place.is_dir() and any(place.glob(f"*{SUFFIX}"))
