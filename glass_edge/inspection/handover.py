"""One engine's strip ends where another's begins.

Promises: up to the line of the handover the scores are those of the old engine as if it went on, from there on those
of the new one as if its segment had begun its halo before: no line is lost, and the scores are a function of the cloth,
the two tile plans and that line alone. Until the old strip is finished the lines go to both; the new one's results
wait.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from glass_edge.fabric.geometry import ClothSpan
from glass_edge.inspection.strip_scorer import Scored, StripScorer
from glass_edge.inspection.tile_plan import TilePlan


class Handover:
    """From one scorer to another within a segment; used by the inference thread.

    Args:
        old: its segment is open.
        new: of the engine that takes over; no segment is open.
        line: the new engine decides from here on, or from the next row of the old scores of which nothing is cut yet
            and before which the new engine's halo is still held.

    Attributes:
        new: see the arguments.
        line: the line from which on the new engine decides.
        start_line: line at which the new scorer's segment begins.
    """

    def __init__(self, old: StripScorer, new: StripScorer, line: int) -> None:
        self._old, self.new = old, new
        halo_px = new.geometry.halo_px
        self.line = old.row_from(max(line, old.held_line + halo_px))
        self.start_line = self.line - halo_px
        old.stop_at(self.line)
        self._waiting: list[Scored] = []

    @property
    def has_begun(self) -> bool:
        """True when the new engine takes lines."""
        return self.new.plan is not None

    @property
    def is_over(self) -> bool:
        """True when the old strip needs no more lines and the new one is there."""
        return self.has_begun and self._old.has_stopped

    @property
    def reaches(self) -> bool:
        """Whether the new engine would decide from `line` on if no more lines came."""
        return self.has_begun and (self._old.has_stopped or self.line <= self._old.edge_line)

    def begin(self, width_px: int, channels: int, span: ClothSpan) -> TilePlan:
        """The lines up to `start_line` at least are taken: let the new scorer begin, inspected inside `span`.

        Raises:
            InputError: the span does not fit the new tiles.
        """
        plan = self.new.begin(self.start_line, width_px, channels, span, from_line=self.line)
        self._waiting += self.new.push(self._old.lines_from(self.start_line))
        return plan

    def push(self, lines: NDArray[np.uint8]) -> list[Scored]:
        """Take lines that follow the ones before; what the old engine has finished."""
        done = self._old.push(lines)
        if self.has_begun:
            self._waiting += self.new.push(lines)
        return done

    def drain(self) -> list[Scored]:
        """Wait for everything in flight; what the old engine has finished."""
        if self.has_begun:
            self._waiting += self.new.drain()
        return self._old.drain()

    def end_old(self) -> list[Scored]:
        """The old strip's last scores; only when it `reaches`, and if it is not over, no more lines may come."""
        return self._old.abandon() if self._old.has_stopped else self._old.end()

    def take_new(self) -> list[Scored]:
        """What the new engine has finished, from `line` on."""
        waited, self._waiting = self._waiting, []
        return waited

    def give_up(self) -> None:
        """The old engine goes on, nothing of the new scorer counts; only when it is not over."""
        if self.has_begun:
            self.new.abandon()
        self._waiting = []
        self._old.go_on()
