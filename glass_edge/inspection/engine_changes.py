"""Engines that are to take over while the cloth runs.

Promises: an engine of the style that decides takes over as soon as it can, one of another style where the next roll
begins, for a roll is of one style; at most one waits for a roll, and the newest offer counts; whoever is given an
engine back, closes it; where the engine that decides fails again and again, its station is asked for another one. It
may be asked from any thread.
"""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from glass_edge.engine.base import Engine
from glass_edge.fabric.geometry import ClothSpan
from glass_edge.inspection.parameters import ActiveEngine, SpanFinder
from glass_edge.inspection.roll_changes import RollChange, RollChanges


@dataclass(frozen=True, slots=True, eq=False)
class ReadyEngine:
    """An engine that can take over at once.

    Attributes:
        engine: entered (warm), tested and known to fit the camera and the settings; nothing is in flight, and no other
            thread uses it any more.
        active: what it decides by.
        cloth: fixed span of the cloth, or the function that finds it, for the cells that this engine needs.
    """

    engine: Engine
    active: ActiveEngine
    cloth: ClothSpan | SpanFinder


@dataclass(frozen=True, slots=True)
class EngineChange:
    """From the first row of scores at or after `line` that can be had on, `ready` decides.

    Attributes:
        ends_roll: a roll begins there too.
    """

    line: int
    ready: ReadyEngine
    ends_roll: bool


class EngineHelp(Protocol):
    """Who has engines besides those that decide. Called in the inference thread, so it must be quick."""

    def rescue(self, problem: str) -> bool:
        """The engine that decides failed several times in a row; True: another one is on its way."""

    def keep(self, engine: Engine, successor: ReadyEngine) -> bool:
        """`successor` has taken over; True: whoever is asked keeps `engine`, and closes it."""


class EngineChanges:
    """Changes of one run.

    Args:
        rolls: changes of the roll, of which some bring an engine.
        style: of the engine that the run begins with.

    Attributes:
        help: who helps when the engine fails; None: nobody.
    """

    def __init__(self, rolls: RollChanges, style: str = "") -> None:
        self._rolls = rolls
        self._lock = threading.Lock()
        self._style = style  # of the last engine that has a line to begin at
        self._due: deque[EngineChange] = deque()
        self._for_roll: ReadyEngine | None = None
        self._is_closed = False
        self.help: EngineHelp | None = None

    def offer(self, ready: ReadyEngine) -> ReadyEngine | None:
        """Let an engine take over; returns one that will not: one that waited for a roll, or `ready` when the run has
        ended.
        """
        with self._lock:
            if self._is_closed:
                return ready
            waited, self._for_roll = self._for_roll, None
            if ready.active.parameters.style == self._style:
                self._due.append(EngineChange(0, ready, ends_roll=False))
            else:
                self._for_roll = ready
        return waited

    def fall_back(self, ready: ReadyEngine) -> bool:
        """Let an engine of the style that decides take over from one that fails; False: it will not, because the run
        has ended, or another engine will take over or has. One that waits for a roll goes on waiting.
        """
        with self._lock:
            if self._is_closed or self._due or ready.active.parameters.style != self._style:
                return False
            self._due.append(EngineChange(0, ready, ends_roll=False))
        return True

    def rescue(self, problem: str) -> bool:
        """The engine that decides failed several times in a row: whether another one will take over."""
        with self._lock:
            is_due = bool(self._due)
        return is_due or (self.help is not None and self.help.rescue(problem))

    def keep(self, engine: Engine, successor: ReadyEngine) -> bool:
        """Whether somebody keeps an engine from which another has taken over."""
        return self.help is not None and self.help.keep(engine, successor)

    def withdraw(self) -> ReadyEngine | None:
        """The engine that waited for a roll, which waits no more."""
        with self._lock:
            waited, self._for_roll = self._for_roll, None
        return waited

    def begin_roll(self, line: int, roll_id: str) -> int:
        """The roll `roll_id` begins at `line`, with the engine that waits for it if there is one; returns the line."""
        with self._lock:
            ready, self._for_roll = self._for_roll, None
            change = self._rolls.ask(RollChange(line, roll_id, has_engine=ready is not None))
            if ready is not None:
                self._style = ready.active.parameters.style
                self._due.append(EngineChange(change.line, ready, ends_roll=True))
        return change.line

    @property
    def waits_for_roll(self) -> bool:
        """True when an engine takes over with the next roll."""
        with self._lock:
            return self._for_roll is not None

    @property
    def next(self) -> EngineChange | None:
        """The first that has a line."""
        with self._lock:
            return self._due[0] if self._due else None

    def take(self) -> EngineChange:
        """The first that has a line, which waits no more."""
        with self._lock:
            return self._due.popleft()

    def close(self) -> list[ReadyEngine]:
        """End of the run: the engines that never took over; later offers are given back."""
        with self._lock:
            self._is_closed = True
            left = [change.ready for change in self._due]
            left += [self._for_roll] if self._for_roll is not None else []
            self._due.clear()
            self._for_roll = None
        return left
