"""The camera contract every source of lines keeps.

Promises: line numbers belong to the web, strictly increase, and a jump in them is cloth that was not seen; blocks are
owned by the receiver (never a view of a driver's buffer); `read` returns within its time-out.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from glass_edge.errors import GlassEdgeError


class CameraLostError(GlassEdgeError):
    """The camera stopped answering or cannot be opened."""


class EndOfLinesError(Exception):
    """A replay or a bounded simulation has played its last line (the camera of a real loom never raises it).

    Attributes:
        end_line: web line after the last of the source, handed over or not; None when it is the last block's end.
        faults: faults since the last block, one sentence each.
    """

    def __init__(self, *, end_line: int | None = None, faults: tuple[str, ...] = ()) -> None:
        super().__init__("the last line was played" + ("" if end_line is None else f"; line {end_line} would follow"))
        self.end_line = end_line
        self.faults = faults


@dataclass(frozen=True, slots=True)
class CameraHealth:
    """Counters since the camera was opened."""

    incomplete_blocks: int = 0
    missed_lines: int = 0
    faults: tuple[str, ...] = ()
    """Faults noticed since the block before this one, one sentence each."""
    missed_why: str = ""
    """Why the lines before the block are missing, where it is no fault of the camera."""


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Consecutive lines of the web.

    Attributes:
        lines: uint8 (n_lines, width) or (n_lines, width, 3) RGB, C-contiguous, not written to after hand-over.
        first_line: web line number of `lines[0]`.
        encoder_count: encoder at the first line; cameras without one repeat the line number.
        captured_utc: wall-clock time of the first line (aware, UTC).
        received_monotonic_s: `time.monotonic()` when the block was complete.
        starts_segment: the cloth before the first line is another piece (first block, a splice, the next image of a
            replayed folder): nothing was missed, but what came before is no neighbour of what follows.
        source: name of what is played (file name), empty for a camera.
        health: counters of the camera.
    """

    lines: NDArray[np.uint8]
    first_line: int
    encoder_count: int
    captured_utc: datetime
    received_monotonic_s: float
    starts_segment: bool = False
    source: str = ""
    health: CameraHealth = field(default_factory=CameraHealth)

    @property
    def n_lines(self) -> int:
        """Number of lines."""
        return int(self.lines.shape[0])

    @property
    def end_line(self) -> int:
        """Web line number after the last line."""
        return self.first_line + self.n_lines


@runtime_checkable
class Camera(Protocol):
    """A source of line blocks; used as a context manager by one thread."""

    @property
    def width_px(self) -> int:
        """Pixels of a line."""

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""

    @property
    def is_simulated(self) -> bool:
        """True for replays and simulated looms: every event says so."""

    @property
    def first_line(self) -> int | None:
        """Web line at which the source starts: lines from here on that are not handed over were missed.

        None where it is known from the first block only (less the lines its health counts as missed).
        """

    def __enter__(self) -> Self:
        """Open the device.

        Raises:
            CameraLostError: it cannot be opened.
        """

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the device; never raises."""

    def read(self, timeout_s: float) -> LineBlock | None:
        """Next block, or None when none was complete within `timeout_s` (a standing loom is no error).

        Raises:
            EndOfLinesError: a bounded source is exhausted.
            CameraLostError: the device is gone.
        """


@runtime_checkable
class TellsFaults(Protocol):
    """A camera that can say what is wrong while no lines come."""

    def take_faults(self) -> tuple[str, ...]:
        """Faults noticed since the last block or call, one sentence each; by the thread that reads, at once."""


@dataclass(frozen=True, slots=True)
class CameraFigures:
    """What a camera measures of itself while it runs.

    Attributes:
        line_rate_hz: lines a second while the web runs; None: not known yet.
        exposure_headroom: part of a line's time that the exposure leaves free; below 0 lines are missed; None: not
            known.
    """

    line_rate_hz: float | None = None
    exposure_headroom: float | None = None


@runtime_checkable
class MeasuresItself(Protocol):
    """A camera with figures."""

    def figures(self) -> CameraFigures:
        """Figures of now; by the thread that reads, at once."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something about the picture or the camera that is not a loss of lines.

    Attributes:
        kind: stable short name, the fault's code in events.
        message: what it is and what to do, in a sentence.
    """

    kind: str
    message: str


@runtime_checkable
class TellsAlarms(Protocol):
    """A camera, or what wraps it, that watches the picture."""

    def take_alarms(self) -> tuple[Alarm, ...]:
        """Alarms since the last call; by the thread that reads, at once."""
