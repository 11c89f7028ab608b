"""Whether what is shown is the present, and the heartbeat that says so.

Promises: the heart beats only while the station is heard, nothing of it is missing, and the adapter's own delivery goes
on; it is counted by monotonic time, whatever the clock does.
"""

from __future__ import annotations

import math

from glass_edge.adapters.sink import SILENCE_S

_BEAT_S = 1.0


class Liveness:
    """Judges the words of the delivery (`FollowingSink.stands`)."""

    def __init__(self) -> None:
        self._word_s = -math.inf
        self._is_heard = False
        self._is_live = False
        self._behind_since_s: float | None = None
        self._beaten_s = -math.inf
        self.heartbeat = 0
        """Beats so far, 0 to 65535 in turn."""

    def stands(self, *, is_heard: bool, is_behind: bool, now_s: float) -> None:
        """A word of the delivery came at `now_s`, monotonic seconds."""
        self._word_s, self._is_heard = now_s, is_heard
        if not is_behind:
            self._behind_since_s = None
        elif self._behind_since_s is None:
            self._behind_since_s = now_s
        if not is_heard:
            self._is_live = False
        elif self._behind_since_s is None:
            self._is_live = True

    def doubt(self) -> None:
        """Events were lost or a new journal began: it is the past until all has come."""
        self._is_live = False

    def is_heard(self, now_s: float) -> bool:
        """The station lives, as far as the delivery can tell."""
        return self._is_heard and now_s - self._word_s <= SILENCE_S

    def is_live(self, now_s: float) -> bool:
        """What came last is the present. Short delays, while events come one after the other, do not count."""
        is_late = self._behind_since_s is not None and now_s - self._behind_since_s > SILENCE_S
        if not self.is_heard(now_s) or is_late:
            self._is_live = False
        return self._is_live

    def beat(self, now_s: float) -> None:
        """Beat, if a second is over and it is the present."""
        if not self.is_live(now_s) or now_s - self._beaten_s < _BEAT_S:
            return
        is_steady = now_s - self._beaten_s < 2 * _BEAT_S
        self._beaten_s = self._beaten_s + _BEAT_S if is_steady else now_s
        self.heartbeat = (self.heartbeat + 1) % 0x10000
