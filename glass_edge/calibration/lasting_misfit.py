"""Which misfits last.

Promises: pure; each alarm begins once and is over once, in turn, and no alarm begins before `misfits` checks raised it;
one picture alone, a stain or a splice in it, raises nothing unless `misfits` is 1.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from glass_edge.calibration.fit_check import Alarm, Finding


@dataclass(frozen=True, slots=True)
class Turn:
    """An alarm that began, or is over.

    Attributes:
        alarm: which.
        finding: the last one that raised it; None: it is over.
        n_misfits, n_checks: how many of how many checks did not fit (began), or did (over).
    """

    alarm: Alarm
    finding: Finding | None
    n_misfits: int
    n_checks: int


@dataclass(slots=True)
class LastingMisfit:
    """Looks at the findings of one check after the other.

    Args:
        checks: how many of the last checks count.
        misfits: so many of them that raise an alarm make it last; it is over after as many in a row that do not.
    """

    checks: int
    misfits: int
    _last: deque[dict[Alarm, Finding]] = field(default_factory=deque)
    _fitting: dict[Alarm, int] = field(default_factory=dict)  # checks in a row that fit, of the alarms that last

    @property
    def lasting(self) -> frozenset[Alarm]:
        """Alarms that began and are not over."""
        return frozenset(self._fitting)

    def add(self, findings: Iterable[Finding]) -> tuple[Turn, ...]:
        """What changes with the findings of one more check."""
        raised = {one.alarm: one for one in findings}
        self._last.append(raised)
        while len(self._last) > self.checks:
            self._last.popleft()
        turns = []
        for alarm in Alarm:
            if alarm in self._fitting:
                self._fitting[alarm] = 0 if alarm in raised else self._fitting[alarm] + 1
                if self._fitting[alarm] >= self.misfits:
                    del self._fitting[alarm]
                    for one in self._last:  # what lies behind is no reason to begin anew
                        one.pop(alarm, None)
                    turns.append(Turn(alarm, None, 0, self.misfits))
            elif alarm in raised:
                n_misfits = sum(alarm in one for one in self._last)
                if n_misfits >= self.misfits:
                    self._fitting[alarm] = 0
                    turns.append(Turn(alarm, raised[alarm], n_misfits, len(self._last)))
        return tuple(turns)
