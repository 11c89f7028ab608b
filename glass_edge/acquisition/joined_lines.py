"""Lines of several cameras side by side, matched by their web line.

Promises: pure, no clock and no thread; a line is handed over once, when every camera has it, or missed for the whole
width; lines handed over + lines missed = lines from the first that any camera saw to the last that was asked for,
whatever blocks they came in. What is kept of a camera is bounded by `window_lines` and a block.

Lines are numbered alike for all cameras here: whoever adds them has taken out where each began and how much later it
sees the cloth.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Piece:
    """Consecutive lines of one camera, its own columns.

    Attributes:
        first_line: common number of the first line.
        lines: uint8 (n, columns[, 3]).
        encoder_count: at the first line.
        counts_per_line: encoder counts from line to line.
        captured_s: wall-clock time of the first line, s since 1970.
        line_s: from line to line.
        received_monotonic_s: when its block was complete.
        starts_segment: the cloth before it is another piece.
        source: name of what is played.
    """

    first_line: int
    lines: NDArray[np.uint8]
    encoder_count: int = 0
    counts_per_line: float = 1.0
    captured_s: float = 0.0
    line_s: float = 0.0
    received_monotonic_s: float = 0.0
    starts_segment: bool = False
    source: str = ""

    @property
    def end_line(self) -> int:
        """Common number after the last line."""
        return self.first_line + len(self.lines)

    def part(self, first: int, end: int) -> Piece:
        """The lines [first, end) of it."""
        skipped = first - self.first_line
        return replace(
            self,
            first_line=first,
            lines=self.lines[skipped : end - self.first_line],
            encoder_count=self.encoder_count + round(skipped * self.counts_per_line),
            captured_s=self.captured_s + skipped * self.line_s,
            starts_segment=self.starts_segment and skipped == 0,
        )


@dataclass(frozen=True, slots=True)
class WideLines:
    """Lines that every camera has.

    Attributes:
        first_line: common number of the first.
        missed_lines: lines before it that no block holds, since the block before.
        lacking: cameras that did not have all of those, by their place from the left.
        pieces: of each camera from the left, lines that follow each other.
        starts_segment: the cloth before the first line is another piece.
    """

    first_line: int
    missed_lines: int
    lacking: tuple[int, ...]
    pieces: tuple[tuple[Piece, ...], ...]
    starts_segment: bool

    @property
    def n_lines(self) -> int:
        """Number of lines."""
        return sum(len(piece.lines) for piece in self.pieces[0])

    def side_by_side(self) -> NDArray[np.uint8]:
        """uint8 (n, columns of all[, 3]), a new array."""
        sides = [
            np.concatenate([piece.lines for piece in one]) if len(one) > 1 else one[0].lines for one in self.pieces
        ]
        return np.concatenate(sides, axis=1)


@dataclass(slots=True)
class _Side:
    pieces: deque[Piece]
    horizon: int | None = None  # lines before it are here or never come; None: the camera has not begun
    has_ended: bool = False
    is_idle: bool = True
    lacked: bool = False  # lines that were missed since the last that were handed over
    is_late: bool = False  # it gave none while the others ran a window ahead


class JoinedLines:
    """The cameras' lines that wait for each other.

    Args:
        cameras: how many there are.
        window_lines: how far a camera may be ahead of the slowest.
        patient: cameras that are ahead wait; False: they cannot, and what is beyond the window is missed.
    """

    def __init__(self, cameras: int, *, window_lines: int, patient: bool) -> None:
        self._sides = [_Side(deque()) for _ in range(cameras)]
        self._window, self._patient = window_lines, patient
        self._next: int | None = None  # first line that was neither handed over nor missed
        self._floor: int | None = None  # no line before it is handed over any more
        self._starts = False
        self._first_lines: list[int] = []

    @property
    def window_lines(self) -> int:
        """How far a camera may be ahead of the slowest."""
        return self._window

    @property
    def begin_line(self) -> int | None:
        """First line that any camera saw; None until all have begun."""
        return min(self._first_lines) if len(self._first_lines) == len(self._sides) else None

    @property
    def next_line(self) -> int | None:
        """First line that was neither handed over nor missed; None until all have begun."""
        return self._next

    @property
    def end_line(self) -> int | None:
        """Line after the last that every camera can have: where the first of them ended; None while none has."""
        ends = [side.horizon for side in self._sides if side.has_ended and side.horizon is not None]
        return min(ends) if ends else None

    @property
    def seen_line(self) -> int:
        """Line after the last that any camera has seen."""
        return max((side.horizon for side in self._sides if side.horizon is not None), default=0)

    def begin(self, camera: int, first_line: int) -> None:
        """A camera sees lines from `first_line` on."""
        self._sides[camera].horizon = first_line
        self._first_lines.append(first_line)
        self._next = self.begin_line

    def add(self, camera: int, piece: Piece) -> tuple[int, ...]:
        """A camera's next lines, not before its last; returns the cameras that just fell behind the window."""
        side = self._sides[camera]
        assert side.horizon is not None
        side.horizon = piece.end_line
        end = self.end_line
        if end is None or piece.first_line < end:
            side.pieces.append(piece)
        return () if self._patient else self._move_window(side)

    def end(self, camera: int, end_line: int | None) -> None:
        """A camera has no more lines; those before `end_line` that it did not give are missed."""
        side = self._sides[camera]
        if side.horizon is None:
            self.begin(camera, end_line or 0)
        side.horizon = max(side.horizon or 0, end_line or 0)
        side.has_ended = True

    def set_idle(self, camera: int, is_idle: bool) -> None:
        """Whether the camera has nothing to give at present; the others go on without one that is idle only."""
        self._sides[camera].is_idle = is_idle

    def must_wait(self, camera: int) -> bool:
        """The camera's next lines find no room now: those that wait are to be taken, or its neighbours' to come."""
        if self._held(self._sides[camera]) < self._window or self.end_line is not None:
            return False
        return self._patient or not self._goes_on()

    def is_full(self) -> bool:
        """A camera is a window ahead of what was taken."""
        return any(self._held(side) >= self._window for side in self._sides)

    def is_over(self) -> bool:
        """Nothing more can be taken: a camera ended, and the others have ended too or are a window further."""
        end = self.end_line
        if end is None or self._next is None:
            return False
        limit = end + self._window if self._patient else end
        return all(side.has_ended or (side.horizon or 0) >= limit for side in self._sides)

    def _position(self) -> int | None:
        known = [line for line in (self._next, self._floor) if line is not None]
        return max(known) if known else None

    def _held(self, side: _Side) -> int:
        if side.horizon is None or not side.pieces:
            return 0
        position = self._position()
        oldest = side.pieces[0].first_line
        return side.horizon - (oldest if position is None else max(oldest, position))

    def _goes_on(self) -> bool:
        """No line is there of every camera, and those without have nothing to give."""
        position = self._position()
        without = [
            side for side in self._sides if side.horizon is None or (position is not None and side.horizon <= position)
        ]
        return bool(without) and all(side.is_idle for side in without)

    def _move_window(self, side: _Side) -> tuple[int, ...]:
        if self._held(side) <= self._window or not self._goes_on():
            return ()
        assert side.horizon is not None
        self._floor = max(self._floor or side.horizon - self._window, side.horizon - self._window)
        late = []
        for number, one in enumerate(self._sides):
            while one.pieces and one.pieces[0].end_line <= self._floor:
                self._starts |= one.pieces.popleft().starts_segment
            if one.horizon is None or one.horizon <= self._floor:
                one.lacked = True
                if not one.is_late:
                    late.append(number)
                one.is_late = True
        return tuple(late)

    def take(self, least_lines: int, most_lines: int) -> WideLines | None:
        """Next lines that every camera has.

        Args:
            least_lines: fewer are left to wait for what follows them, unless nothing does.
            most_lines: of what is returned.
        """
        if self._next is None:
            return None
        start = self._common_start()
        if start is None:
            return None
        runs = [self._run(side, start) for side in self._sides]
        end = min(run_end for run_end, _ in runs)
        is_closed = any(run_end == end and closed for run_end, closed in runs)
        if end - start < least_lines and not is_closed:
            return None
        return self._hand_over(start, min(end, start + most_lines))

    def _common_start(self) -> int | None:
        """First line that is there of every camera; None when one has to come first."""
        start = self._position()
        assert start is not None
        while True:
            for side in self._sides:
                while side.pieces and side.pieces[0].end_line <= start:
                    self._starts |= side.pieces.popleft().starts_segment
                if not side.pieces:
                    return None
            latest = max(start, *(side.pieces[0].first_line for side in self._sides))
            if latest == start:
                return start
            for side in self._sides:
                # Who has no line between the old start and the new one lacks them.
                side.lacked |= side.pieces[0].first_line > start
            start = self._floor = latest

    @staticmethod
    def _run(side: _Side, start: int) -> tuple[int, bool]:
        """End of the lines from `start` on that follow each other, and whether it is known that the next does not."""
        end = start
        for piece in side.pieces:
            if piece.first_line > end or (piece.starts_segment and piece.first_line > start):
                return end, True
            end = piece.end_line
        return end, side.has_ended

    def _hand_over(self, start: int, end: int) -> WideLines:
        assert self._next is not None
        pieces = []
        for side in self._sides:
            taken = []
            while side.pieces and side.pieces[0].first_line < end:
                piece = side.pieces.popleft()
                first = max(piece.first_line, start)
                self._starts |= piece.starts_segment  # also one of which the first lines are missed
                taken.append(piece.part(first, min(piece.end_line, end)))
                if piece.end_line > end:
                    side.pieces.appendleft(piece.part(end, piece.end_line))
            pieces.append(tuple(taken))
        missed = start - self._next
        lacking = tuple(number for number, side in enumerate(self._sides) if side.lacked) if missed else ()
        found = WideLines(start, missed, lacking, tuple(pieces), self._starts)
        self._starts = False
        for side in self._sides:
            side.lacked = side.is_late = False
        self._next = end
        return found
