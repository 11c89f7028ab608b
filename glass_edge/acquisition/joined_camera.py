"""Several cameras side by side that are one camera.

Promises: keeps the `Camera` contract; a line is the own columns of each camera from left to right, of the same cloth in
all of them; cloth that one camera misses is missed for the whole width, and the health says whose fault it was. None
waits for ever for another: a camera that falls further behind than the window is told, and the lines it lacks are
missed. What is kept is bounded by the window and a block of each camera.

How lines find each other: by a common encoder, which shows all cameras the same count at the same time (one frame
grabber, or counters that are reset together): cameras may then start at different times. Without one, the first line of
each is taken for the same moment: all must be open before the web moves, which is looked at and told. Cameras that see
the cloth at different places along the web say how many lines later they see it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from glass_edge.acquisition.camera import (
    Alarm,
    CameraFigures,
    CameraHealth,
    EndOfLinesError,
    LineBlock,
)
from glass_edge.acquisition.joined_lines import JoinedLines, WideLines
from glass_edge.acquisition.joined_side import CommonEncoder, JoinedMember, Meeting, Side
from glass_edge.errors import GlassEdgeError, InputError

_MOST_LINES = 4096  # of a block


class JoinedCamera:
    """Cameras from left to right.

    Args:
        members: from left to right, one at least.
        window_lines: how far a camera may be ahead of the slowest.
        encoder: the count all share; None: they began with the same line.

    Raises:
        InputError: columns that a camera does not have, or cameras of different colour.
    """

    def __init__(
        self, members: Sequence[JoinedMember], *, window_lines: int = 8192, encoder: CommonEncoder | None = None
    ) -> None:
        if not members:
            raise InputError("no camera to join; give one at least")
        first = members[0]
        for one in members:
            if one.camera.channels != first.camera.channels:
                raise InputError(
                    f"{one.name} gives {one.camera.channels} channels and {first.name} {first.camera.channels}; set "
                    "all to grey or all to RGB"
                )
            if not 0 <= one.first_px < one.end_px <= one.camera.width_px:
                raise InputError(
                    f"{one.name}: its own columns {one.first_px} to {one.end_px} are not in its line of "
                    f"{one.camera.width_px} px"
                )
        self._members = tuple(members)
        offsets = [one.along_offset_lines for one in members]
        self._window = window_lines + max(offsets) - min(offsets)
        self._encoder = encoder
        self._sides: list[Side] = []
        self._reset()

    def _reset(self) -> None:
        patient = not any(one.is_live for one in self._members)
        self._lines = JoinedLines(len(self._members), window_lines=self._window, patient=patient)
        self._meeting = Meeting(self._lines, self._encoder, tuple(one.name for one in self._members))
        self._missed_lines = 0

    @property
    def members(self) -> tuple[JoinedMember, ...]:
        """The cameras, from left to right."""
        return self._members

    @property
    def width_px(self) -> int:
        """Pixels of the wide line."""
        return sum(one.end_px - one.first_px for one in self._members)

    @property
    def channels(self) -> int:
        """1 for grey, 3 for RGB."""
        return self._members[0].camera.channels

    @property
    def is_simulated(self) -> bool:
        """One of the cameras is."""
        return any(one.camera.is_simulated for one in self._members)

    @property
    def first_line(self) -> int:
        """Lines are counted from the first that any of the cameras saw."""
        return 0

    def __enter__(self) -> Self:
        """Open all cameras at once.

        Raises:
            GlassEdgeError: one of them cannot be opened.
        """
        self._reset()
        meeting = self._meeting
        sides = self._sides = [Side(number, one, meeting) for number, one in enumerate(self._members)]
        for side in sides:
            side.start()
        try:
            with meeting.changed:
                meeting.changed.wait_for(lambda: all(one.is_open for one in sides) or any(one.error for one in sides))
            if any(not one.is_open for one in sides):
                raise _named(next(one for one in sides if one.error is not None))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close all cameras."""
        with self._meeting.changed:
            self._meeting.is_ending = True
            self._meeting.changed.notify_all()
        for side in self._sides:
            side.join()
        self._sides = []

    def read(self, timeout_s: float) -> LineBlock | None:
        """Next block; see `camera.Camera.read`.

        Raises:
            EndOfLinesError: a camera has no more lines, and all that the others saw beside them was handed over.
            CameraLostError: one of the cameras is gone.
        """
        if not self._sides:
            raise RuntimeError("read outside of the camera's 'with' block")
        deadline_s = time.monotonic() + timeout_s
        meeting, lines = self._meeting, self._lines
        with meeting.changed:
            while True:
                failed = next((one for one in self._sides if one.error is not None), None)
                left_s = deadline_s - time.monotonic()
                at_once = failed is not None or lines.is_over() or lines.is_full() or left_s <= 0
                # Cameras whose blocks end at different lines would else make many short blocks.
                wide = lines.take(1 if at_once else (meeting.longest_block_lines + 1) // 2, _MOST_LINES)
                meeting.changed.notify_all()
                if wide is not None:
                    break
                if failed is not None:
                    raise _named(failed)
                if lines.is_over():
                    raise self._end()
                if left_s <= 0:
                    return None
                meeting.changed.wait(left_s)
        return self._block(wide)

    def take_faults(self) -> tuple[str, ...]:
        """See `camera.TellsFaults`."""
        with self._meeting.changed:
            told = tuple(self._meeting.faults)
            self._meeting.faults.clear()
        return told

    def take_alarms(self) -> tuple[Alarm, ...]:
        """See `camera.TellsAlarms`: those of the cameras."""
        with self._meeting.changed:
            told = tuple(self._meeting.alarms)
            self._meeting.alarms.clear()
        return told

    def figures(self) -> CameraFigures:
        """See `camera.MeasuresItself`: of the slowest camera, and the least headroom."""
        with self._meeting.changed:
            seen = [one.figures for one in self._sides]
        rates = [one.line_rate_hz for one in seen if one.line_rate_hz is not None]
        free = [one.exposure_headroom for one in seen if one.exposure_headroom is not None]
        return CameraFigures(min(rates, default=None), min(free, default=None))

    def _block(self, wide: WideLines) -> LineBlock:
        begin = self._lines.begin_line
        assert begin is not None
        first_line = wide.first_line - begin
        faults = list(self.take_faults())
        if wide.missed_lines:
            self._missed_lines += wide.missed_lines
            names = ", ".join(self._members[number].name for number in wide.lacking)
            faults.append(
                f"{wide.missed_lines} lines before line {first_line} are missed for the whole width: "
                f"{names or 'a camera'} did not have all of them"
            )
        left = wide.pieces[0][0]
        incomplete = sum(one.health.incomplete_blocks for one in self._sides)
        return LineBlock(
            lines=wide.side_by_side(),
            first_line=first_line,
            encoder_count=left.encoder_count,
            captured_utc=datetime.fromtimestamp(left.captured_s, UTC),
            received_monotonic_s=max(piece.received_monotonic_s for side in wide.pieces for piece in side),
            starts_segment=wide.starts_segment,
            source=left.source,
            health=CameraHealth(incomplete, self._missed_lines, tuple(faults)),
        )

    def _end(self) -> EndOfLinesError:
        lines = self._lines
        begin, following, end = lines.begin_line, lines.next_line, lines.end_line
        assert begin is not None
        assert following is not None
        assert end is not None
        faults = list(self.take_faults())
        if lines.seen_line > following:
            faults.append(
                f"one camera ended at line {end - begin}; of {lines.seen_line - following} lines from line "
                f"{following - begin} on not all cameras have a part, and they are not inspected"
            )
        return EndOfLinesError(end_line=max(lines.seen_line, following) - begin, faults=tuple(faults))


def _named(failed: Side) -> BaseException:
    """The error of a camera, with its name."""
    error = failed.error
    assert error is not None
    if not isinstance(error, GlassEdgeError):
        return error
    named = type(error)(f"{failed.name}: {error}")
    named.__cause__ = error
    return named
