"""One camera of several that are joined: read in a thread of its own, its lines brought to the common count.

Promises: the camera is opened, read and closed in its thread; what it says of faults carries its name; a thread that
ends says why.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace

import numpy as np

from glass_edge.acquisition.camera import (
    Alarm,
    Camera,
    CameraFigures,
    CameraHealth,
    EndOfLinesError,
    LineBlock,
    MeasuresItself,
    TellsAlarms,
    TellsFaults,
)
from glass_edge.acquisition.joined_lines import JoinedLines, Piece
from glass_edge.acquisition.line_counter import unwrap

_POLL_S = 0.1
_MOST_TOLD = 100  # texts that wait to be asked for


@dataclass(frozen=True, slots=True)
class CommonEncoder:
    """A count that several cameras share.

    Attributes:
        counts_per_line: from line to line, negative where it counts down.
        bits: width of the counter.
    """

    counts_per_line: float
    bits: int = 64


@dataclass(frozen=True, slots=True)
class JoinedMember:
    """A camera and its place in the wide line.

    Attributes:
        name: as faults call it.
        camera: not opened.
        first_px, end_px: the columns [first_px, end_px) that are its own.
        along_offset_lines: how many lines later it sees the same cloth than a camera with 0.
        counts_per_line: encoder counts from line to line; None: its blocks carry no encoder.
        is_live: it cannot wait.
    """

    name: str
    camera: Camera
    first_px: int
    end_px: int
    along_offset_lines: int = 0
    counts_per_line: float | None = None
    is_live: bool = False


@dataclass(slots=True)
class Meeting:
    """What the cameras' threads share; all of it under `changed`."""

    lines: JoinedLines
    encoder: CommonEncoder | None
    names: tuple[str, ...]
    changed: threading.Condition = field(default_factory=threading.Condition)
    origin: float | None = None
    """Encoder count at common line 0, once a camera has begun."""
    all_open_s: float | None = None
    """When the last camera was open (monotonic)."""
    open_cameras: int = 0
    longest_block_lines: int = 1
    is_ending: bool = False
    faults: list[str] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)

    def count_open(self) -> None:
        """One more camera is open."""
        self.open_cameras += 1
        if self.open_cameras == len(self.names):
            self.all_open_s = time.monotonic()

    def tell(self, text: str) -> None:
        """Keep a fault until it is asked for."""
        if len(self.faults) < _MOST_TOLD:
            self.faults.append(text)


class Side:
    """A camera's thread.

    Args:
        number: its place from the left.
        member: the camera.
        meeting: where its lines go.
    """

    def __init__(self, number: int, member: JoinedMember, meeting: Meeting) -> None:
        self._number, self._member, self._meeting = number, member, meeting
        self._shift: int | None = None  # common line less the camera's own
        self._origin: float | None = None  # encoder count at its own line 0
        self._next_line: int | None = None
        self.is_open = False
        self.error: BaseException | None = None
        self.health = CameraHealth()
        self.figures = CameraFigures()
        self._thread = threading.Thread(target=self._run, name=f"joined-{member.name}", daemon=True)

    @property
    def name(self) -> str:
        """As faults call it."""
        return self._member.name

    def start(self) -> None:
        """Open the camera and read."""
        self._thread.start()

    def join(self) -> None:
        """Wait until the camera is closed."""
        self._thread.join()

    def _run(self) -> None:
        changed = self._meeting.changed
        try:
            with self._member.camera as camera:
                with changed:
                    self.is_open = True
                    self._meeting.count_open()
                    if camera.first_line is not None and self._meeting.encoder is None:
                        self._begin(camera.first_line, 0)
                    changed.notify_all()
                while not self._meeting.is_ending:
                    if not self._read(camera):
                        return
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that reads the joined camera
            with changed:
                self.error = error
                changed.notify_all()

    def _read(self, camera: Camera) -> bool:
        try:
            block = camera.read(_POLL_S)
        except EndOfLinesError as end:
            self._end(end)
            return False
        faults = camera.take_faults() if block is None and isinstance(camera, TellsFaults) else ()
        alarms = camera.take_alarms() if isinstance(camera, TellsAlarms) else ()
        figures = camera.figures() if isinstance(camera, MeasuresItself) else CameraFigures()
        piece = None if block is None else self._own(block)
        meeting = self._meeting
        with meeting.changed:
            self.figures = figures
            for text in faults if block is None else block.health.faults:
                meeting.tell(f"{self.name}: {text}")
            meeting.alarms += [Alarm(one.kind, f"{self.name}: {one.message}") for one in alarms]
            del meeting.alarms[_MOST_TOLD:]
            meeting.lines.set_idle(self._number, block is None)
            if block is not None and piece is not None:
                self.health = block.health
                self._put(block, piece)
            meeting.changed.notify_all()
        return True

    def _own(self, block: LineBlock) -> Piece:
        """Its own columns of a block, still in its own count; nothing else of the block is kept."""
        member, encoder = self._member, self._meeting.encoder
        received_s = time.time() - (time.monotonic() - block.received_monotonic_s)
        captured_s = min(block.captured_utc.timestamp(), received_s)
        return Piece(
            block.first_line,
            np.ascontiguousarray(block.lines[:, member.first_px : member.end_px]),
            encoder_count=block.encoder_count,
            counts_per_line=(member.counts_per_line or 1.0) if encoder is None else encoder.counts_per_line,
            captured_s=captured_s,
            line_s=(received_s - captured_s) / block.n_lines,
            received_monotonic_s=block.received_monotonic_s,
            starts_segment=block.starts_segment,
            source=block.source,
        )

    def _put(self, block: LineBlock, piece: Piece) -> None:
        meeting, lines = self._meeting, self._meeting.lines
        if self._shift is None:
            first = self._member.camera.first_line
            self._begin(block.first_line - block.health.missed_lines if first is None else first, self._shift_of(block))
        if self._next_line is None:
            self._check_start(block)
        elif block.first_line < self._next_line:
            meeting.tell(
                f"{self.name}: block at line {block.first_line} runs backwards; line {self._next_line} was next"
            )
            return
        self._check_origin(block)
        self._next_line = block.end_line
        meeting.longest_block_lines = max(meeting.longest_block_lines, block.n_lines)
        assert self._shift is not None
        first_line = block.first_line + self._shift
        while lines.must_wait(self._number) and not meeting.is_ending:
            meeting.changed.notify_all()
            meeting.changed.wait(_POLL_S)
        for late in lines.add(self._number, replace(piece, first_line=first_line)):
            meeting.tell(
                f"{meeting.names[late]}: gives no lines while the others go on; what they see is missed for the whole "
                "width until it is in step again"
            )

    def _begin(self, first_line: int, shift: int) -> None:
        """Its lines count from `first_line`, which is common line first_line + shift less its offset."""
        self._shift = shift - self._member.along_offset_lines
        self._meeting.lines.begin(self._number, first_line + self._shift)

    def _origin_of(self, block: LineBlock) -> float:
        assert self._meeting.encoder is not None
        return block.encoder_count - block.first_line * self._meeting.encoder.counts_per_line

    def _shift_of(self, block: LineBlock) -> int:
        """Common line of its line 0, before its offset."""
        meeting, encoder = self._meeting, self._meeting.encoder
        if encoder is None:
            return 0
        origin = self._origin = self._origin_of(block)
        if meeting.origin is None:
            meeting.origin = origin
        ahead = unwrap(round(origin - meeting.origin), 0, encoder.bits)
        shift = round(ahead / encoder.counts_per_line)
        if abs(shift) > meeting.lines.window_lines:
            meeting.tell(
                f"{self.name}: its encoder is {abs(shift)} lines off the first camera's; if the web did not run so far "
                'between their starts, they do not count together: reset them together, or set align_by = "start"'
            )
        return shift

    def _check_start(self, block: LineBlock) -> None:
        """Without an encoder in common, no line may come before all cameras are open."""
        meeting = self._meeting
        if meeting.encoder is not None or not self._member.is_live or len(meeting.names) == 1:
            return
        if meeting.all_open_s is None or block.received_monotonic_s < meeting.all_open_s:
            meeting.tell(
                f"{self.name}: lines came before all cameras were open, and which lines belong together is not known: "
                "start the station while the web stands, or give the cameras a common encoder"
            )

    def _check_origin(self, block: LineBlock) -> None:
        """An encoder that started over tells its own way from here on, and no longer where the others are."""
        if self._origin is None or self._meeting.encoder is None:
            return
        origin = self._origin_of(block)
        if abs(origin - self._origin) > abs(self._meeting.encoder.counts_per_line) + 1:
            self._origin = origin
            self._meeting.tell(
                f"{self.name}: its encoder started over, and where its lines lie beside the others' was estimated: "
                "start the station again as soon as the web may stand"
            )

    def _end(self, end: EndOfLinesError) -> None:
        meeting = self._meeting
        with meeting.changed:
            for text in end.faults:
                meeting.tell(f"{self.name}: {text}")
            own = self._next_line if end.end_line is None else end.end_line
            if self._shift is None:
                self._begin(self._member.camera.first_line or 0, 0)
            assert self._shift is not None
            meeting.lines.end(self._number, None if own is None else own + self._shift)
            meeting.changed.notify_all()
